/**
 * Builds build/rkt: one executable of src/main.ts. Run by `make build` with the Bun of node_modules.
 *
 * Splitting keeps commands apart, so that a start loads only what it runs. The two --no-…-autoload flags are security: without them the executable runs the
 * current directory's bunfig.toml preload, as root, in somebody else's directory.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

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
