/** rkt attach: the caller's terminal, or its standard streams, joined to those of a running app. */

import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { linux } from "../../host/mod.ts";
import { runningPod } from "../../pod/mod.ts";
import { callStage1, crossingEnvironment } from "../../stage0/call-stage1.ts";
import { chosenApp } from "../chosen-app.ts";
import type { Command, CommandInput } from "../command.ts";
import { podFirst, UUID_FILE_FLAG } from "../pod-words.ts";

const ENDPOINTS = ["stdin", "stdout", "stderr", "tty", "tty-in", "tty-out"];

export const command: Command = {
  name: "attach",
  summary: "Attach to an app running within a rkt pod",
  usage: "[--app=APPNAME] [--mode=MODE] --uuid-file=FILE | UUID",
  description: `Joins the standard streams of rkt to those of an app that was given stream or tty for its --stdin, --stdout or --stderr. Several clients may be attached at once: each gets what the app writes, and whole lines of each reach the app.

With a terminal on both sides keys are passed on as they are typed, and the window's size with them. Ctrl-] three times leaves the app alone.`,
  flags: [
    { name: "app", kind: "string", usage: "name of the app to attach to" },
    UUID_FILE_FLAG,
    {
      name: "mode",
      kind: "string",
      default: "auto",
      usage:
        "auto (everything there is), list (only tell what there is), or a list of stdin, stdout, stderr, or of tty, tty-in, tty-out",
    },
  ],
  requiresRoot: true,
  run: attachCommand,
};

async function attachCommand(input: CommandInput): Promise<number> {
  const { engine, flags, output } = input;
  const [uuid, ...others] = podFirst(input);
  if (uuid === undefined || others.length > 0) throw new RktError("USAGE", "must provide the pod UUID");
  const action = actionOf(flags.string("mode"));
  const pod = runningPod(engine.dataDir, linux, uuid);
  const app = chosenApp(pod.apps, flags.string("app"), "attach", output);
  const argv = [...action, `--app=${app}`, `--debug=${engine.debug}`];
  return callStage1(engine, pod.dir, "attach", argv, crossingEnvironment(engine, pod.dir, pod.pid));
}

/** The contract's arguments (docs/stage1-contract.md). Throws USAGE in rkt's words. */
function actionOf(mode: string): string[] {
  if (mode === "list") return ["--action=list"];
  if (mode === "auto" || mode === "") return ["--action=auto-attach"];
  const names = mode.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !ENDPOINTS.includes(name));
  if (unknown !== undefined) throw new RktError("USAGE", `unknown endpoint ${quoted(unknown)}`);
  const tty = names.filter((name) => name.startsWith("tty"));
  if (tty.length > 0 && tty.length < names.length) {
    throw new RktError("USAGE", `incompatible endpoints ${quoted(mode)}, cannot simultaneously attach TTY and streams`);
  }
  const given = (name: string) => names.includes(name) || (names.includes("tty") && name.startsWith("tty-"));
  return [
    "--action=custom-attach",
    ...["tty-in", "tty-out", "stdin", "stdout", "stderr"].map((name) => `--${name}=${given(name)}`),
  ];
}
