/** Writes the manual pages of all commands: build/man/*.1. Run by `make man` with the Bun of node_modules. */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../src/cli/cli.ts";
import { commandTree } from "../src/cli/command-tree.ts";
import { GLOBAL_FLAGS } from "../src/cli/globals.ts";
import { manPages } from "../src/cli/man-page.ts";

const directory = "build/man";
rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
for (const { file, text } of manPages(await commandTree(ROOT), GLOBAL_FLAGS))
  writeFileSync(join(directory, file), text);
