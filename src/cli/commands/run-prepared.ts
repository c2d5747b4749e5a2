/** rkt run-prepared: start what `rkt prepare` made. */

import { readFileSync } from "node:fs";
import { PodFiles } from "../../core/data-dir.ts";
import { RktError } from "../../core/errors.ts";
import { linux } from "../../host/mod.ts";
import { claimPreparedPod, readIdRange } from "../../pod/mod.ts";
import { parsePodManifest } from "../../spec/appc/mod.ts";
import { stage1Tree } from "../../stage0/call-stage1.ts";
import { requireIsolation } from "../../stage0/check-isolation.ts";
import { resolverFiles } from "../../stage0/resolver-files.ts";
import { enterRun, startPod } from "../../stage0/run.ts";
import { stage1OfTree } from "../../stage0/stage1-image.ts";
import type { Command, CommandInput } from "../command.ts";
import { checkMetadata } from "../pod-command.ts";
import { END_FLAGS, START_FLAGS } from "../pod-flags.ts";
import { podFirst, UUID_FILE_FLAG } from "../pod-words.ts";
import { readStartOptions } from "../start-options.ts";

export const command: Command = {
  name: "run-prepared",
  summary: "Run a prepared application pod in rkt",
  usage: "[--net=NETWORKS] --uuid-file=FILE | UUID",
  description: "Becomes the pod that `rkt prepare` made. The exit status is the pod's, as with `rkt run`.",
  flags: [...START_FLAGS, ...END_FLAGS, UUID_FILE_FLAG, { name: "no-overlay", kind: "bool", usage: "", hidden: true }],
  requiresRoot: true,
  run: runPreparedCommand,
};

async function runPreparedCommand(input: CommandInput): Promise<number> {
  const { engine, flags } = input;
  const [uuid, ...others] = podFirst(input);
  if (uuid === undefined || others.length > 0) throw new RktError("USAGE", "must provide exactly one UUID");
  const start = readStartOptions(flags);
  const resolver = resolverFiles(start.dns);
  checkMetadata(start.net, flags);
  const pod = claimPreparedPod(engine.dataDir, linux, uuid);
  const manifest = parsePodManifest(readFileSync(new PodFiles(pod.dir).manifest, "utf8"));
  if (start.interactive && manifest.apps.length > 1)
    throw new RktError("USAGE", "interactive option only supports pods with one app");
  if (flags.bool("detach")) {
    if (start.interactive) throw new RktError("USAGE", "flags --detach and --interactive are mutually exclusive");
    return (await import("../detach-pod.ts")).detachPod(input, pod, manifest, { isPrepared: true });
  }
  const removal = flags.bool("rm")
    ? (await import("../own-command-line.ts")).removalWords(engine, pod.uuid)
    : undefined;
  const stage1 = stage1OfTree(stage1Tree(engine, pod.dir));
  const privateUsers = readIdRange(pod.dir) !== undefined;
  requireIsolation(start.require, {
    ...start,
    stage1: stage1.manifest,
    manifest,
    privateUsers,
    engine,
  });
  const begin = { manifest, stage1, options: { ...start, resolver, removal } };
  return startPod(engine, await enterRun(engine, pod, begin), begin);
}
