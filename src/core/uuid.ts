/** Pod UUIDs (RFC 9562, version 4), lower-case. */

import { RktError } from "./errors.ts";
import { quoted } from "./text.ts";

/** Branded: only {@link parseUuid} and {@link newUuid} make one, so a path built from it cannot leave its directory. */
export type PodUuid = string & { readonly podUuid: unique symbol };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function isUuid(text: string): text is PodUuid {
  return UUID.test(text);
}

/** Parses a full UUID in either case. Throws INVALID_INPUT. */
export function parseUuid(text: string): PodUuid {
  const lower = text.toLowerCase();
  if (!isUuid(lower))
    throw new RktError(
      "INVALID_INPUT",
      `Cannot use ${quoted(text)} as a pod UUID: expected 8-4-4-4-12 hexadecimal digits`,
    );
  return lower;
}

export function newUuid(): PodUuid {
  return parseUuid(crypto.randomUUID());
}
