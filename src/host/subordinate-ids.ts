/** Ranges of ids that the operator has set aside: subuid(5) and subgid(5). Read with our own code, as accounts.ts reads passwd(5). */

import { readFileSync } from "node:fs";
import type { IdRange } from "../core/id-range.ts";

export interface SubordinateRange extends IdRange {
  /** Name, or number in decimal, of the user that it is for. */
  readonly owner: string;
}

/** The lines of a file `OWNER:START:COUNT`; nonsense is passed over, as the tools do that read it; none where there is no file. */
export function readSubordinateIds(file: string): SubordinateRange[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return [];
  }
  return text.split("\n").flatMap((line) => {
    const [, owner = "", shift = "", count = ""] = /^([^#:\s][^:]*):([0-9]{1,10}):([0-9]{1,10})\s*$/.exec(line) ?? [];
    return Number(count) > 0 && Number(shift) > 0 ? [{ owner, shift: Number(shift), count: Number(count) }] : [];
  });
}
