/**
 * Landlock (landlock(7)): a thread gives up access to everything but named directories, for itself and what it executes. Raw system calls, since no C library wraps them; the numbers are the
 * same on every architecture. Sound for the same reasons as in linux.ts: numbers, or buffers that a local variable keeps alive until the synchronous call has returned.
 */

import { ptr, read } from "bun:ffi";
import { internalError } from "../core/errors.ts";
import { SystemCallError } from "./errno.ts";
import { libc } from "./libc.ts";

const SYS_CREATE_RULESET = 444;
const SYS_ADD_RULE = 445;
const SYS_RESTRICT_SELF = 446;

const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;

/** linux/landlock.h, LANDLOCK_ACCESS_FS_*. */
const FS = {
  EXECUTE: 1n << 0n,
  WRITE_FILE: 1n << 1n,
  READ_FILE: 1n << 2n,
  READ_DIR: 1n << 3n,
  REMOVE_DIR: 1n << 4n,
  REMOVE_FILE: 1n << 5n,
  MAKE_DIR: 1n << 7n,
  MAKE_REG: 1n << 8n,
  /** All of the first version: bits 0 to 12. */
  ALL_1: (1n << 13n) - 1n,
  REFER: 1n << 13n,
  TRUNCATE: 1n << 14n,
  IOCTL_DEV: 1n << 15n,
} as const;

/** LANDLOCK_ACCESS_NET_*. */
const NET = { BIND_TCP: 1n << 0n, CONNECT_TCP: 1n << 1n } as const;

/** LANDLOCK_SCOPE_*: abstract unix sockets and signals of processes outside. */
const SCOPE_ALL = 3n;

/** What a path may be used for; on a file, the rights that files have. */
export type LandlockAccess = "execute" | "read" | "write" | "read-write-file";

const ACCESS: Readonly<Record<LandlockAccess, bigint>> = {
  execute: FS.EXECUTE | FS.READ_FILE | FS.READ_DIR,
  read: FS.READ_FILE | FS.READ_DIR,
  "read-write-file": FS.READ_FILE | FS.WRITE_FILE,
  write:
    FS.READ_FILE |
    FS.READ_DIR |
    FS.WRITE_FILE |
    FS.REMOVE_FILE |
    FS.REMOVE_DIR |
    FS.MAKE_DIR |
    FS.MAKE_REG |
    FS.REFER |
    FS.TRUNCATE,
};
const OF_FILES = FS.EXECUTE | FS.READ_FILE | FS.WRITE_FILE | FS.TRUNCATE;

export interface LandlockRule {
  /** An open descriptor (O_PATH is enough) of what may be used, with all below it. */
  readonly fd: number;
  readonly isDirectory: boolean;
  readonly access: LandlockAccess;
}

/** The version that the kernel has (landlock_create_ruleset(2)); 0: none, or switched off. */
export function landlockVersion(): number {
  const version = libc.syscall(SYS_CREATE_RULESET, 0, 0, CREATE_RULESET_VERSION, 0, 0, 0);
  return Number(version) > 0 ? Number(version) : 0;
}

/**
 * Confines the calling thread, and what it executes from now on, to `rules`; `network`: "connect" allows outgoing TCP connections and no listening, "none" no TCP. What the kernel is too
 * old for is left out; the result is the version that was in force (0: nothing is confined). The thread must have no_new_privs or CAP_SYS_ADMIN. Throws SystemCallError.
 */
export function landlockRestrict(rules: readonly LandlockRule[], network: "connect" | "none"): number {
  const version = landlockVersion();
  if (version === 0) return 0;
  const handled =
    FS.ALL_1 | (version >= 2 ? FS.REFER : 0n) | (version >= 3 ? FS.TRUNCATE : 0n) | (version >= 5 ? FS.IOCTL_DEV : 0n);
  const net = version < 4 ? 0n : network === "none" ? NET.BIND_TCP | NET.CONNECT_TCP : NET.BIND_TCP;
  // struct landlock_ruleset_attr: its size tells the kernel which fields there are.
  const attributes = new BigUint64Array([handled, net, version >= 6 ? SCOPE_ALL : 0n]);
  const size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
  const ruleset = call("create a Landlock ruleset", () =>
    libc.syscall(SYS_CREATE_RULESET, address(attributes), size, 0, 0, 0, 0),
  );
  try {
    for (const { fd, isDirectory, access } of rules) {
      // struct landlock_path_beneath_attr, packed: __u64 allowed_access, __s32 parent_fd.
      const rule = Buffer.alloc(12);
      rule.writeBigUInt64LE(ACCESS[access] & handled & (isDirectory ? handled : OF_FILES), 0);
      rule.writeInt32LE(fd, 8);
      call("add a Landlock rule", () => libc.syscall(SYS_ADD_RULE, ruleset, RULE_PATH_BENEATH, address(rule), 0, 0, 0));
    }
    call("restrict itself with Landlock", () => libc.syscall(SYS_RESTRICT_SELF, ruleset, 0, 0, 0, 0, 0));
  } finally {
    libc.close(ruleset);
  }
  return version;
}

/** syscall(2) takes pointers as numbers here. The caller's variable keeps the buffer alive. */
function address(buffer: NodeJS.TypedArray): number {
  return Number(ptr(buffer));
}

function call(name: string, action: () => number | bigint): number {
  const result = Number(action());
  if (result >= 0) return result;
  const location = libc.__errno_location();
  if (location === null) throw internalError("no errno location");
  throw new SystemCallError(name, read.i32(location, 0), "");
}
