/** Lines of the console of a detached pod: what it, and rkt for it, wrote to standard output and error. Without times, and the apps' lines are mixed. */

import { readSync } from "node:fs";
import { O, RESOLVE } from "../host/constants.ts";
import { isErrno } from "../host/errno.ts";
import { linux } from "../host/mod.ts";
import type { Pod } from "../pod/mod.ts";
import type { LogLine } from "./log-line.ts";

/** Undefined when there is none: whoever started the pod has its output. The caller closes it. */
export function openConsole(pod: Pod): number | undefined {
  try {
    return linux.openat2(
      pod.fd,
      "console",
      O.RDONLY | O.CLOEXEC | O.NOFOLLOW,
      0,
      RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS,
    );
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Gives each line to `onLine`; with `follow` until `isOver` says so. `tail`: the last so many of what is there at first. */
export async function readConsole(
  fd: number,
  {
    follow,
    tail,
    isOver,
  }: { readonly follow: boolean; readonly tail: number | undefined; readonly isOver: () => boolean },
  onLine: (line: LogLine) => void,
): Promise<void> {
  const buffer = Buffer.alloc(64 * 1024);
  let rest = Buffer.alloc(0);
  let first: Buffer[] | undefined = [];
  const put = (bytes: Buffer) => {
    // systemd-nspawn's console ends lines as a terminal does.
    const message = bytes.at(-1) === 13 ? bytes.subarray(0, -1) : bytes;
    if (first === undefined) return onLine({ app: undefined, time: undefined, message });
    first.push(Buffer.from(message));
    if (tail !== undefined && first.length > tail) first.shift();
  };
  for (;;) {
    // Before the read: what is written until then is still read.
    const last = !follow || isOver();
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) {
      rest = Buffer.concat([rest, buffer.subarray(0, count)]);
      for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
        put(rest.subarray(0, end));
        rest = rest.subarray(end + 1);
      }
    }
    if (last && rest.length > 0) put(rest);
    for (const message of first?.splice(0) ?? []) onLine({ app: undefined, time: undefined, message });
    first = undefined;
    if (last) return;
    await Bun.sleep(100);
  }
}
