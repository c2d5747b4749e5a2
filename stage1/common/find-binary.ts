/** Where an app's program is: `exec[0]` as given when absolute, else searched in the app's PATH inside its root (rkt 1.x, FindBinPath). */

import { join, normalize } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { type Host, S } from "../../src/host/mod.ts";
import { statInRoot } from "./in-root.ts";

/** The absolute path inside the root. Throws NOT_FOUND when a relative name is in no directory of `path`. */
export function findBinary(host: Host, root: number, program: string, path: string, workingDirectory: string): string {
  if (program.startsWith("/")) return program;
  const base = workingDirectory === "" ? "/" : workingDirectory;
  const candidates = program.includes("/")
    ? [normalize(join(base, program))]
    : path
        .split(":")
        .map((directory) => normalize(join("/", directory.startsWith("/") ? "" : base, directory, program)));
  for (const candidate of candidates) {
    const status = statInRoot(host, root, candidate);
    if (status !== undefined && (status.mode & S.IFMT) === S.IFREG && (status.mode & 0o111) !== 0) return candidate;
  }
  throw new RktError("NOT_FOUND", `Unable to find ${quoted(program)} in ${quoted(path)}`, {
    hint: "name the program by its absolute path with --exec",
  });
}
