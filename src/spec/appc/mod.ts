/**
 * appc: the App Container specification 0.8.11.
 * Takes JSON and command-line texts, gives typed manifests (and back). Next: src/pod makes pod manifests of them, stage1 reads them.
 */

export * from "./names.ts";
export type * from "./types.ts";
