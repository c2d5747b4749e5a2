/** Starts a program of the host, gives it text on stdin and collects what it says. */

import { statSync } from "node:fs";
import { join } from "node:path";

export interface ProgramResult {
  /** 0 for success; 128+N for a death by signal N. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `argv` (absolute program) to its end. No descriptor of this process reaches it: the pod's lock, for one, must not outlive the pod in a daemon's hands. */
export async function runProgram(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  input: string,
): Promise<ProgramResult> {
  const child = Bun.spawn([...argv], {
    cwd: "/",
    env: { ...env },
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { status, stdout, stderr };
}

/** The first executable regular file `name` in `dirs`, or undefined. */
export function findExecutable(name: string, dirs: readonly string[]): string | undefined {
  return dirs
    .map((dir) => join(dir, name))
    .find((path) => {
      const status = statSync(path, { throwIfNoEntry: false });
      return status?.isFile() === true && (status.mode & 0o111) !== 0;
    });
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** PATH with the directories of system programs, which a user's PATH often lacks (plugins call iptables). */
export function systemPath(path = process.env.PATH): string {
  if (path === undefined || path === "") return DEFAULT_PATH;
  const dirs = path.split(":");
  return [...dirs, ...["/usr/sbin", "/sbin"].filter((dir) => !dirs.includes(dir))].join(":");
}

/**
 * The caller's environment without what steers rkt or its runtime, or belongs to rkt's own process (sockets, readiness, the pod's lock). Plugins of third
 * parties may rely on the rest (proxies, addresses of their stores), and rkt 1.x passed it.
 */
export function programEnvironment(
  own: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(own)) {
    if (value !== undefined && !/^(BUN_|RKT_|CNI_|LISTEN_|NOTIFY_SOCKET$|WATCHDOG_)/.test(name)) env[name] = value;
  }
  return { ...env, PATH: systemPath(own.PATH) };
}
