/** What a program of the host prints; run with an environment made from nothing. */

import { spawnSync } from "node:child_process";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";

/** Throws HOST_PROGRAM when it cannot be started or fails. */
export function output([program, ...args]: readonly [string, ...string[]]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
  });
  if (status === 0) return stdout;
  throw new RktError(
    "HOST_PROGRAM",
    `Cannot run ${quoted([program, ...args].join(" "))}: ${quoted((stderr ?? "").trim())}`,
    {
      ...(error === undefined ? {} : { cause: error }),
    },
  );
}
