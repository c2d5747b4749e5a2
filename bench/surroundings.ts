/** Where and with what the numbers were measured. */

import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { run } from "./measure.ts";

export interface Surroundings {
  readonly commit: string;
  readonly date: string;
  /** The three load averages before the first measurement. */
  readonly load: string;
  readonly machine: string;
  readonly system: string;
  readonly versions: readonly string[];
  readonly runs: number;
  readonly imageSize: number;
  readonly imageFiles: number;
}

const PEERS: readonly (readonly string[])[] = [
  ["runc", "--version"],
  ["crun", "--version"],
  ["podman", "--version"],
  ["umoci", "--version"],
  ["tar", "--version"],
  ["zstd", "--version"],
  ["systemd-nspawn", "--version"],
];

export function surroundings(
  input: Pick<Surroundings, "runs" | "imageSize" | "imageFiles">,
  rkt: string,
): Surroundings {
  const processors = cpus();
  return {
    ...input,
    commit: `${run(["git", "rev-parse", "--short=12", "HEAD"]).trim()}${isChanged() ? " with changes" : ""}`,
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    load: readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" "),
    machine: `${processors.length} × ${processors[0]?.model ?? "?"}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    system: `${osName()}, Linux ${release()}, cgroups ${cgroups()}`,
    versions: [`rkt ${/rkt Version: (\S+)/.exec(run([rkt, "version"]))?.[1] ?? "?"}`, ...PEERS.map(versionOf)],
  };
}

export function surroundingLines(around: Surroundings): string[] {
  return [
    `- commit ${around.commit}, ${around.date} UTC, ${around.runs} rounds`,
    `- ${around.machine}; ${around.system}`,
    `- load average at the start: ${around.load}`,
    `- ${around.versions.join("; ")}`,
  ];
}

function isChanged(): boolean {
  const lines = run(["git", "status", "--porcelain", "--untracked-files=no"]).split("\n");
  return lines.some((line) => line !== "" && !/ bench\/(RESULTS\.md|results\.svg)$/.test(line));
}

function cgroups(): string {
  const hierarchies = readFileSync("/proc/self/cgroup", "utf8").trim().split("\n").length;
  return hierarchies > 1 ? "v1 or hybrid" : "v2";
}

function osName(): string {
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
}

function versionOf(command: readonly string[]): string {
  try {
    return run(command).split("\n")[0]?.trim() ?? "?";
  } catch {
    return `${command[0]} absent`;
  }
}
