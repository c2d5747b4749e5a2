/** Rules of this repository that no linter knows. Each function returns complaints; run by `make check`. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const files = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" })
  .stdout.split("\n")
  .filter((file) => file !== "" && existsSync(file));
const sources = files.filter((file) => /^(src|stage1)\/.*\.ts$/.test(file));

const complaints = [
  ...sources.flatMap(importDirection),
  ...moduleFiles(),
  ...sources.flatMap(synchronousAfterUnshare),
  ...files.flatMap(foreignWords),
  ...sources.flatMap(terminalWrites),
];
for (const complaint of complaints) console.error(complaint);
console.log(`${files.length} files, ${complaints.length} complaints`);
process.exitCode = complaints.length === 0 ? 0 : 1;

/** What each folder may import besides itself. As strict as separate packages: this is what keeps a stage1 replaceable. */
function allowedImports(folder: string): readonly string[] {
  const steps = ["fetch", "trust", "store", "render", "network", "pod"];
  const base = ["core", "spec", "host"];
  if (folder === "core") return [];
  if (folder === "spec") return ["core"];
  if (folder === "host") return ["core"];
  if (folder === "stage1-contract") return ["core"];
  if (folder === "config") return base;
  if (steps.includes(folder)) return [...base, "config", "stage1-contract"];
  if (folder === "stage1") return [...base, "network", "stage1-contract"];
  if (folder === "stage0") return [...base, "config", "stage1-contract", ...steps, "stage1"];
  if (folder === "services") return [...base, "config", ...steps, "stage0"];
  return ["*"];
}

function folderOf(file: string): string {
  const [top, second] = file.split("/");
  return top === "stage1" ? "stage1" : second === "main.ts" ? "cli" : (second ?? "");
}

function importDirection(file: string): string[] {
  if (file.endsWith(".test.ts")) return [];
  const folder = folderOf(file);
  const allowed = allowedImports(folder);
  if (allowed.includes("*")) return [];
  return relativeImports(file).flatMap((target) => {
    const other = folderOf(target);
    if (other === folder || allowed.includes(other)) return [];
    return [`${file}: imports ${target}; ${folder} may import ${allowed.join(", ") || "nothing"}`];
  });
}

function relativeImports(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map((match) =>
    normalize(join(dirname(file), match[1] ?? "")),
  );
}

function moduleFiles(): string[] {
  const folders = ["host", "fetch", "trust", "store", "render", "pod", "stage0", "network", "stage1-contract"];
  return folders
    .map((folder) => `src/${folder}/mod.ts`)
    .filter((file) => !existsSync(file) || !readFileSync(file, "utf8").startsWith("/**"))
    .map((file) => `${file}: missing, or without a comment that says what the folder takes and gives`);
}

/**
 * Between the first unshare, setns or chroot and execve only synchronous calls on the main thread are sound: pool threads keep the old root and namespaces,
 * so an asynchronous write would land in the host.
 */
function synchronousAfterUnshare(file: string): string[] {
  if (file.endsWith(".test.ts") || file.startsWith("src/host/")) return [];
  const text = readFileSync(file, "utf8");
  const start = text.search(/\bhost\.(unshare|setns|chroot|pivotRoot)\(/);
  if (start < 0) return [];
  const found = /\bawait\b|fs\/promises|\bBun\.file\(|\bfetch\(|\bimport\(|\bdlopen\(/.exec(text.slice(start));
  return found === null
    ? []
    : [`${file}: "${found[0]}" after the first change of namespace or root; only synchronous calls are sound there`];
}

/** The project speaks of itself alone. */
function foreignWords(file: string): string[] {
  if (file === "tools/check-repository.ts" || file === "package-lock.json" || file === "LICENSE") return [];
  const words = [
    /registry\.npmjs/i,
    /deb\.debian\.org/i,
    /security\.debian\.org/i,
    /snapshot\.debian/i,
    /\/work\/(main|shared)/,
    /\bTODO\b|\bFIXME\b/,
  ];
  const text = readFileSync(file, "utf8");
  return words.flatMap((word) => {
    const match = word.exec(text);
    return match === null ? [] : [`${file}: has "${match[0]}", which does not belong into the repository`];
  });
}

/** Only src/cli/report.ts writes to the terminal (and the worker's own channel, and main.ts for what nothing else caught). */
function terminalWrites(file: string): string[] {
  if (
    file.endsWith(".test.ts") ||
    !file.startsWith("src/") ||
    ["src/cli/report.ts", "src/host/worker-side.ts", "src/main.ts"].includes(file)
  )
    return [];
  const match = /\bconsole\.(log|error|warn)|process\.(stdout|stderr)\.write/.exec(readFileSync(file, "utf8"));
  return match === null
    ? []
    : [`${file}: writes to the terminal with ${match[0]}; use the output that the command was given`];
}
