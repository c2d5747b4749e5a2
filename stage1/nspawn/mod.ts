/**
 * stage1/nspawn: a pod in namespaces of its own, run by systemd-nspawn with systemd as its init.
 * Takes a PreparedPod (its directory and the arguments of the stage1 contract), becomes the RunningPod by execve of systemd-nspawn. Next: the app itself.
 */

export type { Entrypoint, RunEntrypoint, Stage1Io } from "../common/io.ts";
export { appAdd, appRm, appStart, appStop } from "./app.ts";
export { attach } from "./attach.ts";
export { enter } from "./enter.ts";
export { gc } from "./gc.ts";
export { run } from "./run.ts";
export { stop } from "./stop.ts";
