/** Ranges of ids that the operator has set aside: subuid(5) and subgid(5). Read with our own code, as accounts.ts reads passwd(5). */

import type { IdRange } from "../core/id-range.ts";
import { databaseLines } from "./accounts.ts";

export interface SubordinateRange extends IdRange {
  /** Name, or number in decimal, of the user that it is for. */
  readonly owner: string;
}

/** The lines of a file `OWNER:START:COUNT`; nonsense is passed over, as the tools do that read it; none where there is no file. */
export function readSubordinateIds(file: string): SubordinateRange[] {
  return databaseLines(file).flatMap((fields) => {
    const [, owner = "", shift = "", count = ""] =
      /^([^#:\s][^:]*):([0-9]{1,10}):([0-9]{1,10})\s*$/.exec(fields.join(":")) ?? [];
    return Number(count) > 0 && Number(shift) > 0 ? [{ owner, shift: Number(shift), count: Number(count) }] : [];
  });
}
