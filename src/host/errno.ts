/** errno values by name (errno(3); asm-generic numbers). */

import { constants } from "node:os";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";

const NAMES = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));
// ELOOP, ENOSYS and friends are in node's table; these two are not, and overlayfs and xattr calls return them.
NAMES.set(39, "ENOTEMPTY");
NAMES.set(95, "EOPNOTSUPP");

export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

const MEANING: Record<string, string> = {
  EPERM: "operation not permitted",
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EEXIST: "file exists",
  EBUSY: "device or resource busy",
  ENOTDIR: "not a directory",
  EISDIR: "is a directory",
  EINVAL: "invalid argument",
  ENOSPC: "no space left on device",
  EROFS: "read-only file system",
  ELOOP: "too many symbolic links, or a symbolic link where none may be",
  EXDEV: "path crosses a mount",
  ENOSYS: "the kernel has no such call",
  ENOEXEC: "not a program of this machine's kind",
  ENOTEMPTY: "directory not empty",
  EOPNOTSUPP: "not supported by the file system",
  EAGAIN: "resource temporarily unavailable",
  ENODEV: "no such file system type or device",
};

/** A refused system call. `errnoName` is what callers branch on. */
export class SystemCallError extends RktError {
  readonly syscall: string;
  readonly errno: number;
  readonly errnoName: string;

  constructor(syscall: string, errno: number, what: string) {
    const name = errnoName(errno);
    const meaning = MEANING[name];
    super("SYSTEM_CALL", `Cannot ${syscall} ${what}: ${name}${meaning === undefined ? "" : ` (${meaning})`}`);
    this.name = "SystemCallError";
    this.syscall = syscall;
    this.errno = errno;
    this.errnoName = name;
  }
}

/** True when `error` is a refused system call with one of `names`; node:fs errors (`code`) count too. */
export function isErrno(error: unknown, ...names: string[]): boolean {
  if (error instanceof SystemCallError) return names.includes(error.errnoName);
  if (error instanceof Error && "code" in error && typeof error.code === "string") return names.includes(error.code);
  return false;
}

/** A path (text or bytes) quoted for an error message. */
export function quotedPath(path: string | Uint8Array): string {
  return quoted(typeof path === "string" ? path : Buffer.from(path).toString("utf8"));
}
