/** rkt image push: an OCI image of the store into a registry. */

import { formatDigest } from "../../../core/digest.ts";
import type { Command, CommandInput } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";
import { storedImage } from "../../stored-image.ts";

export const command: Command = {
  name: "push",
  summary: "Push a stored OCI image to a registry",
  usage: "IMAGE DESTINATION",
  description: `IMAGE is an ID or a name of an OCI image in the local store; DESTINATION has the form docker://REGISTRY/NAME[:TAG].

The manifest is pushed with the bytes that it was fetched with, so its digest stays the same. Blobs that the registry has are not sent again, and those that another of its repositories has are mounted from there.
Prints the pushed image by digest. Needs no root: members of group "rkt" may push. Credentials: see docs/registries.md.`,
  flags: [],
  readsImages: true,
  run: pushCommand,
};

async function pushCommand({ engine, args, output }: CommandInput): Promise<void> {
  const [name, destination, ...rest] = args;
  if (name === undefined || destination === undefined || rest.length > 0)
    throw new CommandLineError("must provide an image and a destination");
  const [{ parseDockerReference }, { pushImage }, { loadConfig }, { listImages }] = await Promise.all([
    import("../../../fetch/docker-reference.ts"),
    import("../../../fetch/push-image.ts"),
    import("../../../config/mod.ts"),
    import("../../../store/mod.ts"),
  ]);
  const { dataDir, insecure, emit } = engine;
  const target = parseDockerReference(destination);
  const digest = await pushImage(storedImage(engine, name), target, {
    ...{ dataDir, insecure, emit },
    config: loadConfig(engine),
    known: listImages(dataDir, { emit }),
    env: process.env,
  });
  output.stdout(`docker://${target.registry}/${target.repository}@${formatDigest(digest)}\n`);
}
