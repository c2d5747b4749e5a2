/** rkt app stop. */

import { stopApp } from "../../../stage0/change-apps.ts";
import type { Command } from "../../command.ts";
import { APP_FLAG, appWords } from "./app-words.ts";

export const command: Command = {
  name: "stop",
  summary: "Stop an app in a pod",
  usage: "UUID --app=NAME",
  description:
    "Asks the app to end (TERM), and waits until it has; after 90 seconds it is killed. The app can be started again.",
  flags: [APP_FLAG],
  run: (input) => {
    const { pod, app } = appWords(input, "stop");
    return stopApp(input.engine, pod, app);
  },
};
