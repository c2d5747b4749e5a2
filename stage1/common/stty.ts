/** The caller's terminal. */

import { spawnSync } from "node:child_process";
import { RktError } from "../../src/core/errors.ts";

/** stty(1) with `settings`; gives what it prints. Throws HOST_PROGRAM. */
export function stty(settings: readonly string[]): string {
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  const stdio = ["inherit", "pipe", "ignore"] as const;
  const { status, stdout } = spawnSync("stty", settings, { stdio: [...stdio], encoding: "utf8", env });
  if (status === 0) return stdout;
  throw new RktError("HOST_PROGRAM", "Cannot set the terminal: stty failed");
}
