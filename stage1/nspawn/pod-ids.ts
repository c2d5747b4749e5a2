/** The users of a running pod, as its kernel has them. */

import { readFileSync } from "node:fs";
import { RktError } from "../../src/core/errors.ts";
import type { IdRange } from "../../src/core/id-range.ts";

/** Of the pod whose init is `pid`; undefined without a user namespace. user_namespaces(7): `ID-INSIDE ID-OUTSIDE LENGTH`, the whole range of the host's own. */
export function idsOfProcess(pid: number): IdRange | undefined {
  const [first = "", ...others] = readFileSync(`/proc/${pid}/uid_map`, "latin1").trim().split("\n");
  const [inside, shift = 0, count = 0] = first.trim().split(/\s+/).map(Number);
  if (inside === 0 && shift === 0) return undefined;
  if (inside === 0 && others.length === 0 && shift > 0 && count > 0) return { shift, count };
  throw new RktError("STAGE1", "Cannot enter the pod: its users are mapped in a way that this stage1 does not make");
}
