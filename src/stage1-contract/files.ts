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

/**
 * One app's status files in `stage1/rootfs/rkt/status`. rkt 1.x: APP (decimal exit status), APP-created, APP-started (mtime).
 * Addition: APP-result, lines `code=exited|killed|dumped`, `status=N or signal name`, `result=success|exit-code|signal|oom-kill|…`.
 */
export function appStatusFiles(app: string): { status: string; created: string; started: string; result: string } {
  return { status: app, created: `${app}-created`, started: `${app}-started`, result: `${app}-result` };
}
