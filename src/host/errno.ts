/** errno values by name (errno(3); asm-generic numbers). */

import { internalError, RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";

/**
 * asm-generic/errno-base.h and errno.h, which x86-64 and arm64 share: the place in the list is the number, "-" stands for one that nobody has. A table of our own,
 * because making node:os's took every start 2 ms; errno.test.ts compares the two.
 */
const NAMES = `-
  EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL
  ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP - ENOMSG EIDRM
  ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT - EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG
  EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ
  ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT
  EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED
  EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED
  EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON`.split(/\s+/);

/** The number that goes with a name; throws for a name that nobody has. */
export function errnoNumber(name: string): number {
  const number = NAMES.indexOf(name);
  if (number <= 0) throw internalError(`there is no errno ${name}`);
  return number;
}

export function errnoName(errno: number): string {
  const name = NAMES[errno] ?? "-";
  return name === "-" ? `errno ${errno}` : name;
}

const MEANING: Record<string, string> = {
  EIO: "input/output error",
  EFBIG: "file too large",
  EDQUOT: "disk quota exceeded",
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
  /** In words, where there are some; else the name. */
  readonly meaning: string;

  constructor(syscall: string, errno: number, what: string) {
    const name = errnoName(errno);
    const meaning = MEANING[name];
    super("SYSTEM_CALL", `Cannot ${syscall} ${what}: ${name}${meaning === undefined ? "" : ` (${meaning})`}`);
    this.name = "SystemCallError";
    this.syscall = syscall;
    this.errno = errno;
    this.errnoName = name;
    this.meaning = meaning ?? name;
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
