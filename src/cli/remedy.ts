/** What can be done about an error of the kernel that says no more than its name. */

import { RktError } from "../core/errors.ts";
import { SystemCallError } from "../host/errno.ts";

/** By errno(3). */
const REMEDIES: Readonly<Record<string, string>> = {
  EMFILE: "raise the limit of open files of whoever starts rkt (ulimit -n, LimitNOFILE=)",
  ENFILE: "the whole machine has no open files left: raise fs.file-max",
  EFBIG: "raise the limit of file sizes of whoever starts rkt (ulimit -f, LimitFSIZE=)",
  ENOSPC: "make room there: `rkt gc`, `rkt image gc`, or another --dir",
  EDQUOT: "raise the quota there, or choose another --dir",
  EROFS: "mount it writable, or choose another --dir",
  ENOMEM: "the machine, or the cgroup that rkt was started in, has no memory left",
};

/** capabilities(7), by bit: those without which rkt cannot start a pod. */
const NEEDED: readonly (readonly [bit: number, name: string])[] = [
  [0, "CAP_CHOWN"],
  [1, "CAP_DAC_OVERRIDE"],
  [3, "CAP_FOWNER"],
  [5, "CAP_KILL"],
  [6, "CAP_SETGID"],
  [7, "CAP_SETUID"],
  [8, "CAP_SETPCAP"],
  [12, "CAP_NET_ADMIN"],
  [18, "CAP_SYS_CHROOT"],
  [21, "CAP_SYS_ADMIN"],
  [27, "CAP_MKNOD"],
];

/** Undefined when the chain of causes holds no error of the kernel that this knows a way out of. */
export function remedyOf(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    // Where the output goes is the caller's own: a full disk there is none of rkt's.
    if (current instanceof RktError && current.code === "OUTPUT") return undefined;
    const name = errnoOf(current);
    if (name === "EPERM") return missingCapabilities(readStatus());
    if (name !== undefined && Object.hasOwn(REMEDIES, name)) return REMEDIES[name];
  }
  return undefined;
}

function errnoOf(error: Error): string | undefined {
  if (error instanceof SystemCallError) return error.errnoName;
  return "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Pure, for tests: `status` is the content of /proc/PID/status. Undefined when nothing is missing: then it was something else. */
export function missingCapabilities(status: string): string | undefined {
  const effective = /^CapEff:\s*([0-9a-f]{16})$/m.exec(status)?.[1];
  if (effective === undefined) return undefined;
  const held = BigInt(`0x${effective}`);
  const missing = NEEDED.filter(([bit]) => ((held >> BigInt(bit)) & 1n) === 0n).map(([, name]) => name);
  if (missing.length === 0) return undefined;
  return `rkt was started without ${missing.join(", ")}: in a container give it these, in a unit see CapabilityBoundingSet=`;
}

function readStatus(): string {
  const { readFileSync } = process.getBuiltinModule("node:fs");
  try {
    return readFileSync("/proc/self/status", "utf8");
  } catch {
    return "";
  }
}
