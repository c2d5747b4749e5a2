/** docs/evidence/soak.md: the last result, with what it was made on. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { runProgram } from "../harness/temporary.ts";
import type { Part } from "./part.ts";

const FILE = "docs/evidence/soak.md";

/** Gives the page; writes it when all parts ran. */
export function writeEvidence(parts: readonly Part[], seed: number, complete: boolean): string {
  const results = parts.flatMap((part) => part.results);
  const findings = results.flatMap(({ what, findings: found }) => found.map((text) => `- ${what}: ${shortened(text)}`));
  const page = [
    "# Soak",
    "",
    "Written by `make soak`: loops, kills, crowds and fuzzing, in a private copy of the machine's mounts and network. What is counted before and after: mounts, network",
    "namespaces and interfaces, routes, address leases, rules of every firewall table, cgroups of every hierarchy, processes, files of the pods, of downloads and of /tmp.",
    "",
    `- commit ${commit()}, ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
    `- ${cpus().length} × ${cpus()[0]?.model ?? "?"}, Linux ${release()}; load average at the end: ${load()}`,
    `- seed ${seed} (\`SOAK_SEED=${seed} make soak\` does the same again)`,
    `- found: ${findings.length === 0 ? "nothing" : `${findings.length}, below`}`,
    "",
    "| what | how much | found |",
    "| --- | --- | --- |",
    ...results.map(({ what, counts, findings: found }) => {
      const cells = [what, counts, found.length === 0 ? "nothing" : String(found.length)];
      return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    }),
    "",
    `Time: ${parts.map(({ name, seconds }) => `${name} ${Math.round(seconds)} s`).join(", ")}.`,
    ...(findings.length === 0 ? [] : ["", "## Found", "", ...findings]),
    "",
  ].join("\n");
  if (complete) {
    mkdirSync("docs/evidence", { recursive: true });
    writeFileSync(FILE, page);
  }
  return page;
}

function shortened(text: string): string {
  return text.split("\n").slice(0, 4).join("; ").slice(0, 1500);
}

/** git refuses a directory of another owner, and the program's environment has no home to say otherwise. */
const SAFE = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" };

function commit(): string {
  const head = runProgram(["git", "rev-parse", "--short=12", "HEAD"], { env: SAFE }).trim();
  const changes = runProgram(["git", "status", "--porcelain", "--untracked-files=no"], { env: SAFE });
  const changed = changes.split("\n").some((line) => line !== "" && !line.endsWith(FILE));
  return changed ? `${head} with changes` : head;
}

function load(): string {
  return readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" ");
}
