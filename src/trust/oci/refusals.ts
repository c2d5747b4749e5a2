/** The lines with which an OCI image is refused: what was looked for, where, and what to do. */

import { RktError } from "../../core/errors.ts";
import type { OciDownload } from "../../core/spine.ts";
import { printable, quoted } from "../../core/text.ts";
import { repositoryNames } from "../prefix.ts";
import type { Policy } from "./policy-file.ts";

const UNSIGNED = "accept it unsigned with --insecure-options=image";

/** `trusting`: whether anybody would be believed. `policy`: the one that decides; undefined: the keystore does. */
export function notSigned(download: OciDownload, trusting: boolean, policy: Policy | undefined): RktError {
  const { documents = [], searched = [] } = download.signatures ?? {};
  const places = searched.length === 0 ? "" : `; looked at ${searched.map((one) => printable(one, 120)).join(", ")}`;
  const found = documents.length === 0 ? `it has no signature${places}` : `it has ${count(documents.length)}`;
  const text = trusting
    ? `Cannot verify image ${quoted(download.origin)}: ${found}, expected one by a signer that ${placeOf(policy)} names`
    : `Cannot verify image ${quoted(download.origin)}: no key or identity is trusted for it (${found})`;
  return new RktError("NOT_TRUSTED", text, { hint: `${remedy(download, policy)}, or ${UNSIGNED}` });
}

/** `problems`: the gravest first. */
export function notTrusted(download: OciDownload, problems: readonly string[], policy: Policy | undefined): RktError {
  const { documents = [] } = download.signatures ?? {};
  const [first = "it was made by nobody who is trusted", ...more] = problems;
  const others = more.length === 0 ? "" : ` (and: ${more.slice(0, 3).join("; ")})`;
  return new RktError(
    "NOT_TRUSTED",
    `Cannot verify image ${quoted(download.origin)}: ${count(documents.length)}, none that ${placeOf(policy)} accepts: ${first}${others}`,
    { hint: `${remedy(download, policy)}, or ${UNSIGNED}` },
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

function placeOf(policy: Policy | undefined): string {
  return policy === undefined ? "the keystore" : `${quoted(policy.path)} (${policy.scope})`;
}

/** Where a policy asks for signatures, the keystore is not asked: "rkt trust" would change nothing. */
function remedy(download: OciDownload, policy: Policy | undefined): string {
  if (policy !== undefined) return `have it signed as ${quoted(policy.path)} asks, or change that file`;
  const [name] = repositoryNames(download.source);
  const prefix = name === undefined ? "--root" : `--prefix=${printable(name)}`;
  return `trust its signer with "rkt trust ${prefix} KEY" (or --identity and --issuer)`;
}
