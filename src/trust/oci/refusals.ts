/** The lines with which an OCI image is refused: what was looked for, where, and what to do. */

import { RktError } from "../../core/errors.ts";
import type { OciDownload } from "../../core/spine.ts";
import { printable, quoted } from "../../core/text.ts";
import { repositoryNames } from "../prefix.ts";
import type { Policy } from "./policy-file.ts";

const UNSIGNED = "accept it unsigned with --insecure-options=image";

/** `trusting`: whether anybody would be believed. `place`: where that is said. */
export function notSigned(download: OciDownload, trusting: boolean, place: string): RktError {
  const { documents = [], searched = [] } = download.signatures ?? {};
  const places = searched.length === 0 ? "" : `; looked at ${searched.map((one) => printable(one, 120)).join(", ")}`;
  const found = documents.length === 0 ? `it has no signature${places}` : `it has ${count(documents.length)}`;
  const text = trusting
    ? `Cannot verify image ${quoted(download.origin)}: ${found}, expected one by a signer that ${place} names`
    : `Cannot verify image ${quoted(download.origin)}: no key or identity is trusted for it (${found})`;
  return new RktError("NOT_TRUSTED", text, { hint: `${trustHint(download)}, or ${UNSIGNED}` });
}

/** `problems`: the gravest first. */
export function notTrusted(download: OciDownload, problems: readonly string[], place: string): RktError {
  const { documents = [] } = download.signatures ?? {};
  const [first = "it was made by nobody who is trusted", ...more] = problems;
  const others = more.length === 0 ? "" : ` (and: ${more.slice(0, 3).join("; ")})`;
  return new RktError(
    "NOT_TRUSTED",
    `Cannot verify image ${quoted(download.origin)}: ${count(documents.length)}, none that ${place} accepts: ${first}${others}`,
    { hint: `${trustHint(download)}, or ${UNSIGNED}` },
  );
}

export function rejected(download: OciDownload, { path, scope }: Policy): RktError {
  return new RktError(
    "NOT_TRUSTED",
    `Cannot use image ${quoted(download.origin)}: ${quoted(path)} rejects it (${scope})`,
  );
}

function count(documents: number): string {
  return documents === 1 ? "1 signature" : `${documents} signatures`;
}

function trustHint(download: OciDownload): string {
  const [name] = repositoryNames(download.source);
  const prefix = name === undefined ? "--root" : `--prefix=${printable(name)}`;
  return `trust its signer with "rkt trust ${prefix} KEY" (or --identity and --issuer)`;
}
