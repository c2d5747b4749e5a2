/**
 * appc: the App Container specification 0.8.11.
 * Takes JSON and command-line texts, gives typed manifests (and back). Next: src/pod makes pod manifests of them, stage1 reads them.
 */

export { BLANK_APP } from "./app.ts";
export { formatAppString, type NamedImage, parseAppString, shortAppString } from "./app-string.ts";
export { parseMount, parseMountVolume, parsePort, parseSandboxPort, parseVolume } from "./command-line.ts";
export { blankImageManifest, formatImageManifest, parseImageManifest } from "./image-manifest.ts";
export * from "./isolators.ts";
export { isEnvironmentName } from "./lists.ts";
export * from "./names.ts";
export * from "./os-arch.ts";
export { BLANK_POD_MANIFEST, formatPodManifest, parsePodManifest } from "./pod-manifest.ts";
export * from "./quantity.ts";
export * from "./sysctl.ts";
export type * from "./types.ts";
