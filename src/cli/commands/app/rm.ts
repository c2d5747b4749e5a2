/** rkt app rm. */

import { removeApp } from "../../../stage0/change-apps.ts";
import type { Command } from "../../command.ts";
import { APP_FLAG, appWords } from "./app-words.ts";

export const command: Command = {
  name: "rm",
  summary: "Remove an app from a pod",
  usage: "UUID --app=NAME",
  description: "Ends the app, and takes everything of it out of the pod.",
  flags: [APP_FLAG],
  run: (input) => {
    const { pod, app } = appWords(input, "remove");
    return removeApp(input.engine, pod, app);
  },
};
