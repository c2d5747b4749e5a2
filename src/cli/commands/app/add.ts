/** rkt app add. */

import { RktError } from "../../../core/errors.ts";
import { parseImageReference } from "../../../fetch/image-reference.ts";
import { parseMountVolume } from "../../../spec/appc/mod.ts";
import { addApp } from "../../../stage0/change-apps.ts";
import type { Command, CommandInput } from "../../command.ts";
import { APP_FLAGS } from "../../pod-flags.ts";
import { isInteractive, readAppOptions } from "../../pod-options.ts";

export const command: Command = {
  name: "add",
  summary: "Add an app to a pod",
  usage: "UUID IMAGE [--name=NAME] [--mnt-volume=...] [-- image-args...]",
  description: `Adds an app to a running pod of \`rkt app sandbox\`. The image is taken from the store and never fetched. The app is not started: \`rkt app start\` does that.

Arguments after "--" replace those of the image.`,
  flags: [],
  wordsBeforeImages: 1,
  imageFlags: [
    ...APP_FLAGS.filter(({ name }) => name !== "mount"),
    {
      name: "mnt-volume",
      kind: "string",
      repeatable: true,
      usage:
        "volume of this app: name=NAME,kind=host|empty|tmpfs,target=PATH[,source=PATH][,readOnly=BOOL][,recursive=BOOL][,mode=MODE,uid=UID,gid=GID]",
    },
  ],
  run: addCommand,
};

async function addCommand({ engine, args, images }: CommandInput): Promise<void> {
  const [pod] = args;
  const [image, ...others] = images;
  if (pod === undefined || image === undefined) throw new RktError("USAGE", "must provide the pod UUID and an IMAGEID");
  if (others.length > 0) throw new RktError("USAGE", "must give only one app");
  if (isInteractive(image)) {
    throw new RktError(
      "USAGE",
      "Cannot add an app that is interactive: the pod's own terminal is the sandbox's, expected tty or stream",
    );
  }
  const options = readAppOptions(image, ["mnt-volume", parseMountVolume]);
  const reference = parseImageReference(image.image, process.cwd());
  const signature = image.flags.given("signature") ? image.flags.string("signature") : undefined;
  await addApp(engine, pod, { reference, signature, options });
}
