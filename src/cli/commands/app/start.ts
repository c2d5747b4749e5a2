/** rkt app start. */

import { startApp } from "../../../stage0/change-apps.ts";
import type { Command } from "../../command.ts";
import { APP_FLAG, appWords } from "./app-words.ts";

export const command: Command = {
  name: "start",
  summary: "Start an app in a pod",
  usage: "UUID --app=NAME",
  description: "Starts an app that was added, or has ended. An app that runs is left as it is.",
  flags: [APP_FLAG],
  run: (input) => {
    const { pod, app } = appWords(input, "start");
    return startApp(input.engine, pod, app);
  },
};
