/** rkt prepare: everything but the start. */

import { linux } from "../../host/mod.ts";
import { movePod } from "../../pod/mod.ts";
import { assemblePod } from "../../stage0/assemble-pod.ts";
import { syncPod } from "../../stage0/prepare.ts";
import type { Command, CommandInput } from "../command.ts";
import { readAssembleInput } from "../pod-command.ts";
import { APP_FLAGS, PREPARE_FLAGS, STAGE1_FLAGS } from "../pod-flags.ts";
import { saveUuid, UUID_FILE_SAVE_FLAG } from "../pod-words.ts";

export const command: Command = {
  name: "prepare",
  summary: "Prepare to run image(s) in a pod in rkt",
  usage: "[--volume=NAME,kind=host,...] [--mount volume=VOL,target=PATH] IMAGE [-- image-args...[---]]...",
  description:
    "Fetches the images and makes the pod, but does not start it. Prints the pod's UUID, for `rkt run-prepared`.",
  flags: [
    ...PREPARE_FLAGS,
    ...STAGE1_FLAGS,
    UUID_FILE_SAVE_FLAG,
    { name: "quiet", kind: "bool", usage: "print nothing on standard output but the UUID" },
  ],
  imageFlags: APP_FLAGS,
  requiresRoot: true,
  run: prepareCommand,
};

async function prepareCommand(input: CommandInput): Promise<void> {
  const { engine, flags, output } = input;
  const { pod } = await assemblePod(engine, { ...readAssembleInput(input), onUuid: (uuid) => saveUuid(flags, uuid) });
  syncPod(pod);
  movePod(engine.dataDir, linux, pod, "prepared");
  output.stdout(`${pod.uuid}\n`);
}
