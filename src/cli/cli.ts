/** The list of commands. */

import { RktError } from "../core/errors.ts";
import type { Command, CommandEntry } from "./command.ts";

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "api-service",
    summary: "Run API service (experimental)",
    load: async () => (await import("./commands/api-service.ts")).command,
  },
  {
    name: "app",
    summary: "Operate on apps of a running pod",
    load: async () => (await import("./commands/app/app.ts")).command,
  },
  {
    name: "attach",
    summary: "Attach to an app running within a rkt pod",
    load: async () => (await import("./commands/attach.ts")).command,
  },
  {
    name: "cat-manifest",
    summary: "Inspect and print the pod manifest",
    load: async () => (await import("./commands/cat-manifest.ts")).command,
  },
  {
    name: "complete",
    summary: "List names for completion scripts",
    added: true,
    hidden: true,
    load: async () => (await import("./commands/complete.ts")).command,
  },
  {
    name: "completion",
    summary: "Output shell completion code for the specified shell",
    load: async () => (await import("./commands/completion.ts")).command,
  },
  {
    name: "config",
    summary: "Print configuration for each stage in JSON format",
    load: async () => (await import("./commands/config.ts")).command,
  },
  {
    name: "enter",
    summary: "Enter the namespaces of an app within a rkt pod",
    load: async () => (await import("./commands/enter.ts")).command,
  },
  {
    name: "events",
    summary: "Print what happens to pods, apps and images",
    added: true,
    load: async () => (await import("./commands/events.ts")).command,
  },
  {
    name: "explain",
    summary: "Tell why the apps of a pod ended",
    added: true,
    load: async () => (await import("./commands/explain.ts")).command,
  },
  {
    name: "export",
    summary: "Export an app from an exited pod to an ACI file",
    load: async () => (await import("./commands/export.ts")).command,
  },
  {
    name: "fetch",
    summary: "Fetch image(s) and store them in the local store",
    load: async () => (await import("./commands/fetch.ts")).command,
  },
  {
    name: "fsck",
    summary: "Check the data directory, and mend it",
    added: true,
    load: async () => (await import("./commands/fsck.ts")).command,
  },
  {
    name: "gc",
    summary: "Garbage collect rkt pods no longer in use",
    load: async () => (await import("./commands/gc.ts")).command,
  },
  {
    name: "help",
    summary: "Show a list of commands or help for one command",
    load: async () => (await import("./commands/help.ts")).command,
  },
  {
    name: "image",
    summary: "Operate on image(s) in the local store",
    load: async () => (await import("./commands/image/image.ts")).command,
  },
  {
    name: "list",
    summary: "List pods",
    load: async () => (await import("./commands/list.ts")).command,
  },
  {
    name: "logs",
    summary: "Print what the apps of a pod have written",
    added: true,
    load: async () => (await import("./commands/logs.ts")).command,
  },
  {
    name: "metadata-service",
    summary: "Run metadata service",
    load: async () => (await import("./commands/metadata-service.ts")).command,
  },
  {
    name: "net",
    summary: "Check and mend the networks of pods",
    added: true,
    load: async () => (await import("./commands/net/net.ts")).command,
  },
  {
    name: "prepare",
    summary: "Prepare to run image(s) in a pod in rkt",
    load: async () => (await import("./commands/prepare.ts")).command,
  },
  {
    name: "rm",
    summary: "Remove all files and resources associated with an exited pod",
    load: async () => (await import("./commands/rm.ts")).command,
  },
  {
    name: "run",
    summary: "Run image(s) in a pod in rkt",
    load: async () => (await import("./commands/run.ts")).command,
  },
  {
    name: "run-prepared",
    summary: "Run a prepared application pod in rkt",
    load: async () => (await import("./commands/run-prepared.ts")).command,
  },
  {
    name: "seccomp-profile",
    summary: "Write a seccomp profile of what an app needs",
    added: true,
    load: async () => (await import("./commands/seccomp-profile.ts")).command,
  },
  {
    name: "status",
    summary: "Check the status of a rkt pod",
    load: async () => (await import("./commands/status.ts")).command,
  },
  {
    name: "stop",
    summary: "Stop a pod",
    load: async () => (await import("./commands/stop.ts")).command,
  },
  {
    name: "tpm",
    summary: "Prove which pods were started since boot",
    added: true,
    load: async () => (await import("./commands/tpm/tpm.ts")).command,
  },
  {
    name: "trust",
    summary: "Trust a key for image verification",
    load: async () => (await import("./commands/trust.ts")).command,
  },
  {
    name: "version",
    summary: "Print the version and exit",
    load: async () => (await import("./commands/version.ts")).command,
  },
];

/** `rkt` itself. */
export const ROOT: Command = {
  name: "rkt",
  summary: "rkt, the application container runner",
  usage: "[command]",
  description: `A CLI for running app containers on Linux.

To get the help on any specific command, run "rkt help command".`,
  flags: [],
  subcommands: COMMANDS,
  run() {
    throw new RktError("MISSING_COMMAND", "missing command");
  },
};
