/** Rules of this repository that no linter knows. Each function returns complaints; run by `make check`. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const files = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" })
  .stdout.split("\n")
  .filter((file) => file !== "" && existsSync(file));
const sources = files.filter((file) => /^(src|stage1)\/.*\.ts$/.test(file));

/** What is not done, or not on the main thread, when the next line runs; and what loads code. */
const ASYNCHRONOUS = [
  ...[
    "\\bawait\\b",
    "\\basync\\b",
    "fs/promises",
    "\\bpromises\\.",
    "\\bBun\\.(file|write|spawn)\\(",
    "\\bfetch\\(",
    "\\bimport\\(",
  ],
  ...[
    "\\bdlopen\\(",
    "\\.then\\(",
    "\\bsetTimeout\\(",
    "\\bcreate(Read|Write)Stream\\(",
    "\\bnew (Worker|Response)\\(",
    "node:(dns|net|http)",
  ],
].join("|");

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
  const steps = ["fetch", "trust", "store", "render", "network", "pod", "measure"];
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
  // What the build put beside the sources is no folder of theirs.
  return [...text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)]
    .map((match) => normalize(join(dirname(file), match[1] ?? "")))
    .filter((path) => !path.startsWith("build/"));
}

function moduleFiles(): string[] {
  const folders = [
    "host",
    "fetch",
    "trust",
    "store",
    "render",
    "pod",
    "stage0",
    "network",
    "stage1-contract",
    "measure",
  ];
  return folders
    .map((folder) => `src/${folder}/mod.ts`)
    .filter((file) => !existsSync(file) || !readFileSync(file, "utf8").startsWith("/**"))
    .map((file) => `${file}: missing, or without a comment that says what the folder takes and gives`);
}

/**
 * Between the first unshare, setns or chroot and execve only synchronous calls on the main thread are sound: pool threads keep the old root and namespaces,
 * so an asynchronous write would land in the host. Looked at: what follows such a call in its file, and every function that is called from there, in whatever file.
 */
function synchronousAfterUnshare(file: string): string[] {
  if (file.endsWith(".test.ts") || file.startsWith("src/host/")) return [];
  const text = readFileSync(file, "utf8");
  const start = text.search(/\bhost\.(unshare|setns|chroot|pivotRoot)\(/);
  if (start < 0) return [];
  const seen = new Set<string>();
  return [asynchronous(file, text.slice(start)), ...calledFrom(file, text.slice(start), seen)].flat();
}

function asynchronous(file: string, text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  const found = new RegExp(ASYNCHRONOUS).exec(code);
  return found === null
    ? []
    : [`${file}: "${found[0]}" after a change of namespace or root; only synchronous calls are sound there`];
}

/** Complaints about the functions, of this file or imported, that `text` calls, and of those that they call. */
function calledFrom(file: string, text: string, seen: Set<string>): string[] {
  const imports = new Map<string, string>();
  const whole = readFileSync(file, "utf8");
  for (const [, names = "", path = ""] of whole.matchAll(/import \{([^}]*)\} from "(\.[^"]+)"/g))
    for (const name of names.split(",")) imports.set(name.trim(), normalize(join(dirname(file), path)));
  return [...new Set([...text.matchAll(/\b(\w+)\(/g)].map((match) => match[1] ?? ""))].flatMap((name) => {
    const where = imports.get(name) ?? file;
    const definition = definitionOf(where, name);
    if (definition === undefined || seen.has(`${definition.file} ${name}`)) return [];
    seen.add(`${definition.file} ${name}`);
    return [...asynchronous(definition.file, definition.text), ...calledFrom(definition.file, definition.text, seen)];
  });
}

/** A top-level function, also when `file` only passes it on from another. */
function definitionOf(file: string, name: string): { file: string; text: string } | undefined {
  const text = readFileSync(file, "utf8");
  const found = new RegExp(`^(?:export )?(?:async )?function \\*?${name}\\([\\s\\S]*?^}$`, "m").exec(text);
  if (found !== null) return { file, text: found[0] };
  const passedOn = new RegExp(`export \\{[^}]*\\b${name}\\b[^}]*\\} from "(\\.[^"]+)"`).exec(text)?.[1];
  return passedOn === undefined ? undefined : definitionOf(normalize(join(dirname(file), passedOn)), name);
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
