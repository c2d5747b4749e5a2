/** enter for fly: the app's root and mounts, by the host's own nsenter; there is no other boundary to keep. */

import { spawnSync } from "node:child_process";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { Entrypoint } from "../common/io.ts";
import { definedVariables } from "../common/pod.ts";

export const enter: Entrypoint = async (argv, io) => {
  const pid = Number(argv.find((word) => word.startsWith("--pid="))?.slice("--pid=".length));
  const end = argv.indexOf("--");
  if (!Number.isSafeInteger(pid) || pid < 2 || end < 0)
    throw new RktError(
      "USAGE",
      `Cannot enter the pod: expected --pid=N --appname=A -- CMD, got ${quoted(argv.join(" "))}`,
    );
  const result = spawnSync("nsenter", [`--target=${pid}`, "--mount", "--root", "--wd", "--", ...argv.slice(end + 1)], {
    stdio: "inherit",
    env: definedVariables(io.env),
  });
  if (result.error !== undefined)
    throw new RktError("HOST_PROGRAM", 'Cannot start "nsenter"', { cause: result.error, hint: "install util-linux" });
  return result.status ?? 254;
};
