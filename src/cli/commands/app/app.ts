/** `rkt app`: the list of its subcommands. */

import type { Command } from "../../command.ts";

export const command: Command = {
  name: "app",
  summary: "Operate on apps of a running pod",
  usage: "[command]",
  description:
    "These commands operate on the apps of a pod that runs: `rkt app sandbox` starts a pod without apps, to which apps are added, and in which each is started and stopped by itself.",
  flags: [],
  subcommands: [
    { name: "add", summary: "Add an app to a pod", load: async () => (await import("./add.ts")).command },
    {
      name: "exec",
      summary: "Execute commands in the given app's namespace",
      load: async () => (await import("./exec.ts")).command,
    },
    { name: "list", summary: "List apps in a pod", load: async () => (await import("./list.ts")).command },
    { name: "rm", summary: "Remove an app from a pod", load: async () => (await import("./rm.ts")).command },
    {
      name: "sandbox",
      summary: "Create an empty pod application sandbox",
      load: async () => (await import("./sandbox.ts")).command,
    },
    { name: "start", summary: "Start an app in a pod", load: async () => (await import("./start.ts")).command },
    {
      name: "status",
      summary: "Print the status of an app in a pod",
      load: async () => (await import("./status.ts")).command,
    },
    { name: "stop", summary: "Stop an app in a pod", load: async () => (await import("./stop.ts")).command },
  ],
};
