/** What `run` and `prepare` have in common: their words become the input of assemblePod, after every check that needs no image. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { parseImageReference } from "../fetch/image-reference.ts";
import { isPodName } from "../pod/pod-name.ts";
import type { AssembleInput, PodContent } from "../stage0/assemble-pod.ts";
import { checkMounts } from "../stage0/pod-manifest.ts";
import type { Stage1Choice } from "../stage0/stage1-image.ts";
import type { CommandInput, FlagValues } from "./command.ts";
import { readAppOptions, readPodOptions, readPullPolicy } from "./pod-options.ts";

type PodWords = Pick<CommandInput, "flags" | "images">;

/** What the words of a command say about the pod. Throws USAGE, and NOT_FOUND for a file that they name. */
export function readAssembleInput(input: PodWords): AssembleInput {
  const { flags } = input;
  const pullPolicy = readPullPolicy(flags);
  const stage1 = readStage1Choice(flags);
  const content = flags.given("pod-manifest") ? readManifestFile(input) : readImages(input);
  return {
    content,
    stage1,
    pullPolicy,
    noOverlay: flags.bool("no-overlay"),
    privateUsers: flags.bool("private-users"),
    podName: readPodName(flags),
  };
}

function readPodName(flags: FlagValues): string | undefined {
  const name = flags.string("pod-name");
  if (name === "" && !flags.given("pod-name")) return undefined;
  if (isPodName(name)) return name;
  throw new RktError(
    "USAGE",
    `Cannot use ${quoted(name)} for --pod-name: expected lower-case letters, digits and "-", at most 63, and no UUID`,
  );
}

function readImages(input: PodWords): PodContent {
  if (input.images.length === 0)
    throw new RktError("USAGE", "must provide at least one image or specify the pod manifest");
  const cwd = process.cwd();
  const images = input.images.map((image) => ({
    reference: parseImageReference(image.image, cwd),
    signature: image.flags.given("signature") ? image.flags.string("signature") : undefined,
    options: readAppOptions(image),
  }));
  const pod = readPodOptions(input.flags);
  checkMounts([pod, ...images.map(({ options }) => options)], pod.volumes);
  return { kind: "images", images, pod };
}

const NOT_WITH_MANIFEST = [
  "volume",
  "mount",
  "port",
  "store-only",
  "no-store",
  "inherit-env",
  "set-env",
  "set-env-file",
  // Beyond rkt 1.x's list: they would be ignored without a word.
  ...["annotation", "user-annotation", "user-label", "network-bandwidth", "sysctl"],
  ...["pod-memory", "pod-cpu", "pod-cpu-shares", "pod-pids", "restart", "exit-policy", "record-exit"],
];

function readManifestFile(input: PodWords): PodContent {
  const { flags } = input;
  const pulls = flags.given("pull-policy") && flags.string("pull-policy") !== "new";
  if (input.images.length > 0 || pulls || NOT_WITH_MANIFEST.some((name) => flags.given(name))) {
    throw new RktError("USAGE", "conflicting flags set with --pod-manifest (see --help)");
  }
  const path = resolve(flags.string("pod-manifest"));
  try {
    return { kind: "manifest", path, text: readFileSync(path, "utf8") };
  } catch (cause) {
    throw new RktError("NOT_FOUND", `Cannot read the pod manifest ${quoted(path)}`, { cause });
  }
}

export function readStage1Choice(flags: FlagValues): Stage1Choice {
  const kinds = ["url", "path", "name", "hash", "from-dir"] as const;
  const given = kinds.filter((kind) => flags.given(`stage1-${kind}`));
  const [kind, other] = given;
  if (kind === undefined) return { kind: "default" };
  if (other !== undefined)
    throw new RktError("USAGE", `flags --stage1-${kind} and --stage1-${other} are mutually exclusive`);
  return { kind, value: flags.string(`stage1-${kind}`) };
}

/** Checks of network flags against the ports (rkt's words). */
export function checkNet(net: string, flags: FlagValues): void {
  const names = net.split(",");
  for (const special of ["none", "host"]) {
    if (names.includes(special) && flags.list("port").length > 0)
      throw new RktError("USAGE", `--port flag does not work with '${special}' networking`);
  }
}

/** `--mds-register`. Throws USAGE in rkt's words for a pod that could not reach the service. */
export function checkMetadata(net: string, flags: FlagValues): void {
  if (!flags.bool("mds-register")) return;
  if (net.split(",").includes("none"))
    throw new RktError(
      "USAGE",
      "--mds-register flag does not work with --net=none. Please use 'host', 'default' or an equivalent network",
    );
}
