/** `rkt image`: the list of its subcommands. */

import type { Command } from "../../command.ts";

export const command: Command = {
  name: "image",
  summary: "Operate on image(s) in the local store",
  usage: "[command]",
  description: "This subcommand operates on image(s) in the local store.",
  flags: [],
  subcommands: [
    {
      name: "cat-manifest",
      summary: "Inspect and print the image manifest",
      load: async () => (await import("./cat-manifest.ts")).command,
    },
    {
      name: "export",
      summary: "Export a stored image to an ACI file",
      load: async () => (await import("./export.ts")).command,
    },
    {
      name: "extract",
      summary: "Extract a stored image to a directory",
      load: async () => (await import("./extract.ts")).command,
    },
    {
      name: "fetch",
      summary: "Fetch image(s) and store them in the local store",
      hidden: true,
      load: async () => (await import("../fetch.ts")).command,
    },
    {
      name: "gc",
      summary: "Garbage collect local store",
      load: async () => (await import("./gc.ts")).command,
    },
    {
      name: "list",
      summary: "List images in the local store",
      load: async () => (await import("./list.ts")).command,
    },
    {
      name: "push",
      summary: "Push a stored OCI image to a registry",
      load: async () => (await import("./push.ts")).command,
    },
    {
      name: "render",
      summary: "Render a stored image to a directory with all its dependencies",
      load: async () => (await import("./render.ts")).command,
    },
    {
      name: "rm",
      summary: "Remove image(s) with the given ID(s) or name(s) from the local store",
      load: async () => (await import("./rm.ts")).command,
    },
    {
      name: "tag",
      summary: "Give a stored image another name",
      load: async () => (await import("./tag.ts")).command,
    },
    {
      name: "verify",
      summary: "Verify one or more stored images",
      load: async () => (await import("./verify.ts")).command,
    },
  ],
};
