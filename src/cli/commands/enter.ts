/** rkt enter: a command in the context of a running app. */

import { RktError } from "../../core/errors.ts";
import { linux } from "../../host/mod.ts";
import { runningPod } from "../../pod/mod.ts";
import { callStage1 } from "../../stage0/call-stage1.ts";
import { chosenApp } from "../chosen-app.ts";
import type { Command, CommandInput } from "../command.ts";
import { podFirst, UUID_FILE_FLAG } from "../pod-words.ts";

export const command: Command = {
  name: "enter",
  summary: "Enter the namespaces of an app within a rkt pod",
  usage: "[--app=APPNAME] [--user=USER] --uuid-file=FILE | UUID [CMD [ARGS ...]]",
  description:
    "Runs CMD (default: /bin/bash) in a running pod, in the context of the app: its file system, environment, user, capabilities, system call filter and cgroup. With a terminal, CMD has one of its own. The exit status is the command's.",
  flags: [
    { name: "app", kind: "string", usage: "name of the app to enter" },
    UUID_FILE_FLAG,
    {
      name: "user",
      kind: "string",
      usage:
        "user to run the command as: a name or number of the image, or the path of a file whose owner is meant; default: the app's user",
    },
  ],
  stopAtFirstWord: true,
  requiresRoot: true,
  run: enterCommand,
};

async function enterCommand(input: CommandInput): Promise<number> {
  const { engine, flags, output } = input;
  const [uuid, ...words] = podFirst(input);
  if (uuid === undefined) throw new RktError("USAGE", "must provide the pod UUID");
  const pod = runningPod(engine.dataDir, linux, uuid);
  const app = chosenApp(pod.apps, flags.string("app"), "enter", output);
  if (words.length === 0) output.error('no command specified, assuming "/bin/bash"');
  const command = words.length === 0 ? ["/bin/bash"] : words;
  const user = flags.string("user");
  return callStage1(engine, pod.dir, "enter", [
    ...[`--pid=${pod.pid}`, `--appname=${app}`, ...(user === "" ? [] : [`--user=${user}`])],
    ...["--", ...command],
  ]);
}
