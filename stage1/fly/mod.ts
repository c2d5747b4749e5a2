/**
 * stage1/fly: one app in a chroot, nothing isolated; the process of rkt becomes the app.
 * Takes a PreparedPod (its directory and the arguments of the stage1 contract), becomes the RunningPod by execve of the app. Next: the app itself.
 */

export type { Entrypoint, RunEntrypoint, Stage1Io } from "../common/io.ts";
export { enter } from "./enter.ts";
export { gc } from "./gc.ts";
export { run } from "./run.ts";
export { stop } from "./stop.ts";
