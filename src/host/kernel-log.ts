/** The kernel's own messages, from /dev/kmsg (Documentation/ABI/testing/dev-kmsg in the kernel's sources). */

import { closeSync, constants, openSync, readSync } from "node:fs";
import { isErrno } from "./errno.ts";

export interface KernelMessage {
  /** Seconds since boot (CLOCK_MONOTONIC). */
  readonly time: number;
  readonly text: string;
}

/** What is left in the kernel's buffer, oldest first; undefined where it may not be read (kernel.dmesg_restrict, a container). */
export function kernelMessages(): KernelMessage[] | undefined {
  let fd: number;
  try {
    fd = openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "EPERM", "EACCES", "ENODEV")) return undefined;
    throw error;
  }
  try {
    return readMessages(fd);
  } finally {
    closeSync(fd);
  }
}

function readMessages(fd: number): KernelMessage[] {
  const messages: KernelMessage[] = [];
  const record = Buffer.alloc(8192);
  for (;;) {
    try {
      const length = readSync(fd, record, 0, record.length, null);
      if (length === 0) return messages;
      const message = parseKernelMessage(record.toString("utf8", 0, length));
      if (message !== undefined) messages.push(message);
    } catch (error) {
      // EPIPE: the record was overwritten before it was read; the next read gives the oldest that is left.
      if (isErrno(error, "EPIPE")) continue;
      if (isErrno(error, "EAGAIN", "EPERM")) return messages;
      throw error;
    }
  }
}

/** Pure: `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT`, then lines of further fields. Undefined for anything else. */
export function parseKernelMessage(record: string): KernelMessage | undefined {
  const [, time, text] = /^\d+,\d+,(\d+),[^;]*;([^\n]*)/.exec(record) ?? [];
  return time === undefined || text === undefined ? undefined : { time: Number(time) / 1e6, text };
}
