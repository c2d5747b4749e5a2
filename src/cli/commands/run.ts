/** rkt run: fetch, prepare, and become the pod. */

import { RktError } from "../../core/errors.ts";
import { parseAcIdentifier } from "../../spec/appc/mod.ts";
import { abandonPod, rememberHome } from "../../stage0/abandon-pod.ts";
import { type AssembleInput, assemblePod } from "../../stage0/assemble-pod.ts";
import { resolverFiles } from "../../stage0/resolver-files.ts";
import { enterRun, startPod } from "../../stage0/run.ts";
import { SUPERVISION_ANNOTATION } from "../../stage1-contract/policies.ts";
import type { Command, CommandInput } from "../command.ts";
import { checkMetadata, checkNet, readAssembleInput } from "../pod-command.ts";
import { APP_FLAGS, END_FLAGS, PREPARE_FLAGS, STAGE1_FLAGS, START_FLAGS } from "../pod-flags.ts";
import { isInteractive } from "../pod-options.ts";
import { saveUuid, UUID_FILE_SAVE_FLAG } from "../pod-words.ts";
import { readStartOptions } from "../start-options.ts";

export const command: Command = {
  name: "run",
  summary: "Run image(s) in a pod in rkt",
  usage: "[--volume=NAME,kind=host,...] [--mount volume=VOL,target=PATH] IMAGE [-- image-args...[---]]...",
  description: `IMAGE is a name, a hash, a path, a URL, or a docker://, oci:, oci-archive: or docker-archive: reference. It is fetched if it is not in the store.

rkt becomes the pod: its exit status is that of the first app that failed, 0 when all ended well, 254 when rkt itself failed. Whoever started rkt supervises the pod.

With --detach the pod runs in the background: as a transient unit where systemd runs, else in a session of its own. rkt prints the pod's UUID when the apps have been started; its status is the pod's when that has ended already.

Arguments for an app follow "--"; "---" ends them, and another image may follow.`,
  flags: [...PREPARE_FLAGS, ...START_FLAGS, ...END_FLAGS, ...STAGE1_FLAGS, UUID_FILE_SAVE_FLAG],
  imageFlags: APP_FLAGS,
  requiresRoot: true,
  run: runCommand,
};

async function runCommand(input: CommandInput): Promise<number> {
  const { engine, flags } = input;
  const assemble = readAssembleInput(input);
  const given = readStartOptions(flags);
  const start = { ...given, interactive: given.interactive || input.images.some(isInteractive) };
  const detach = flags.bool("detach");
  if (detach && start.interactive)
    throw new RktError("USAGE", "flags --detach and --interactive are mutually exclusive");
  checkNet(start.net, flags);
  checkMetadata(start.net, flags);
  resolverFiles(start.dns);
  if (start.interactive && input.images.length > 1)
    throw new RktError("USAGE", "interactive option only supports one image");
  const { pod, manifest, stage1 } = await assemblePod(engine, {
    ...(detach ? withJournal(assemble) : assemble),
    starts: start,
    onUuid: (uuid) => saveUuid(flags, uuid),
  });
  if (detach) return (await import("../detach-pod.ts")).detachPod(input, pod, manifest);
  const home = rememberHome();
  let ours = pod;
  try {
    const removal = flags.bool("rm")
      ? (await import("../own-command-line.ts")).removalWords(engine, pod.uuid)
      : undefined;
    const begin = { manifest, stage1, options: { ...start, resolver: resolverFiles(start.dns), removal } };
    // Straight to run: this process owns the pod, so nobody needs it in "prepared".
    const running = await enterRun(engine, pod, begin);
    ours = running;
    return await startPod(engine, running, begin);
  } catch (error) {
    await abandonPod(engine, ours, home);
    throw error;
  }
}

/** A pod in the background writes a journal of its own, for `rkt logs`, unless its annotation says otherwise. */
function withJournal(assemble: AssembleInput): AssembleInput {
  const { content } = assemble;
  if (content.kind !== "images") return assemble;
  const name = parseAcIdentifier(SUPERVISION_ANNOTATION.journal);
  if (content.pod.annotations.some((one) => one.name === name)) return assemble;
  const annotations = [...content.pod.annotations, { name, value: "only" }];
  return { ...assemble, content: { ...content, pod: { ...content.pod, annotations } } };
}
