/**
 * stage1/kvm: a pod in a virtual machine of its own, under QEMU, with systemd as the guest's init.
 * Takes a PreparedPod (its directory and the arguments of the stage1 contract), becomes the RunningPod by execve of a shell that supervises the machine. Next: the app itself.
 */

export type { Entrypoint, RunEntrypoint, Stage1Io } from "../common/io.ts";
export { gc } from "../nspawn/gc.ts";
export { enter } from "./enter.ts";
export { run } from "./run.ts";
export { stop } from "./stop.ts";
