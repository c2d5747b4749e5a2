/** Landlock (landlock(7)): a thread gives up access to everything but named directories, for itself and what it executes. */

import { libc } from "./libc.ts";

/** The same on every architecture. */
const SYS_CREATE_RULESET = 444;

const CREATE_RULESET_VERSION = 1;

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

/** What may be used, with all below it: a path, or a descriptor that is open where the rules are set. */
export type LandlockRule = (
  | { readonly path: string; readonly fd?: undefined }
  | { readonly fd: number; readonly path?: undefined }
) & {
  /** Different ones where it matters whether it is a directory. */
  readonly access: LandlockAccess | { readonly directory: LandlockAccess; readonly file: LandlockAccess };
};

/** The version that the kernel has (landlock_create_ruleset(2)); 0: none, or switched off. */
export function landlockVersion(): number {
  const version = libc.syscall(SYS_CREATE_RULESET, 0, 0, CREATE_RULESET_VERSION, 0, 0, 0);
  return Number(version) > 0 ? Number(version) : 0;
}

/**
 * Words for confine.c that confine a thread, and what it executes from then on, to `rules`; `network`: "connect" allows outgoing TCP connections and no listening, "none" no TCP. What the kernel is too old
 * for is left out; none without Landlock.
 */
export function landlockWords(rules: readonly LandlockRule[], network: "connect" | "none"): string[] {
  const version = landlockVersion();
  if (version === 0) return [];
  const handled =
    FS.ALL_1 | (version >= 2 ? FS.REFER : 0n) | (version >= 3 ? FS.TRUNCATE : 0n) | (version >= 5 ? FS.IOCTL_DEV : 0n);
  const net = version < 4 ? 0n : network === "none" ? NET.BIND_TCP | NET.CONNECT_TCP : NET.BIND_TCP;
  const scoped = version >= 6 ? SCOPE_ALL : 0n;
  // struct landlock_ruleset_attr: its size tells the kernel which fields there are.
  const size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
  const words = [`landlock=${hex(handled)}:${hex(net)}:${hex(scoped)}:${size.toString(16)}`];
  for (const { access, path, fd } of rules) {
    const { directory, file } = typeof access === "string" ? { directory: access, file: access } : access;
    const masks = `${hex(ACCESS[directory] & handled)}:${hex(ACCESS[file] & handled & OF_FILES)}`;
    words.push(path === undefined ? `fd=${masks}:${fd}` : `path=${masks}:${path}`);
  }
  return [...words, "restrict"];
}

const hex = (bits: bigint) => bits.toString(16);
