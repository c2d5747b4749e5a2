/** rkt image verify: whether the store still holds what was fetched, and whether it is still trusted. */

import type { Engine } from "../../../core/engine.ts";
import { FAILURE_STATUS, RktError } from "../../../core/errors.ts";
import { quoted } from "../../../core/text.ts";
import { linux } from "../../../host/mod.ts";
import { eachPod, podManifest, podReader } from "../../../pod/mod.ts";
import { listImages } from "../../../store/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { failureText } from "../../image-removals.ts";
import { storedImage } from "../../stored-image.ts";

export const command: Command = {
  name: "verify",
  summary: "Verify one or more stored images",
  usage: "--all | --running | IMAGE...",
  description: `Checks that every archive, layer and document of the images is what its digest says, that the signature holds with the keys that are trusted now, and, as root, that the unpacked files are what was unpacked.

With --running the images are those of the apps of running pods: a timer that runs it tells of a pod whose image is no longer trusted, or no longer in the store.

Damaged unpacked files are unpacked again. An image with a damaged archive or layer should be fetched again; rkt fsck --repair does so.`,
  flags: [
    { name: "all", kind: "bool", usage: "every image of the store" },
    { name: "running", kind: "bool", usage: "the images of running pods" },
  ],
  readsImages: true,
  run: verifyCommand,
};

async function verifyCommand(input: CommandInput): Promise<number> {
  const { engine, output } = input;
  let status = 0;
  const failed = (text: string) => {
    output.error(text);
    status = FAILURE_STATUS;
  };
  const chosen = chosenImages(input, failed);
  const { verifyImage } = await import("../../verify-image.ts");
  for (const [word, apps] of chosen) {
    try {
      const image = storedImage(engine, word);
      await verifyImage(engine, image, word, output.error);
      output.stdout(`successfully verified checksum for image: ${quoted(word)} (${quoted(image.id)})\n`);
    } catch (error) {
      failed(`verification failed for image ${quoted(word)}: ${failureText(error)}`);
      if (error instanceof RktError && error.hint !== undefined) output.error(`hint: ${error.hint}`);
      for (const app of apps) output.error(`it runs as ${app}`);
    }
  }
  return status;
}

/** Words for images, each with the apps that run it where it was chosen by them. `failed` hears of pods that cannot be looked into. Throws USAGE. */
function chosenImages({ engine, flags, args }: CommandInput, failed: (text: string) => void): Map<string, string[]> {
  const [all, running] = [flags.bool("all"), flags.bool("running")];
  if (Number(all) + Number(running) + Number(args.length > 0) > 1)
    throw new RktError("USAGE", "give images, --all or --running, not several of these");
  if (running) return runningImages(engine, failed);
  const words = all ? listImages(engine.dataDir).map(({ id }) => id) : args;
  if (!all && words.length === 0) throw new RktError("USAGE", "must provide at least one image ID");
  return new Map(words.map((word) => [word, []]));
}

function runningImages(engine: Engine, failed: (text: string) => void): Map<string, string[]> {
  const images = new Map<string, string[]>();
  for (const pod of eachPod(podReader(engine.dataDir, linux), ["run"], failed)) {
    if (pod.state !== "running") continue;
    try {
      for (const { name, image } of podManifest(linux, pod).apps)
        images.set(image.id, [...(images.get(image.id) ?? []), `app ${quoted(name)} of pod ${quoted(pod.uuid)}`]);
    } catch (error) {
      failed(`cannot tell the images of pod ${quoted(pod.uuid)}: ${failureText(error)}`);
    }
  }
  return images;
}
