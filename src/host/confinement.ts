/** What a worker is confined to, and the words that make confine.c see to it before the worker starts. */

import type { Account } from "./accounts.ts";
import { type LandlockRule, landlockWords } from "./landlock.ts";
import { workerFilter } from "./worker-filter.ts";

/** What a worker may do besides reading programs, libraries, and what the host says about names. */
export interface Confinement {
  /** How many of its descriptors, from 3 on, are directories that it writes to; the rest are read. */
  readonly writable: number;
  /** Whether it needs a directory for temporary files: /tmp. */
  readonly temporary: boolean;
  /** "connect": outgoing connections; "none": no TCP at all. */
  readonly network: "connect" | "none";
  /** Largest file that it may write, bytes. */
  readonly fileSize: number;
  /** Processor time until it is killed, seconds. */
  readonly time: number;
}

export interface ConfinedStart {
  /** The user to become; undefined keeps the caller's (who is not root then). */
  readonly account: Account | undefined;
  /** Supplementary groups to keep. */
  readonly groups: readonly number[];
  /** How many descriptors the worker has, from 3 on. The executable's follows, and then that of confine itself. */
  readonly descriptors: number;
  /** Undefined: it is bound by its user's rights alone. */
  readonly confinement?: Confinement | undefined;
}

/** RLIMIT_*, numbers that are the same on x86-64 and arm64. */
const LIMIT = { cpu: 0, fileSize: 1, core: 4, files: 7 } as const;
const MOST_FILES = 1024;

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

/** In the order in which they must happen: rights that a step needs are given up after it. */
export function confinementWords({ account, groups, descriptors, confinement }: ConfinedStart): string[] {
  const user =
    account === undefined ? [] : ["bounding", `groups=${groups.join(",")}`, `user=${account.uid}:${account.gid}`];
  const own = `close=${3 + descriptors + 1}`;
  // The change of users takes the signal at the parent's end away again (prctl(2)), so that comes after it.
  const start = [...user, "inheritable", "nnp", `parent=${process.pid}`, own];
  return confinement === undefined ? start : [...start, ...boundWords(confinement, descriptors)];
}

function boundWords({ writable, temporary, network, fileSize, time }: Confinement, descriptors: number): string[] {
  // No core file of what it holds in memory; a bound for everything else that one bad archive could use up.
  const limits = [
    [LIMIT.core, 0],
    [LIMIT.files, MOST_FILES],
    [LIMIT.fileSize, fileSize],
    [LIMIT.cpu, time],
  ].map(([resource, most]) => `limit=${resource}:${most}`);
  const rules: LandlockRule[] = [
    ...PROGRAMS.map((path) => ({ path, access: "execute" }) as const),
    ...READ.map((path) => ({ path, access: "read" }) as const),
    { path: "/dev/null", access: "read-write-file" },
    ...(temporary ? [{ path: "/tmp", access: "write" } as const] : []),
    ...Array.from({ length: descriptors }, (_, index) => {
      const directory = index < writable ? "write" : "read";
      return { fd: 3 + index, access: { directory, file: "read" } } as const;
    }),
    { fd: 3 + descriptors, access: "execute" },
  ];
  const filter = workerFilter(network === "connect" ? "network" : "files", process.arch);
  // The filter last: it denies what the other words do.
  return [
    ...limits,
    ...landlockWords(rules, network),
    ...(filter === undefined ? [] : [`filter=${Buffer.from(filter).toString("hex")}`]),
  ];
}
