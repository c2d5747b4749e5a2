/** rkt net repair: makes right what `rkt net check` finds. */

import type { Command } from "../../command.ts";
import { FORMAT_FLAG } from "../../output-format.ts";
import { lookAndTell } from "./check.ts";

export const command: Command = {
  name: "repair",
  summary: "Mend the networks of running pods, and remove what dead ones left",
  usage: "[--format=json|json-pretty]",
  description: `Does what rkt net check does, and mends: rules of forwarded ports and the file of a network namespace are made again; namespaces, rules, opened interfaces and leased addresses of pods that are gone are removed; pods that have ended give back their network, and wait for gc with the rest. Plugins that know CNI's GC give back whatever else no pod uses.

An interface or an address that a running pod has lost is told and not mended: the pod must be started anew. What belongs to running pods of another data directory, or to containers of another runtime, is left alone.

The exit status is 0 when all is in order (or is so again), 1 when damage is left, and 254 when the networks could not be looked at.`,
  flags: [FORMAT_FLAG],
  requiresRoot: true,
  run: (input) => lookAndTell(input, true),
};
