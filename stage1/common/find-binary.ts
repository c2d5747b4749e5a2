/** Where an app's program is: `exec[0]` as given when absolute, else searched in the app's PATH inside its root (rkt 1.x, FindBinPath); and whether it can be executed. */

import { join, normalize } from "node:path";
import { ExitStatus, RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { type Host, S } from "../../src/host/mod.ts";
import { type App, BLANK_APP, type RuntimeApp } from "../../src/spec/appc/mod.ts";
import { DEFAULT_PATH } from "./app-environment.ts";
import { programObstacle } from "./check-program.ts";
import { statInRoot } from "./in-root.ts";

/**
 * The absolute path inside the root (a descriptor). What lies below a mount of the app cannot be looked at yet, and is taken as it is. Throws NOT_FOUND or
 * INVALID_INPUT, naming what is missing: the program, its interpreter, the right machine.
 */
export function findProgram(
  host: Host,
  root: number,
  app: RuntimeApp,
  mounts: readonly { readonly target: string }[],
): string {
  const path = searchPath(app.app ?? BLANK_APP);
  const mounted = (file: string) => mounts.some(({ target }) => file === target || file.startsWith(`${target}/`));
  const program = app.app?.exec[0] ?? "";
  const found = program.startsWith("/")
    ? program
    : search(host, root, candidates(program, path, app.app?.workingDirectory ?? ""), mounted);
  if (found === undefined) {
    throw new RktError("NOT_FOUND", `Unable to find ${quoted(program)} in ${quoted(path)}`, {
      hint: "name the program by its absolute path with --exec",
    });
  }
  const obstacle = mounted(normalize(found)) ? undefined : programObstacle(host, root, found);
  if (obstacle === undefined) return found;
  throw new RktError(
    obstacle.missing ? "NOT_FOUND" : "INVALID_INPUT",
    `Cannot start app ${quoted(app.name)}: ${obstacle.text}`,
    {
      hint: obstacle.hint,
    },
  );
}

/**
 * Where a program that is named without a directory is looked for. In an app that sets no PATH, first in its working directory, /bin and /usr/bin (rkt 1.x, as
 * execvp(3) without PATH); then in what it is given for PATH.
 */
function searchPath({ environment, workingDirectory }: App): string {
  const own = environment.find(({ name }) => name === "PATH")?.value;
  return own ?? [workingDirectory || "/", "/bin", "/usr/bin", DEFAULT_PATH].join(":");
}

/** Below what is mounted later it cannot be looked at. Throws NOT_FOUND or INVALID_INPUT: systemd would tell only that there is none, from inside the pod. */
export function checkWorkingDirectory(
  host: Host,
  root: number,
  app: RuntimeApp,
  mounts: readonly { readonly target: string }[],
): void {
  const path = app.app?.workingDirectory || "/";
  const later = [...mounts.map(({ target }) => target), "/dev", "/proc", "/sys", "/tmp"];
  if (later.some((target) => path === target || path.startsWith(`${target}/`))) return;
  const status = statInRoot(host, root, path);
  if (status !== undefined && (status.mode & S.IFMT) === S.IFDIR) return;
  throw new RktError(
    status === undefined ? "NOT_FOUND" : "INVALID_INPUT",
    `Cannot start app ${quoted(app.name)}: its working directory ${quoted(path)} ${status === undefined ? "does not exist in the image" : "is no directory"}`,
    { hint: "name another with --working-dir, or mount a volume there" },
  );
}

/** A shell's status for a command that it does not find; callers of `enter` tell by it a pod without the command from a command that fails. */
export const COMMAND_NOT_FOUND = 127;

/** The absolute path inside the root of a command that is entered: its mounts are there by now. Throws {@link COMMAND_NOT_FOUND} when a relative name is in no directory of `path`. */
export function findCommand(host: Host, root: number, program: string, path: string): string {
  const found = program.startsWith("/") ? program : search(host, root, candidates(program, path, "/"), () => false);
  if (found !== undefined) return found;
  const reason = new RktError("NOT_FOUND", `Unable to find ${quoted(program)} in ${quoted(path)}`, {
    hint: "name the program by its absolute path",
  });
  throw new ExitStatus(COMMAND_NOT_FOUND, reason);
}

function candidates(program: string, path: string, workingDirectory: string): string[] {
  const base = workingDirectory === "" ? "/" : workingDirectory;
  if (program.includes("/")) return [normalize(join(base, program))];
  return path
    .split(":")
    .map((directory) => normalize(join("/", directory.startsWith("/") ? "" : base, directory, program)));
}

function search(
  host: Host,
  root: number,
  files: readonly string[],
  mounted: (file: string) => boolean,
): string | undefined {
  for (const file of files) {
    const status = statInRoot(host, root, file);
    if (status !== undefined && (status.mode & S.IFMT) === S.IFREG && (status.mode & 0o111) !== 0) return file;
  }
  return files.find(mounted);
}
