/**
 * host: the one interface to the kernel.
 * Takes typed arguments, gives results or SystemCallError. Used by every step that touches mounts, namespaces, locks or files that an image controls.
 */

export * from "./constants.ts";
export { errnoName, isErrno, SystemCallError } from "./errno.ts";
export { asFileOwner } from "./file-owner.ts";
export { type CallerState, callerState, handOver, withoutRuntimeVariables } from "./hand-over.ts";
export type { FileStatus, Host, HostPath, ResourceLimit, Timestamp } from "./host.ts";
export { isDirectory, linux, statOf } from "./linux.ts";
