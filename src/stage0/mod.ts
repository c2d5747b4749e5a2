/**
 * stage0 (steps 5 and 6 of the spine, and the chain of 1 to 4): from names and options to a running pod.
 * Takes image references and options, gives a prepared pod (`assemblePod`) or becomes the pod (`enterRun`, `startPod`). Next: the stage1 entrypoint `run`.
 */

export {
  type AssembledPod,
  type AssembleInput,
  assemblePod,
  type PodContent,
  type RequestedImage,
} from "./assemble-pod.ts";
export { callStage1, stage1Tree } from "./call-stage1.ts";
export { obtainImage, type PullPolicy } from "./obtain-image.ts";
export { syncPod } from "./prepare.ts";
export { renderStored } from "./render-stored.ts";
export { enterRun, startPod } from "./run.ts";
