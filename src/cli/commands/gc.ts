/** rkt gc: removes what pods left behind; run from a timer. */

import { collectGarbage } from "../../pod/mod.ts";
import type { Command, CommandInput } from "../command.ts";
import { removerOf } from "../remover.ts";

export const command: Command = {
  name: "gc",
  summary: "Garbage collect rkt pods no longer in use",
  usage: "[--grace-period=duration] [--expire-prepared=duration]",
  description: `This is intended to be run periodically from a timer or cron job.

Garbage collection is a 2-step process. First, stopped pods are moved to the garbage by one invocation of the gc command. A subsequent invocation will clean up the pod, assuming the pod has been in the garbage for more time than the specified grace period.

Use --grace-period=0s to effectively disable the grace-period.`,
  flags: [
    {
      name: "grace-period",
      kind: "duration",
      default: "30m0s",
      usage: "duration to wait before discarding inactive pods from garbage",
    },
    {
      name: "expire-prepared",
      kind: "duration",
      default: "24h0m0s",
      usage: "duration to wait before expiring prepared pods",
    },
    {
      name: "mark-only",
      kind: "bool",
      usage:
        "only move exited and aborted pods to the garbage, without deleting them: this marks the time of a pod's exit",
    },
  ],
  requiresRoot: true,
  run: gcCommand,
};

async function gcCommand(input: CommandInput): Promise<number> {
  const { flags, output } = input;
  const failures = await collectGarbage(removerOf(input), {
    gracePeriod: flags.duration("grace-period"),
    expirePrepared: flags.duration("expire-prepared"),
    markOnly: flags.bool("mark-only"),
    say: (text) => output.stdout(`${text}\n`),
  });
  if (failures === 0) return 0;
  output.error(`failed to remove ${failures} pod(s)`);
  return 254;
}
