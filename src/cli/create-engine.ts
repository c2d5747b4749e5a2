/** The Engine that the global flags' values make. Apart from the flags themselves, because configuration and paths take time to load. */

import { realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { loadConfig } from "../config/mod.ts";
import { DataDir, DEFAULT_DATA_DIR } from "../core/data-dir.ts";
import type { Dialog } from "../core/dialog.ts";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { type InsecureOptions, parseInsecureOptions, SECURE } from "../core/insecure-options.ts";
import { quoted } from "../core/text.ts";
import type { Engine, FlagValues } from "./command.ts";
import { CommandLineError } from "./command-line-error.ts";

/**
 * The engine that the global flags describe. Throws CommandLineError for a value that is none. `dataDir` is worked out when a command first asks for it (it may need the
 * configuration: INVALID_CONFIG), so `rkt version` touches no file.
 */
export function createEngine(globals: FlagValues, emit: Emit, dialog: Dialog): Engine {
  // Defaults are taken as they are: checking them as well costs every start 3 ms.
  const directory = (flag: string): string =>
    globals.given(flag) ? absoluteDirectory(flag, globals.string(flag)) : globals.string(flag);
  const givenDir = globals.given("dir") ? directory("dir") : undefined;
  const dirs = {
    systemConfigDir: directory("system-config"),
    localConfigDir: directory("local-config"),
    userConfigDir: directory("user-config"),
  };
  let dataDir: DataDir | undefined;
  return {
    get dataDir(): DataDir {
      dataDir ??= new DataDir(resolved(givenDir ?? loadConfig(dirs).paths.data ?? DEFAULT_DATA_DIR));
      return dataDir;
    },
    ...dirs,
    insecure: globals.given("insecure-options") ? insecureOptions(globals.string("insecure-options")) : SECURE,
    trustKeysFromHttps: globals.bool("trust-keys-from-https"),
    debug: globals.bool("debug"),
    emit,
    dialog,
  };
}

function insecureOptions(list: string): InsecureOptions {
  try {
    return parseInsecureOptions(list);
  } catch (error) {
    if (!(error instanceof RktError)) throw error;
    throw new CommandLineError(`invalid argument ${quoted(list)} for "--insecure-options" flag: ${error.message}`);
  }
}

function absoluteDirectory(flag: string, value: string): string {
  if (value === "") throw new CommandLineError(`invalid argument "" for "--${flag}" flag: "" is not a valid directory`);
  return resolve(value);
}

/** Symbolic links resolved, also above a directory that does not exist yet: its path must stay the same once it does. */
function resolved(dir: string): string {
  try {
    return realpathSync(dir);
  } catch (cause) {
    const parent = dirname(dir);
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    if (missing && parent !== dir) return join(resolved(parent), basename(dir));
    throw new RktError("SYSTEM_CALL", `cannot evaluate dataDir ${quoted(dir)} real path`, { cause });
  }
}
