/** Temporary directories and processes of a test, gone when it ends, also when it fails or the test run is interrupted. */

import { type ChildProcess, spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";

export interface TemporaryDirectory {
  readonly path: string;
  [Symbol.dispose](): void;
}

/** `using dir = temporaryDirectory()`. Under /var/tmp: /tmp may be a tmpfs, where a large image would fill memory. */
export function temporaryDirectory(name = "test"): TemporaryDirectory {
  const path = mkdtempSync(`/var/tmp/rkt-${name}-`);
  const remove = atEnd(() => void spawnSync("rm", ["-rf", "--one-file-system", path]));
  return { path, [Symbol.dispose]: remove };
}

/** Ends `child` (this one process) when the returned function is called, or when the test run ends. */
export function killAtEnd(child: ChildProcess): () => void {
  return atEnd(() => void child.kill("SIGKILL"));
}

/** Calls `action` once: by the returned function, or when this process exits. */
export function atEnd(action: () => void): () => void {
  const once = () => {
    process.removeListener("exit", once);
    action();
  };
  process.on("exit", once);
  return once;
}

/** Runs a program to its end; returns stdout. Throws with its last words unless the status is 0. */
export function runProgram(
  command: readonly string[],
  options: { cwd?: string; input?: string | Uint8Array; env?: Record<string, string> } = {},
): string {
  const [program = "", ...args] = command;
  const result = spawnSync(program, args, {
    cwd: options.cwd,
    input: options.input ?? "",
    env: {
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: "/nonexistent",
      LANG: "C.UTF-8",
      // Without it the runtime makes itself a cache below HOME, and with that a /nonexistent that only root may enter.
      BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0",
      ...options.env,
    },
    maxBuffer: 256 * 1024 * 1024,
    timeout: 280_000,
  });
  if (result.status === 0) return result.stdout.toString("utf8");
  throw new Error(`${command.join(" ")}: status ${result.status ?? result.signal}\n${result.stderr ?? result.error}`);
}
