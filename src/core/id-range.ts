/** The users and groups of a pod with a user namespace: its id 0 is `shift` on the host, and so on for `count` ids. `SHIFT:COUNT` in the pod's directory and in the stage1's arguments (rkt 1.x). */

import { RktError } from "./errors.ts";
import { quoted } from "./text.ts";

export interface IdRange {
  readonly shift: number;
  readonly count: number;
}

/** What every pod gets: 16 bits of ids, as programs expect them (nobody is 65534). */
export const IDS_PER_POD = 65536;

/** user_namespaces(7): ids are 32 bits, and the last one means "no change". */
const LAST_ID = 4294967294;

/** The id that an unmapped owner is shown as (/proc/sys/kernel/overflowuid). */
const NOBODY = 65534;

export function formatIdRange({ shift, count }: IdRange): string {
  return `${shift}:${count}`;
}

/** Throws INVALID_INPUT: a range that began at 0 would be the host's own users. */
export function parseIdRange(text: string): IdRange {
  const [shift = "", count = "", ...rest] = text.trim().split(":");
  const range = { shift: decimal(shift), count: decimal(count) };
  if (rest.length === 0 && range.shift > 0 && range.count > 0 && range.shift + range.count - 1 <= LAST_ID) return range;
  throw new RktError("INVALID_INPUT", `Cannot use ${quoted(text)} as a range of users: expected SHIFT:COUNT`);
}

function decimal(text: string): number {
  return /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
}

/** What the host shows for the pod's `id`; nobody's for an id that the pod does not have. */
export function idOnHost({ shift, count }: IdRange, id: number): number {
  return shift + (id < count ? id : Math.min(NOBODY, count - 1));
}

/** What the pod sees for the host's `id`; nobody for one outside of its range. */
export function idInPod({ shift, count }: IdRange, id: number): number {
  return id >= shift && id < shift + count ? id - shift : NOBODY;
}

export function rangesOverlap(a: IdRange, b: IdRange): boolean {
  return a.shift < b.shift + b.count && b.shift < a.shift + a.count;
}
