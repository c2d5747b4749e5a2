/** rkt fsck: checks the data directory, and mends it. */

import { lstatSync } from "node:fs";
import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { ordered } from "../../spec/json-text.ts";
import type { Finding } from "../check-data-dir.ts";
import type { Command, CommandInput } from "../command.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../output-format.ts";

export const command: Command = {
  name: "fsck",
  summary: "Check the data directory, and mend it",
  usage: "[--repair] [--deep] [--format=json|json-pretty]",
  description: `Looks for damage: directories, records or blobs that are missing, wrong or not readable for those who should, unpacked layers that pods or images need and that are not whole. And for leftovers of killed commands, which take room and do no harm.

With --repair, damage is mended: what is wrong is removed, blobs are fetched again from where they came, the index is rebuilt from root's own records and from the blobs, unpacked layers are unpacked again when they are needed. Leftovers are removed. Nothing that a pod stands on is touched. Without it, nothing is changed.

The exit status is 0 when there is no damage (or none any more), 1 when damage is left, and 254 when the check could not be made.`,
  flags: [
    { name: "repair", kind: "bool", usage: "mend what was found" },
    { name: "deep", kind: "bool", usage: "read every blob and every unpacked file, and compare digests" },
    FORMAT_FLAG,
  ],
  requiresRoot: true,
  run: fsckCommand,
};

const DAMAGE_LEFT = 1;

async function fsckCommand({ engine, flags, args, output }: CommandInput): Promise<number> {
  const format = jsonFormat(flags);
  if (args.length > 0) throw new RktError("USAGE", `Cannot check ${quoted(args[0] ?? "")}: fsck takes no arguments`);
  if (lstatSync(engine.dataDir.root, { throwIfNoEntry: false }) === undefined) {
    throw new RktError("NOT_FOUND", `Cannot check ${quoted(engine.dataDir.root)}: there is no such directory`);
  }
  const { checkDataDir } = await import("../check-data-dir.ts");
  const findings: Finding[] = [];
  const report = (finding: Finding): void => {
    findings.push(finding);
    if (format === undefined) output.stdout(asText(finding));
  };
  await checkDataDir({ engine, repair: flags.bool("repair"), deep: flags.bool("deep"), report });
  const left = findings.filter(({ problem, mended }) => problem.severity === "damage" && !mended).length;
  if (format === undefined) output.stdout(`${summary(findings, left)}\n`);
  else output.stdout(formatted(asJson(findings, left), format));
  return left > 0 ? DAMAGE_LEFT : 0;
}

function asText({ problem, action, mended }: Finding): string {
  const done = action === undefined ? "" : `\n  ${mended ? "mended" : "not mended"}: ${action}`;
  return `${problem.severity}: ${problem.message}${done}\n`;
}

function summary(findings: readonly Finding[], left: number): string {
  if (findings.length === 0) return "the data directory is in order";
  const damage = findings.filter(({ problem }) => problem.severity === "damage").length;
  const leftovers = findings.length - damage;
  const removed = findings.filter(({ problem, mended }) => problem.severity === "leftover" && mended).length;
  const hint =
    left > 0 && findings.every(({ action }) => action === undefined)
      ? "; rkt fsck --repair mends what can be mended"
      : "";
  return `damage: ${damage} found, ${damage - left} mended; leftovers: ${leftovers} found, ${removed} removed${hint}`;
}

function asJson(findings: readonly Finding[], left: number): ReturnType<typeof ordered> {
  const problems = findings.map(({ problem, action, mended }) =>
    ordered(
      ["severity", problem.severity],
      ["kind", problem.kind],
      ["path", problem.path],
      ["image", problem.image],
      ["message", problem.message],
      ["mended", mended],
      ["action", action],
    ),
  );
  return ordered(["problems", problems], ["damage_left", left]);
}
