/** Reads the configuration directories. Synchronous and cheap: most hosts have no configuration, and every `rkt run` looks. */

import { lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { Config, ConfigDirs } from "./config.ts";
import type { ConfigKind, Problem } from "./entry.ts";
import { checkFileModes } from "./file-modes.ts";
import { mergeFiles, override, type ReadEntry } from "./merge.ts";
import { readConfigFile } from "./read-file.ts";

const KINDS_OF_SUBDIRECTORY: Readonly<Record<string, readonly ConfigKind[]>> = {
  "auth.d": ["auth", "dockerAuth"],
  "registries.d": ["registries"],
  "paths.d": ["paths"],
  "stage1.d": ["stage1"],
  "measurement.d": ["measurement"],
};

const LARGEST_FILE = 1024 * 1024;

/**
 * The configuration of the system, overridden by that of this host, overridden by that of the user. Throws INVALID_CONFIG with every problem of every file.
 */
export function loadConfig(dirs: ConfigDirs): Config {
  const notes: Notes = { problems: [], warnings: [], hidden: [] };
  let config = mergeFiles([], notes.problems);
  for (const dir of [dirs.systemConfigDir, dirs.localConfigDir, dirs.userConfigDir]) {
    if (dir === "") continue;
    const read = readDirectory(dir, notes);
    if (dir === dirs.userConfigDir) refuseMeasurement(read, notes.problems);
    config = override(config, mergeFiles(read, notes.problems));
  }
  if (notes.problems.length > 0) throw invalidConfig(notes.problems);
  return { ...config, warnings: notes.warnings, hidden: notes.hidden };
}

/** Who runs a pod does not choose whether it is measured, nor by which TPM. Said, and not passed over: whoever wrote the file believes that it counts. */
function refuseMeasurement(read: readonly ReadEntry[], problems: Problem[]): void {
  for (const { file, entry } of read)
    if (entry.kind === "measurement")
      problems.push({
        ...{ file, field: "rktKind" },
        text: "the measurement of pods is configured for the host, not for a user",
      });
}

/** What comes up while files are read. */
interface Notes {
  readonly problems: Problem[];
  readonly warnings: string[];
  readonly hidden: string[];
}

function readDirectory(dir: string, notes: Notes): ReadEntry[] {
  if (!isDirectory(dir, notes.problems)) return [];
  return Object.entries(KINDS_OF_SUBDIRECTORY).flatMap(([name, kinds]) =>
    readSubdirectory(join(dir, name), kinds, notes),
  );
}

function readSubdirectory(dir: string, kinds: readonly ConfigKind[], notes: Notes): ReadEntry[] {
  if (!isDirectory(dir, notes.problems)) return [];
  const read: ReadEntry[] = [];
  for (const file of hiddenFrom(dir, kinds, notes, () => configFiles(dir)) ?? []) {
    const content = hiddenFrom(file, kinds, notes, () => readText(file));
    if (content === undefined) continue;
    checkFileModes(dir, file, kinds, notes);
    const result = readConfigFile(file, content, kinds);
    notes.problems.push(...result.problems);
    if (result.entry !== undefined) read.push({ file, entry: result.entry });
  }
  return read;
}

/** Credentials are for root and rkt-admin: a member of group rkt fetches without them, and learns of it when a server wants some. */
function hiddenFrom<T>(path: string, kinds: readonly ConfigKind[], notes: Notes, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const cause = error instanceof RktError ? error.cause : undefined;
    const denied = cause instanceof Error && "code" in cause && cause.code === "EACCES";
    if (!denied || !kinds.includes("auth")) throw error;
    notes.hidden.push(path);
    return undefined;
  }
}

/** Regular files named *.json, in the order of their names; symbolic links and subdirectories do not count. */
function configFiles(dir: string): string[] {
  const names = attempt(dir, () => readdirSync(dir))
    .filter((name) => name.endsWith(".json"))
    .sort();
  return names.map((name) => join(dir, name)).filter((file) => attempt(file, () => lstatSync(file)).isFile());
}

function readText(file: string): string {
  const { size } = attempt(file, () => lstatSync(file));
  if (size > LARGEST_FILE)
    throw new RktError("INVALID_CONFIG", `cannot get configuration: ${quoted(file)} has more than 1 MiB`);
  return attempt(file, () => readFileSync(file, "utf8"));
}

function isDirectory(path: string, problems: Problem[]): boolean {
  const status = attempt(path, () => statSync(path, { throwIfNoEntry: false }));
  if (status === undefined) return false;
  if (status.isDirectory()) return true;
  problems.push({ file: path, field: "", text: `expected ${quoted(path)} to be a directory` });
  return false;
}

function attempt<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new RktError("INVALID_CONFIG", `cannot get configuration: Cannot read ${quoted(path)}`, { cause });
  }
}

function invalidConfig(problems: readonly Problem[]): RktError {
  const [first, ...others] = problems.map(sentence);
  const text = others.length === 0 ? first : [`${problems.length} problems`, first, ...others].join("\n\t");
  return new RktError("INVALID_CONFIG", `cannot get configuration: ${text}`);
}

function sentence({ file, field, text }: Problem): string {
  return field === "" ? text : `failed to parse ${quoted(file)}: ${field}: ${text}`;
}
