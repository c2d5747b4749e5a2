/** Environment variables and files through which stage0 and stage1 talk; paths are relative to the pod's directory. */

export const STAGE1_ENV = {
  /** Number of the inherited descriptor that holds the pod's lock. */
  lockFd: "RKT_LOCK_FD",
  selinuxContext: "RKT_SELINUX_CONTEXT",
  selinuxMountContext: "RKT_SELINUX_MOUNT_CONTEXT",
  enterCommand: "RKT_STAGE1_ENTERCMD",
  enterPid: "RKT_STAGE1_ENTERPID",
  /** Addition: an executable that runs a file as `worker stage1 FILE.js ARGS`; set by our stage0 to its own. */
  runtime: "RKT_STAGE1_RUNTIME",
} as const;

/** In rkt/status: the pod's own exit status, once something but a stop has ended it. No app has such a name. An addition. */
export const POD_STATUS_FILE = "pod.exit";

/** In `stage1/rootfs`: of each app with `--seccomp=mode=log` a file, lines `CALL COUNT`. An addition. */
export const DENIED_CALLS_DIRECTORY = "rkt/denied";

/**
 * One app's status files in `stage1/rootfs/rkt/status`. rkt 1.x: APP (decimal exit status), APP-created, APP-started (mtime).
 * Additions, with a dot, which no app has in its name: APP.result, lines `code=exited|killed|dumped`, `status=N or signal name`, `result=success|exit-code|signal|oom-kill|…`; of an app that was started again
 * APP.restarts (how often) and APP.last-result (how its life before ended).
 */
export function appStatusFiles(app: string): {
  readonly status: string;
  readonly created: string;
  readonly started: string;
  readonly result: string;
  readonly restarts: string;
  readonly lastResult: string;
} {
  return {
    status: app,
    created: `${app}-created`,
    started: `${app}-started`,
    result: `${app}.result`,
    restarts: `${app}.restarts`,
    lastResult: `${app}.last-result`,
  };
}
