/** rkt image tag: further names of stored images. */

import { RktError } from "../../../core/errors.ts";
import { printable, quoted } from "../../../core/text.ts";
import { parseImageReference } from "../../../fetch/image-reference.ts";
import { listTags, tagImage, tagName, untagImage } from "../../../store/mod.ts";
import type { Command, CommandInput } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";
import { storedImage } from "../../stored-image.ts";
import { formatTable } from "../../table.ts";

export const command: Command = {
  name: "tag",
  summary: "Give a stored image another name",
  usage: "IMAGE NAME | --remove NAME... | --list",
  description: `NAME is docker://[REGISTRY/]NAME[:TAG], or the name of an App Container image: NAME[:VERSION]. It then stands for IMAGE, an ID or a name of an image in the local store, wherever an image is named and the pull policy looks into the store; also where it stood for another image before.

A name says nothing about who made the image: it is verified as before. Names given by members of group "rkt" are for their own commands; what root runs by name is decided by root's names alone.`,
  flags: [
    { name: "remove", kind: "bool", usage: "take names away; the images stay" },
    { name: "list", kind: "bool", usage: "list the names that images were given" },
    { name: "no-legend", kind: "bool", usage: "suppress a legend with the list" },
    { name: "full", kind: "bool", usage: "list full image ids" },
  ],
  readsImages: true,
  run: tagCommand,
};

function tagCommand(input: CommandInput): void {
  const { engine, flags, args } = input;
  const options = { emit: engine.emit };
  if (flags.bool("list") && flags.bool("remove")) throw new CommandLineError("--list and --remove exclude each other");
  if (flags.bool("list")) {
    if (args.length > 0) throw new CommandLineError("--list takes no arguments");
    list(input);
    return;
  }
  if (flags.bool("remove")) {
    if (args.length === 0) throw new CommandLineError("must provide at least one name");
    for (const name of args) untagImage(engine.dataDir, parseName(name), options);
    return;
  }
  const [image, name, ...rest] = args;
  if (image === undefined || name === undefined || rest.length > 0)
    throw new CommandLineError("must provide an image and a name");
  tagImage(engine.dataDir, storedImage(engine, image), parseName(name), options);
}

function list({ engine, flags, output }: CommandInput): void {
  const rows = listTags(engine.dataDir, { emit: engine.emit }).map(({ name, id }) => [
    printable(name),
    flags.bool("full") ? id : id.slice(0, "sha512-".length + 12),
  ]);
  const legend = flags.bool("no-legend") ? [] : [["NAME", "ID"]];
  output.stdout(formatTable([...legend, ...rows]) || "\n");
}

function parseName(text: string): string {
  const name = tagName(parseImageReference(text, "/"));
  if (name !== undefined) return name;
  throw new RktError(
    "INVALID_INPUT",
    `Cannot give an image the name ${quoted(text)}: expected docker://… with a tag, or NAME[:VERSION]`,
  );
}
