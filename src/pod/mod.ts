/**
 * pod (steps 5 and 8 of the spine): the life of a pod directory.
 * Takes a data directory, gives locked pod directories, their states and what is in them, and removes what is over. Next: src/stage0 fills a prepared pod and
 * hands over; the commands list, status, stop, rm, gc and the services read.
 */

export { createPod, ensurePodDirs, movePod, openPodDir, stateDirOf, uuidOf } from "./pod-dir.ts";
