/**
 * Builds build/rkt: one executable of src/main.ts. Run by `make build` with the Bun of node_modules.
 *
 * Splitting keeps commands apart, so that a start loads only what it runs. The two --no-…-autoload flags are security: without them the executable runs the
 * current directory's bunfig.toml preload, as root, in somebody else's directory.
 */

import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

/** Variables by which the runtime takes code from the environment before our first line, becomes another program, or prints passwords. */
const DOORS = ["BUN_OPTIONS", "BUN_BE_BUN", "BUN_INSPECT", "BUN_CONFIG_VERBOSE_FETCH"];

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
const builtin = existsSync("build/stage1-images.json") ? readFileSync("build/stage1-images.json", "utf8").trim() : "{}";

const result = spawnSync(
  process.execPath,
  [
    "build",
    "--compile",
    "--minify",
    "--bytecode",
    "--format=esm",
    "--splitting",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    `--define=BUILD_RKT_VERSION=${JSON.stringify(version)}`,
    `--define=BUILD_STAGE1_IMAGES=${JSON.stringify(JSON.parse(builtin))}`,
    "src/main.ts",
    "--outfile",
    "build/rkt",
  ],
  { stdio: ["ignore", "ignore", "inherit"] },
);
process.exitCode = result.status ?? 1;
if (result.status === 0) closeDoors("build/rkt");

/**
 * Gives those variables names in the executable that nobody can set: a name with "=" in it. rkt runs as root in other people's environments (`sudo -E`, a service
 * file), and there is no flag of the build for it. Throws when a name is not where it was: a newer runtime must be looked at again.
 */
function closeDoors(path: string): void {
  const executable = readFileSync(path);
  for (const door of DOORS) {
    const name = Buffer.from(door);
    let at = executable.indexOf(name);
    if (at < 0) throw new Error(`the runtime has no "${door}" any more: see closeDoors in tools/build.ts`);
    for (; at >= 0; at = executable.indexOf(name, at + 1)) executable.write("=", at + "BUN".length);
  }
  // A new file, renamed: the old one may be running.
  writeFileSync(`${path}.new`, executable);
  // Whatever the umask of whoever builds: workers of other users are this executable.
  chmodSync(`${path}.new`, 0o755);
  renameSync(`${path}.new`, path);
}
