/** rkt app sandbox: becomes a pod without apps. */

import { parseSandboxPort } from "../../../spec/appc/mod.ts";
import { abandonPod, rememberHome } from "../../../stage0/abandon-pod.ts";
import { assemblePod } from "../../../stage0/assemble-pod.ts";
import { buildSandboxManifest } from "../../../stage0/pod-manifest.ts";
import { resolverFiles } from "../../../stage0/resolver-files.ts";
import { enterRun, startPod } from "../../../stage0/run.ts";
import type { Command, CommandInput } from "../../command.ts";
import { checkNet, readStage1Choice } from "../../pod-command.ts";
import { PREPARE_FLAGS, STAGE1_FLAGS, START_FLAGS } from "../../pod-flags.ts";
import { readSandboxOptions } from "../../pod-options.ts";
import { saveUuid, UUID_FILE_SAVE_FLAG } from "../../pod-words.ts";
import { readStartOptions } from "../../start-options.ts";
import { endingWithOne } from "./app-words.ts";

const TAKEN = ["no-overlay", "annotation", "user-annotation", "user-label"];
const NOT_TAKEN = ["interactive", "mds-register", "ipc", "net"];

export const command: Command = {
  name: "sandbox",
  summary: "Create an empty pod application sandbox",
  usage: "[--net=NETWORKS] [--uuid-file-save=FILE] [--annotation=NAME=VALUE]",
  description: `rkt becomes a pod without apps, which runs until it is stopped (\`rkt stop\`), whatever its apps do. \`rkt app add\` adds apps to it, \`rkt app start\` starts them. \`rkt status --wait-ready\` tells when it is ready for them.

What apps write is found where the pod's own output goes, or, with the annotations coreos.com/rkt/experiment/logmode=k8s-plain and coreos.com/rkt/experiment/kubernetes-log-dir=DIR, in files of the kubelet's form below DIR.`,
  flags: [
    ...PREPARE_FLAGS.filter(({ name }) => TAKEN.includes(name)),
    ...START_FLAGS.filter(({ name }) => !NOT_TAKEN.includes(name)),
    {
      name: "net",
      kind: "list",
      repeatable: true,
      default: "default",
      usage: "networks of the pod: default, host, none, or names of configured networks NAME[:ARG=VALUE;…]",
    },
    {
      name: "port",
      kind: "string",
      repeatable: true,
      usage: "port of the host that leads to a port of the pod: NAME:PROTOCOL:PODPORT:HOSTIP:HOSTPORT",
    },
    ...STAGE1_FLAGS,
    UUID_FILE_SAVE_FLAG,
  ],
  run: (input) => endingWithOne(() => sandboxCommand(input)),
};

async function sandboxCommand({ engine, flags }: CommandInput): Promise<never> {
  const start = readStartOptions(flags, { has: false });
  checkNet(start.net, flags);
  const manifest = buildSandboxManifest(readSandboxOptions(flags, parseSandboxPort));
  const resolver = resolverFiles(start.dns);
  const { pod, stage1 } = await assemblePod(engine, {
    content: { kind: "sandbox", manifest },
    stage1: readStage1Choice(flags),
    pullPolicy: "new",
    noOverlay: flags.bool("no-overlay"),
    privateUsers: false,
    starts: start,
    onUuid: (uuid) => saveUuid(flags, uuid),
  });
  const home = rememberHome();
  let ours = pod;
  try {
    const begin = { manifest, stage1, options: { ...start, resolver } };
    const running = await enterRun(engine, pod, begin);
    ours = running;
    return await startPod(engine, running, begin);
  } catch (error) {
    await abandonPod(engine, ours, home);
    throw error;
  }
}
