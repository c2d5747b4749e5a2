/** Annotations of a stage1 image's manifest: where its entrypoints are, and which interface version it speaks. */

export const STAGE1_ANNOTATION = {
  run: "coreos.com/rkt/stage1/run",
  enter: "coreos.com/rkt/stage1/enter",
  gc: "coreos.com/rkt/stage1/gc",
  stop: "coreos.com/rkt/stage1/stop",
  attach: "coreos.com/rkt/stage1/attach",
  appAdd: "coreos.com/rkt/stage1/app/add",
  appRm: "coreos.com/rkt/stage1/app/rm",
  appStart: "coreos.com/rkt/stage1/app/start",
  appStop: "coreos.com/rkt/stage1/app/stop",
  interfaceVersion: "coreos.com/rkt/stage1/interface-version",
  /** Addition: what the stage1 can keep a pod apart by (isolation.ts), comma-separated. Without it, nothing is taken for granted. */
  isolation: "coreos.com/rkt/stage1/isolation",
} as const;

/** What an image without the annotation speaks. */
export const OLDEST_INTERFACE = 1;
export const NEWEST_INTERFACE = 6;
