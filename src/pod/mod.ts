/**
 * pod (steps 5 and 8 of the spine): the life of a pod directory.
 * Takes a data directory, gives locked pod directories, their states and what is in them, and removes what is over. Next: src/stage0 fills a prepared pod and
 * hands over; the commands list, status, stop, rm, gc and the services read.
 */

export { type AppStatus, appStatus, exitStatuses, podExitStatus } from "./app-status.ts";
export { claimPreparedPod, firstProcess, runningPod } from "./claim.ts";
export { claimPodName, endLostNamesake, releaseLostNames } from "./claim-pod-name.ts";
export { deniedCalls } from "./denied-calls.ts";
export {
  closePod,
  eachPod,
  findPod,
  LISTED_PLACES,
  lookAgain,
  openPod,
  type Pod,
  type PodReader,
  podNames,
  podReader,
  retrievePod,
} from "./find.ts";
export { collectGarbage, type GcOptions } from "./gc.ts";
export { readIdRange, takeIdRange } from "./id-ranges.ts";
export { podIsolation } from "./isolation.ts";
export { podManifest } from "./manifest.ts";
export { registerPod, unregisterPod } from "./metadata.ts";
export { type AppNames, appImageName, appNames } from "./names.ts";
export { createPod, ensurePodDirs, movePod, openPodDir, stateDirOf, uuidOf } from "./pod-dir.ts";
export { isPodName, podNamesByUuid } from "./pod-name.ts";
export { takePrepareLock } from "./prepare-lock.ts";
export { killPodProcesses, leavePodCgroup, type ProcessFinder, processFinder } from "./processes.ts";
export { podFileTime, readPodFile, readPodLink, readPodNumber } from "./read.ts";
export { type CallStage1, endProcesses, moveToGarbage, type Remover, removeGarbage } from "./remove.ts";
export { podLabel } from "./selinux-label.ts";
export { isAfterRun, isFinished, type PodState, podState } from "./state.ts";
export { treesInUse } from "./trees-in-use.ts";
export { unmountPod } from "./unmount.ts";
export {
  changedAt,
  createdAt,
  isReady,
  manifestExpected,
  markedAt,
  type PodNetwork,
  podNetworks,
  recordedPid,
  startedAt,
} from "./view.ts";
export { waitForPod } from "./wait-for-pod.ts";
