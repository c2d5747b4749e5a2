/** Where in the image an app's program is. */

import { join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { S } from "../../src/host/constants.ts";
import type { AppRoot } from "./app-root.ts";

/**
 * The absolute path of `program`: itself when absolute; below the working directory when it contains a slash; else the first executable of that name in the
 * app's PATH, whose relative entries count from the working directory. Throws NOT_FOUND in rkt's words.
 */
export function findBinary(program: string, path: string, workingDirectory: string, root: AppRoot): string {
  if (program.startsWith("/")) return program;
  if (program.includes("/")) return join("/", workingDirectory, program);
  for (const directory of path.split(":")) {
    const candidate = join(directory.startsWith("/") ? "/" : join("/", workingDirectory), directory, program);
    const status = root.stat(candidate);
    if (status !== undefined && (status.mode & S.IFMT) === S.IFREG && (status.mode & 0o111) !== 0) return candidate;
  }
  throw new RktError("NOT_FOUND", `unable to find ${quoted(program)} in ${quoted(path)}`);
}
