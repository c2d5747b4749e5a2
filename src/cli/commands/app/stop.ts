/** rkt app stop. */

import { linux } from "../../../host/mod.ts";
import { closePod, isAfterRun, podReader, retrievePod } from "../../../pod/mod.ts";
import { stopApp } from "../../../stage0/change-apps.ts";
import type { Command, CommandInput } from "../../command.ts";
import { alreadyStopped } from "../../pod-text.ts";
import { APP_FLAG, appWords } from "./app-words.ts";

export const command: Command = {
  name: "stop",
  summary: "Stop an app in a pod",
  usage: "UUID --app=NAME",
  description:
    "Asks the app to end (TERM), and waits until it has; after 90 seconds it is killed. The app can be started again. Of a pod that is over every app has stopped.",
  flags: [APP_FLAG],
  run: stopCommand,
};

async function stopCommand(input: CommandInput): Promise<void> {
  const { engine, output } = input;
  const words = appWords(input, "stop");
  const pod = retrievePod(podReader(engine.dataDir, linux), words.pod);
  try {
    // No failure: whoever takes a pod down stops its apps first, and the pod may have been faster.
    if (isAfterRun(pod.state)) return output.stdout(alreadyStopped(pod));
  } finally {
    closePod(linux, pod);
  }
  return stopApp(engine, pod.uuid, words.app);
}
