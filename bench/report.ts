/** The results as a page: what ran where, the budgets, every number. */

import { type Measurements, slowness, type Verdict } from "./budgets.ts";
import { median, type Timed } from "./measure.ts";
import { type Surroundings, surroundingLines } from "./surroundings.ts";
import { WITHOUT } from "./users.ts";

export function report(found: Measurements, verdicts: readonly Verdict[], around: Surroundings): string {
  const megabytesOfImage = Math.round(around.imageSize / 1e6);
  return [
    "# Measured",
    "",
    "Written by `make bench`: whole processes, one after the other, each once per round, so that whatever else the machine did hit all alike; medians, with the fastest and the slowest run.",
    "Every program has a store of its own, warm caches, and a private copy of the machine's network and mounts.",
    "",
    ...surroundingLines(around),
    "",
    "![Bars of the tables below](results.svg)",
    "",
    "## Budgets",
    "",
    ...table(
      ["what", "budget", "measured", "there", ""],
      verdicts.map(({ what, budget, measured, there, verdict }) => [
        what,
        budget,
        measured,
        there ?? "",
        `**${verdict}**`,
      ]),
    ),
    "",
    `"there": on the machine on which the budgets were set. Seven programs of others (crun, runc, podman, systemd-nspawn) took ${slowness(found).toFixed(2)} times as long in this run as there; what was measured is divided by that. The verdicts are about what was measured.`,
    "",
    '"floor": more than the budget, but no further from what lies below rkt (measured beside it) than was promised.',
    "",
    "## Running `true`",
    "",
    ...times(found.start, "rkt run, nspawn, --net=host", "ms"),
    "",
    "A pod in a virtual machine is measured by `make bench-kvm`: [docs/evidence/kvm.md](../docs/evidence/kvm.md).",
    "",
    "## Users of its own, for a pod of a 200 MB image",
    "",
    ...times(found.users, WITHOUT, "ms"),
    "",
    "## Looking",
    "",
    ...times(found.list, "rkt version", "ms"),
    "",
    `## An image of ${megabytesOfImage} MB in ${around.imageFiles.toLocaleString("en")} files and three layers, from an OCI layout`,
    "",
    ...times(found.fetch, "tar, gzip", "s"),
    "",
    "## Peak memory",
    "",
    "Of all processes of the command together (proportional share, looked at every 4 ms), and of the largest one.",
    "",
    ...table(
      ["what", "together", "largest process"],
      found.memory.map((peak) =>
        peak.absent === undefined
          ? [peak.name, megabytes(peak.together), megabytes(peak.largest)]
          : [peak.name, `absent: ${peak.absent}`, ""],
      ),
    ),
    "",
    "## Resident while a container runs, besides the app",
    "",
    ...table(["container", "process", "RSS", "proportional share"], found.resident.flatMap(residentRows)),
    "",
  ].join("\n");
}

function residentRows(one: Measurements["resident"][number]): string[][] {
  if (one.absent !== undefined) return [[one.name, `absent: ${one.absent}`, "", ""]];
  if (one.processes.length === 0) return [[one.name, "none", "0", "0"]];
  return one.processes.map(({ name, rss, pss }, index) => [
    index === 0 ? one.name : "",
    `\`${shorten(name)}\``,
    megabytes(rss),
    megabytes(pss),
  ]);
}

function times(rows: readonly Timed[], reference: string, unit: "ms" | "s"): string[] {
  const base = median(rows.find(({ name }) => name === reference)?.milliseconds ?? []);
  const show = (value: number) => (unit === "s" ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(1)} ms`);
  return table(
    ["what", "median", "fastest", "slowest", `against "${reference}"`, ""],
    rows.map(({ name, milliseconds, note, absent }) => {
      if (absent !== undefined) return [name, "absent", "", "", "", absent];
      const middle = median(milliseconds);
      const spread = [show(Math.min(...milliseconds)), show(Math.max(...milliseconds))];
      return [name, show(middle), ...spread, `${(middle / base).toFixed(2)} ×`, note ?? ""];
    }),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** File names without their directories. */
function shorten(command: string): string {
  const short = command.replace(/\/\S*\/(?=[^/\s]+(\s|$))/g, "");
  return short.length > 60 ? `${short.slice(0, 57)}…` : short;
}
