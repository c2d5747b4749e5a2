/** How the app commands name what they are about: a pod by its UUID, an app by `--app`. */

import { ExitStatus, RktError } from "../../../core/errors.ts";
import type { CommandInput, FlagSpec } from "../../command.ts";

export const APP_FLAG: FlagSpec = { name: "app", kind: "string", usage: "name of the app" };

/** Throws USAGE `must provide the pod UUID`, `must provide the app to NAME`. */
export function appWords({ args, flags }: CommandInput, doing: string): { pod: string; app: string } {
  const [pod, ...others] = args;
  if (pod === undefined || others.length > 0) throw new RktError("USAGE", "must provide the pod UUID");
  const app = flags.string("app");
  if (app === "") throw new RktError("USAGE", `must provide the app to ${doing}`);
  return { pod, app };
}

/** rkt 1.x ended these commands with 1 where others end with 254. */
export async function endingWithOne<T>(run: () => Promise<T> | T): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof RktError && error.code !== "INTERNAL" ? new ExitStatus(1, error) : error;
  }
}
