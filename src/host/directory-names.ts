/** What a directory holds. */

import { readdirSync } from "node:fs";
import { isErrno } from "./errno.ts";

/** Names in `directory`; none when it does not exist, or cannot be read for one of the reasons `others`. */
export function directoryNames(directory: string, ...others: string[]): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT", ...others)) return [];
    throw error;
  }
}
