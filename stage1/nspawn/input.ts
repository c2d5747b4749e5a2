/**
 * Input of an interactive app where rkt has no terminal (a pipe, a file). systemd-nspawn forwards input to a console only: what comes before the app is ready is
 * flushed there, and its end never reaches the app. So the app reads from a FIFO, which cat(1) fills.
 */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { IdRange } from "../../src/core/id-range.ts";
import { AT_FDCWD, asFileOwner, type Host, S, statOf } from "../../src/host/mod.ts";

/** The FIFO as the pod's systemd sees it. */
export const INPUT_FIFO = "/rkt/stdin";

/**
 * cat ends with its input, or when the app no longer reads; or with the pod: the lock on the pod's directory, which the supervisor inherits, is free then. In the
 * background, as no child of the supervisor, whose only child is the pod's init. Descriptor 3: a shell gives its background /dev/null as input.
 */
const FEED = 'exec 3<&0; { cat <&3 > "$1" & feeder=$!; flock --shared "$2" true; kill "$feeder" 2> /dev/null; } &';

/** True when the console of systemd-nspawn is rkt's own terminal. */
export function onTerminal(): boolean {
  return isTerminal(0) && isTerminal(1);
}

/** Makes the FIFO and starts what fills it; before the pod's cgroup is joined, since it is no process of the pod. The caller holds the pod's lock. */
export function feedInput(host: Host, stage1Root: string, podDir: string, ids?: IdRange): void {
  const fifo = join(stage1Root, INPUT_FIFO);
  asFileOwner(host, ids, () => host.mknodat(AT_FDCWD, fifo, S.IFIFO | 0o600, { major: 0, minor: 0 }));
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  spawnSync("/bin/sh", ["-c", FEED, "feed", fifo, podDir], { stdio: ["inherit", "ignore", "ignore"], env });
}

/** A character device that is none of the kernel's memory devices (/dev/null, /dev/zero). isatty(3) would cost the start of a module. */
function isTerminal(fd: number): boolean {
  const MEMORY_DEVICES = 1;
  try {
    const { mode, rdev } = statOf(fd);
    return (mode & S.IFMT) === S.IFCHR && Math.floor(rdev / 0x100000) !== MEMORY_DEVICES;
  } catch {
    return false; // closed
  }
}
