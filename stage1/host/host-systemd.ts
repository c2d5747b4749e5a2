/**
 * The host's systemd in a pod: its programs and their libraries are copied into the pod's own root. Copied, not mounted: what a pod's root could reach by a
 * mount would be the host's own files.
 */

import { constants, copyFileSync, existsSync, mkdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { detectCgroups } from "../../src/host/cgroup.ts";
import { neededLibraries, openedLibraries } from "./libraries.ts";
import { output } from "./program-output.ts";

/** Not the caller's PATH: what is found here is executed as root. */
const PROGRAM_DIRS = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];
const SYSTEMD_DIRS = ["/usr/lib/systemd", "/lib/systemd"];

/** systemd passes an app's end on to the unit that it triggers since 251 (systemd.exec(5), MONITOR_EXIT_STATUS). */
const OLDEST = 251;
/** Since 256 systemd starts no longer on cgroup v1 controllers (its NEWS). */
const FIRST_WITHOUT_V1 = 256;

/** Copies the host's systemd into the pod. Throws HOST_PROGRAM when it is missing or of a version that cannot run a pod here. */
export function provideHostSystemd({ stage1Rootfs: root }: PodFiles): [string, ...string[]] {
  const nspawn = find("systemd-nspawn", PROGRAM_DIRS);
  checkVersion(nspawn, nspawnVersion(nspawn));
  const systemd = find("systemd", SYSTEMD_DIRS);
  const programs = [
    find("systemd-journald", SYSTEMD_DIRS),
    find("systemctl", PROGRAM_DIRS),
    ...optional("systemd-executor", SYSTEMD_DIRS),
    ...optional("journalctl", PROGRAM_DIRS),
  ];
  const libraries = new Set([systemd, ...programs].flatMap(neededLibraries));
  for (const library of openedLibraries([...libraries])) libraries.add(library);
  copy(systemd, join(root, "usr/lib/rkt/systemd"));
  // What systemd-nspawn starts as init (init.c).
  copy(join(root, "usr/lib/rkt/init"), join(root, "usr/lib/systemd/systemd"));
  for (const program of programs) copy(program, join(root, placeOf(program)));
  for (const library of libraries) copy(library, join(root, placeOf(library)));
  return [nspawn];
}

/** Pure, for tests. Throws HOST_PROGRAM. */
export function checkVersion(program: string, version: number, controllersV1 = hasControllersV1()): void {
  const hint = "use the default stage1, which brings its own: --stage1-name=coreos.com/rkt/stage1-nspawn";
  if (version < OLDEST) {
    throw new RktError(
      "HOST_PROGRAM",
      `rkt needs systemd-nspawn >= ${OLDEST}. Cannot run the pod with ${quoted(program)}: it is version ${version}`,
      { hint },
    );
  }
  if (version >= FIRST_WITHOUT_V1 && controllersV1) {
    throw new RktError(
      "HOST_PROGRAM",
      `Cannot run the pod with ${quoted(program)}: version ${version} does not support this host's cgroup v1 controllers, expected a version below ${FIRST_WITHOUT_V1}`,
      { hint },
    );
  }
}

function nspawnVersion(nspawn: string): number {
  const text = output([nspawn, "--version"]);
  const version = /^systemd (\d+)/.exec(text)?.[1];
  if (version === undefined)
    throw new RktError(
      "HOST_PROGRAM",
      `Cannot read the version of ${quoted(nspawn)}: it printed ${quoted(text.slice(0, 80))}`,
    );
  return Number(version);
}

function hasControllersV1(): boolean {
  return detectCgroups().hierarchies.some(({ version, name }) => version === 1 && !name.startsWith("name="));
}

function find(name: string, directories: readonly string[]): string {
  const [found] = optional(name, directories);
  if (found !== undefined) return found;
  throw new RktError(
    "HOST_PROGRAM",
    `Cannot find ${quoted(name)} on this host: it is in none of ${quoted(directories.join(" "))}`,
    {
      hint: "install the host's systemd and systemd-container packages, or use the default stage1, which brings its own",
    },
  );
}

function optional(name: string, directories: readonly string[]): string[] {
  return directories
    .map((directory) => join(directory, name))
    .filter((path) => existsSync(path))
    .slice(0, 1);
}

/** systemd looks for its own programs at fixed places below /usr/lib, whatever the host has merged. The pod's /bin, /lib and /lib64 are links into /usr. */
function placeOf(path: string): string {
  return join("usr", path.replace(/^\/usr\//, "/"));
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true, mode: 0o755 });
  // Shares the blocks where the file system can.
  copyFileSync(realpathSync(from), to, constants.COPYFILE_FICLONE);
}
