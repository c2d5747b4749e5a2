/** What `rkt fsck` finds: something wrong in the data directory, and how it is mended. */

import type { ImageId } from "./digest.ts";

export interface Problem {
  /** Damage: an image or pod lacks something. Leftover: it takes room and does no harm; `image gc` removes it too. */
  readonly severity: "damage" | "leftover";
  /** Stable, for programs: "missing-blob", "broken-record", … (docs/on-disk-format.md, "Damage"). */
  readonly kind: string;
  readonly path: string;
  readonly image?: ImageId;
  /** One sentence without a period. */
  readonly message: string;
  /** Mends it, after looking again under the lock that it needs; the result says what was done. Throws when it cannot. Absent: nothing can be done from here, the message says what can. */
  readonly mend?: () => string | Promise<string>;
}
