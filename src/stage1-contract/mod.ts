/**
 * stage1-contract: the only module that stage0 and stage1 share (docs/stage1-contract.md; interface version 6 of rkt 1.x plus documented additions).
 * Takes typed options, gives argv and environment, and back. Used by src/stage0 (caller) and stage1/<flavor> (callee).
 */

export * from "./annotations.ts";
export * from "./ending-arguments.ts";
export * from "./files.ts";
export * from "./flavors.ts";
export * from "./hosts.ts";
export * from "./isolation.ts";
export * from "./policies.ts";
export * from "./run-arguments.ts";
export * from "./selinux.ts";
