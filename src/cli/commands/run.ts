/** rkt run: fetch, prepare, and become the pod. */

import { writeFileSync } from "node:fs";
import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { linux } from "../../host/mod.ts";
import { movePod } from "../../pod/mod.ts";
import { abandonPod, rememberHome } from "../../stage0/abandon-pod.ts";
import { assemblePod } from "../../stage0/assemble-pod.ts";
import { resolverFiles } from "../../stage0/resolver-files.ts";
import { startPod } from "../../stage0/run.ts";
import type { Command, CommandInput } from "../command.ts";
import { checkMetadata, checkNet, readAssembleInput } from "../pod-command.ts";
import { APP_FLAGS, PREPARE_FLAGS, STAGE1_FLAGS, START_FLAGS } from "../pod-flags.ts";
import { isInteractive } from "../pod-options.ts";
import { readStartOptions } from "../start-options.ts";

export const command: Command = {
  name: "run",
  summary: "Run image(s) in a pod in rkt",
  usage: "[--volume=NAME,kind=host,...] [--mount volume=VOL,target=PATH] IMAGE [-- image-args...[---]]...",
  description: `IMAGE is a name, a hash, a path, a URL, or a docker://, oci:, oci-archive: or docker-archive: reference. It is fetched if it is not in the store.

rkt becomes the pod: its exit status is that of the first app that failed, 0 when all ended well, 254 when rkt itself failed. Whoever started rkt supervises the pod.

Arguments for an app follow "--"; "---" ends them, and another image may follow.`,
  flags: [
    ...PREPARE_FLAGS,
    ...START_FLAGS,
    ...STAGE1_FLAGS,
    { name: "uuid-file-save", kind: "string", usage: "write the pod's UUID to this file" },
  ],
  imageFlags: APP_FLAGS,
  requiresRoot: true,
  run: runCommand,
};

async function runCommand(input: CommandInput): Promise<never> {
  const { engine, flags } = input;
  const assemble = readAssembleInput(input);
  const given = readStartOptions(flags);
  const start = { ...given, interactive: given.interactive || input.images.some(isInteractive) };
  checkNet(start.net, flags);
  checkMetadata(start.net, flags);
  resolverFiles(start.dns);
  if (start.interactive && input.images.length > 1)
    throw new RktError("USAGE", "interactive option only supports one image");
  const uuidFile = flags.string("uuid-file-save");
  const { pod, manifest, stage1 } = await assemblePod(engine, {
    ...assemble,
    starts: start,
    onUuid: (uuid) => {
      if (uuidFile !== "") saveUuid(uuidFile, uuid);
    },
  });
  // Straight to run: this process owns the pod, so nobody needs it in "prepared".
  const running = movePod(engine.dataDir, linux, pod, "run");
  const home = rememberHome();
  try {
    const options = { ...start, resolver: resolverFiles(start.dns) };
    return await startPod(engine, running, { manifest, stage1, options });
  } catch (error) {
    await abandonPod(engine, running, home);
    throw error;
  }
}

export function saveUuid(path: string, uuid: string): void {
  try {
    writeFileSync(path, uuid, { mode: 0o644 });
  } catch (cause) {
    throw new RktError("SYSTEM_CALL", `Cannot write the pod's UUID to ${quoted(path)}`, { cause });
  }
}
