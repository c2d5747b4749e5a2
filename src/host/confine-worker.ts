/**
 * The first of a worker's two starts: it sets limits, Landlock rules and a system call filter, which bind the thread that sets them and what that executes, and becomes the worker. (The runtime has several threads
 * from its first line on, so a process cannot confine all of itself; setpriv of Debian 12 knows no Landlock.)
 */

import { closeSync, fstatSync, readFileSync } from "node:fs";
import type { Confinement } from "./confine-words.ts";
import { AT_FDCWD, F, O } from "./constants.ts";
import { isErrno } from "./errno.ts";
import type { Host } from "./host.ts";
import { type LandlockAccess, type LandlockRule, landlockRestrict } from "./landlock.ts";
import { filterWorker } from "./worker-filter.ts";

const RLIMIT = { CPU: 0, FSIZE: 1, DATA: 2, CORE: 4, NOFILE: 7 } as const;
const MOST_FILES = 1024n;

/** Programs (xz, gpgv) and their libraries. */
const PROGRAMS = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/** How names become addresses, and which authorities are trusted. Never all of /etc. */
const SETTINGS = [
  ...["resolv.conf", "hosts", "host.conf", "nsswitch.conf", "gai.conf", "services", "protocols", "localtime"],
  ...["passwd", "group", "ld.so.cache", "ld.so.preload", "ssl", "pki", "ca-certificates", "alternatives"],
].map((name) => `/etc/${name}`);
const READ = [
  ...SETTINGS,
  "/proc",
  "/sys/fs/cgroup",
  "/sys/devices/system",
  "/dev/urandom",
  "/dev/random",
  "/dev/zero",
];

/** Never returns: `argv` are the words of confineWords. The environment stays, it was made from nothing. */
export function confineAndStart(host: Host, worker: string, argv: readonly string[]): never {
  const [descriptors, confinement] = [Number(argv[0]), JSON.parse(argv[1] ?? "") as Confinement];
  const executable = 3 + descriptors;
  // The runtime has marked what it inherited to be closed at the next start.
  for (let fd = 3; fd <= executable; fd += 1) host.fcntl(fd, F.SETFD, 0);
  setLimits(host, confinement);
  const opened: LandlockRule[] = [
    ...PROGRAMS.flatMap((path) => ruleFor(host, path, "execute")),
    ...READ.flatMap((path) => ruleFor(host, path, "read")),
    ...ruleFor(host, "/dev/null", "read-write-file"),
    ...(confinement.temporary ? ruleFor(host, "/tmp", "write") : []),
  ];
  const inherited: LandlockRule[] = [];
  for (let fd = 3; fd < executable; fd += 1) {
    const isDirectory = fstatSync(fd).isDirectory();
    inherited.push({ fd, isDirectory, access: isDirectory && fd < 3 + confinement.writable ? "write" : "read" });
  }
  landlockRestrict(
    [...opened, ...inherited, { fd: executable, isDirectory: false, access: "execute" }],
    confinement.network,
  );
  for (const { fd } of opened) closeSync(fd);
  // Last: it denies what was done above.
  filterWorker(host, confinement.network === "connect" ? "network" : "files");
  return host.execve(`/proc/self/fd/${executable}`, ["rkt", "worker", worker], { ...environment() });
}

/** No core file of what it holds in memory; a bound for everything else that one bad archive could use up. Hard limits, so that they cannot be raised again. */
function setLimits(host: Host, { fileSize, time }: Confinement): void {
  const limits: [resource: number, most: bigint][] = [
    [RLIMIT.CORE, 0n],
    [RLIMIT.NOFILE, MOST_FILES],
    [RLIMIT.FSIZE, BigInt(fileSize)],
    [RLIMIT.CPU, BigInt(time)],
  ];
  for (const [resource, most] of limits) {
    const { hard } = host.getLimit(resource);
    const value = hard < most ? hard : most;
    host.setLimit(resource, { soft: value, hard: value });
  }
}

/** Nothing for a path that this host lacks, or that the worker's user may not see anyway. */
function ruleFor(host: Host, path: string, access: LandlockAccess): LandlockRule[] {
  try {
    const fd = host.openat(AT_FDCWD, path, O.PATH | O.CLOEXEC, 0);
    return [{ fd, isDirectory: fstatSync(fd).isDirectory(), access }];
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES", "ENOTDIR", "ELOOP")) return [];
    throw error;
  }
}

function environment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Bytes of memory that a worker may map beyond what its start took: the runtime reserves gigabytes of addresses, so the limit counts from there. Called by the worker itself. */
export function limitMemory(host: Host, bytes: number): void {
  const kilobytes = /^VmData:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  if (kilobytes === undefined) return;
  const most = BigInt(Number(kilobytes) * 1024 + bytes);
  host.setLimit(RLIMIT.DATA, { soft: most, hard: most });
}
