/** rkt app exec: as `rkt enter`, with the app's name required where a pod has several. */

import type { Command } from "../../command.ts";
import { command as enter } from "../enter.ts";

export const command: Command = {
  ...enter,
  name: "exec",
  summary: "Execute commands in the given app's namespace",
  usage: "[--app=APPNAME] [--user=USER] --uuid-file=FILE | UUID [CMD [ARGS ...]]",
};
