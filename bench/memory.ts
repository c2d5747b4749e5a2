/** How much memory a command takes, with all its workers: looked at every few milliseconds, because cgroup v1's own count has the page cache in it. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupsBelow, readControl } from "../src/host/cgroup-tree.ts";
import { censusScope } from "../tests/harness/leaks.ts";
import type { BigImage } from "./big-image.ts";
import { copySeed, putAside } from "./fetch.ts";
import { PLAIN_ENVIRONMENT } from "./measure.ts";
import type { Workspace } from "./workspace.ts";

export interface Peak {
  readonly name: string;
  /** Bytes: the largest sum over all processes of their proportional share (a page used by two counts half for each). */
  readonly together: number;
  /** Bytes: the largest resident set of one process, as the kernel kept it (VmHWM). */
  readonly largest: number;
  readonly absent?: string;
}

export async function measureMemory(
  space: Workspace,
  images: readonly BigImage[],
  tell: (text: string) => void,
): Promise<Peak[]> {
  const peaks: Peak[] = [];
  for (const image of images) {
    const megabytes = Math.round(image.size / 1e6);
    for (const tag of ["gzip", "zstd"] as const) {
      const reference = `oci:${join(process.cwd(), image.layout)}:${tag}`;
      const data = join(space.dir, "memory");
      copySeed(space, data);
      const command = space.rkt(["prepare", "--quiet", "--stage1-name=coreos.com/rkt/stage1-fly", reference], data);
      peaks.push(await peakOf(`rkt prepare, ${megabytes} MB, ${tag}`, command));
      const store = join(space.dir, "memory-podman");
      const name = `podman pull, ${megabytes} MB, ${tag}`;
      const pull = peakOf(name, space.podman(["pull", "--quiet", reference], store));
      peaks.push(await pull.catch((error: unknown) => ({ name, together: 0, largest: 0, absent: String(error) })));
      putAside(space, data, store, `${store}-run`);
      tell(`${megabytes} MB, ${tag}`);
    }
  }
  return peaks;
}

async function peakOf(name: string, command: readonly string[]): Promise<Peak> {
  using scope = censusScope();
  const [cgroup = ""] = scope.cgroups;
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: PLAIN_ENVIRONMENT });
  let together = 0;
  let largest = 0;
  let running = true;
  const ended = child.exited.then((status) => {
    running = false;
    return status;
  });
  while (running) {
    const pids = pidsBelow(cgroup);
    const sum = pids.reduce((total, pid) => total + bytes(`/proc/${pid}/smaps_rollup`, "Pss"), 0);
    together = Math.max(together, sum);
    for (const pid of pids) largest = Math.max(largest, bytes(`/proc/${pid}/status`, "VmHWM"));
    await Bun.sleep(4);
  }
  if ((await ended) !== 0) throw new Error(`${name}: ${(await new Response(child.stderr).text()).trim()}`);
  return { name, together, largest };
}

function pidsBelow(directory: string): number[] {
  return cgroupsBelow(directory)
    .flatMap((path) => readControl(path, "cgroup.procs")?.split("\n") ?? [])
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid);
}

/** A line "KEY: N kB"; 0 when the process has ended meanwhile. */
function bytes(file: string, key: string): number {
  try {
    return Number(new RegExp(`^${key}:\\s+([0-9]+) kB`, "m").exec(readFileSync(file, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

export interface ResidentProcess {
  readonly pid: number;
  /** Command line. */
  readonly name: string;
  /** Bytes. */
  readonly rss: number;
  readonly pss: number;
}

/** What runs in a cgroup and those below, with its memory. */
export function residentIn(directory: string): ResidentProcess[] {
  return pidsBelow(directory).map(residentProcess);
}

export function residentProcess(pid: number): ResidentProcess {
  return {
    pid,
    name: commandLine(pid),
    rss: bytes(`/proc/${pid}/smaps_rollup`, "Rss"),
    pss: bytes(`/proc/${pid}/smaps_rollup`, "Pss"),
  };
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ").trim();
  } catch {
    return "";
  }
}
