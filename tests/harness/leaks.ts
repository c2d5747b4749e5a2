/**
 * What rkt could leave behind on a machine, counted before and after: mounts, network namespaces and interfaces, routes, address leases, firewall rules, cgroups of
 * every hierarchy, processes, and entries of directories. Needs root.
 *
 *     using scope = censusScope([rkt.dataDir + "/pods/run"]);
 *     const before = takeCensus(scope);
 *     …
 *     expect(await leftBehind(scope, before)).toEqual([]);
 */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newUuid } from "../../src/core/uuid.ts";
import {
  cgroupDirectory,
  createPodCgroup,
  detectCgroups,
  directoriesOf,
  joinPodCgroup,
} from "../../src/host/cgroup.ts";
import { cgroupsBelow } from "../../src/host/cgroup-tree.ts";
import { isErrno } from "../../src/host/errno.ts";

export interface CensusScope {
  /** Directories whose entries are counted, whatever they are; each recursively. They need not exist. */
  readonly directories: readonly string[];
  /** The cgroups that are this process's own while the scope lasts: everything started from here is at or below them. */
  readonly cgroups: readonly string[];
  [Symbol.dispose](): void;
}

/** Kind of thing ("mount", "lease", …) → what there is of it, sorted, the same text for the same thing. */
export type Census = Readonly<Record<string, readonly string[]>>;

/** Where rkt, systemd-nspawn and the CNI plugins keep what lasts for a pod's life. */
const KNOWN_PLACES = ["/run/netns", "/run/rkt", "/run/systemd/nspawn", "/run/systemd/machines", "/var/lib/cni"];

/**
 * Moves this process (one for the whole test program) into cgroups of its own, so that what it starts is told from what else runs on the machine. When the scope
 * ends it moves back; the cgroups are removed, processes left in them are not ended: that is for the test to notice.
 */
export function censusScope(directories: readonly string[] = []): CensusScope {
  const layout = detectCgroups();
  const own = createPodCgroup(newUuid(), layout);
  joinPodCgroup(own, process.pid, layout);
  const places = directoriesOf(own, layout).map(({ directory }) => directory);
  return {
    directories: [...KNOWN_PLACES, ...directories],
    cgroups: places,
    [Symbol.dispose]: () => {
      for (const hierarchy of layout.hierarchies) {
        const home = cgroupDirectory(hierarchy, hierarchy.own);
        if (home !== undefined) writeFileSync(join(home, "cgroup.procs"), String(process.pid), { flag: "r+" });
      }
      for (const place of places.flatMap(cgroupsBelow)) {
        try {
          rmdirSync(place);
        } catch {
          // Busy: takeCensus told of the processes in it.
        }
      }
    },
  };
}

export function takeCensus(scope: CensusScope): Census {
  return {
    mount: mounts(),
    interface: readLines("/proc/self/net/dev")
      .slice(2)
      .map((line) => line.split(":")[0]?.trim() ?? "")
      .sort(),
    route: readLines("/proc/self/net/route").slice(1).sort(),
    rule: [...firewall("iptables-save"), ...firewall("ip6tables-save")],
    cgroup: scope.cgroups.flatMap(cgroupsBelow).sort(),
    process: processesIn(scope.cgroups),
    entry: scope.directories.flatMap(entriesBelow).sort(),
  };
}

/** What is in `after` and was not in `before`: `mount /x`, `rule nat: -A …`. Empty when nothing was left behind. */
export function leaked(before: Census, after: Census): string[] {
  return Object.entries(after).flatMap(([kind, things]) => {
    const known = new Map<string, number>();
    for (const thing of before[kind] ?? []) known.set(thing, (known.get(thing) ?? 0) + 1);
    return things.flatMap((thing) => {
      const count = known.get(thing) ?? 0;
      known.set(thing, count - 1);
      return count > 0 ? [] : [`${kind} ${thing}`];
    });
  });
}

/** What is left behind since `before`, once nothing changes any more: the kernel takes down namespaces and their interfaces some time after their last process. */
export async function leftBehind(scope: CensusScope, before: Census, seconds = 10): Promise<string[]> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const found = leaked(before, takeCensus(scope));
    if (found.length === 0 || Date.now() > deadline) return found;
    await Bun.sleep(50);
  }
}

/** Every mount with its root within the file system: the same path mounted twice is two lines. */
function mounts(): string[] {
  return readLines("/proc/self/mountinfo")
    .map((line) => line.split(" "))
    .map((fields) => `${fields[4]} (${fields[3]} of ${fields.slice(fields.indexOf("-") + 1, -1).join(" ")})`)
    .sort();
}

/** Chains and rules of every table, without counters. */
function firewall(program: string): string[] {
  const result = spawnSync(program, { encoding: "utf8" });
  if (result.error !== undefined) throw result.error;
  let table = "";
  return result.stdout.split("\n").flatMap((line) => {
    if (line.startsWith("*")) table = line.slice(1);
    // Built-in chains have a policy and appear with the first look at a table; chains made by somebody have "-".
    const wanted = line.startsWith("-") || (line.startsWith(":") && line.includes(" - "));
    return wanted ? [`${program.startsWith("ip6") ? "ip6 " : ""}${table}: ${line.replace(/ \[[0-9:]*\]$/, "")}`] : [];
  });
}

/** Processes other than this one, `PID COMMAND LINE`. A process whose parent has yet to take note of its end counts as well. */
function processesIn(cgroups: readonly string[]): string[] {
  const pids = new Set(
    cgroups.flatMap(cgroupsBelow).flatMap((directory) => readLines(join(directory, "cgroup.procs"))),
  );
  pids.delete(String(process.pid));
  return [...pids].sort().flatMap((pid) => {
    const words = readLines(`/proc/${pid}/cmdline`).join(" ").replaceAll("\0", " ").trim();
    const name = readLines(`/proc/${pid}/comm`)[0];
    return name === undefined ? [] : [`${pid} ${words === "" ? `[${name}]` : words}`];
  });
}

/** Files, directories and links below `directory`. What host-local and rkt keep for good is left out: the last address given, and locks. */
function entriesBelow(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
      const path = join(directory, entry.name);
      // The lock of set-ups, and the directory of opened interfaces, are made once; what is in the latter counts.
      if (path === "/run/rkt/network.lock") return [];
      if (path === "/run/rkt/links") return entriesBelow(path);
      if (path.startsWith("/var/lib/cni/") && (entry.isDirectory() || /^(lock|last_reserved_ip\..*)$/.test(entry.name)))
        return entry.isDirectory() ? entriesBelow(path) : [];
      return entry.isDirectory() ? [`${path}/`, ...entriesBelow(path)] : [path];
    });
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** Non-empty lines; none when the file is gone. */
function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "ENODEV", "ENOTSUP")) return [];
    throw error;
  }
}
