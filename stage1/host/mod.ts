/**
 * stage1/host: as stage1/nspawn, with the systemd and systemd-nspawn of the host in place of the image's own.
 * Takes a PreparedPod (its directory and the arguments of the stage1 contract), becomes the RunningPod by execve of systemd-nspawn. Next: the app itself.
 */

import type { RunEntrypoint } from "../common/io.ts";
import { runWith } from "../nspawn/run.ts";
import { provideHostSystemd } from "./host-systemd.ts";

export type { Entrypoint, RunEntrypoint, Stage1Io } from "../common/io.ts";
export { appAdd, appRm, appStart, appStop } from "../nspawn/app.ts";
export { attach } from "../nspawn/attach.ts";
export { enter } from "../nspawn/enter.ts";
export { gc } from "../nspawn/gc.ts";
export { stop } from "../nspawn/stop.ts";

export const run: RunEntrypoint = (argv, io) => runWith(provideHostSystemd, argv, io);
