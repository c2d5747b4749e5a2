/** `--app`: which app of a pod a command is about. */

import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { Output } from "./command.ts";

/** The one asked for, else the pod's only one. Throws NOT_FOUND, WRONG_STATE for a pod without apps, USAGE when there are several. */
export function chosenApp(apps: readonly string[], asked: string, command: string, output: Output): string {
  if (asked !== "") {
    if (!apps.includes(asked)) throw new RktError("NOT_FOUND", `app ${quoted(asked)} is not present in pod`);
    return asked;
  }
  const [only, ...others] = apps;
  if (only === undefined) throw new RktError("WRONG_STATE", "pod contains zero apps");
  if (others.length === 0) return only;
  output.error(`pod contains multiple apps:\n${apps.map((app) => `\t${app}`).join("\n")}`);
  throw new RktError("USAGE", `specify app using "rkt ${command} --app= ..."`);
}
