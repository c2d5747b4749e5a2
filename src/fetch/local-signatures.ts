/**
 * Signatures of OCI images in files of this host: what `--signature` names, a bundle beside a layout, and a lookaside directory. Read by the caller, since they may lie
 * where the worker cannot look; the bytes are only passed on.
 */

import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Digest, formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { ImageReference, OciDownload, SignatureDocument, SignatureSet } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { readAll } from "../host/beneath.ts";
import { isErrno, O } from "../host/mod.ts";
import { SIGNATURE_LIMITS, sizeOfDocument, sizeOfSet } from "../spec/oci/signature-set.ts";
import { digestOfBytes } from "./document-digest.ts";

/** A signature as it comes in a file: JSON is a Sigstore bundle, anything else an OpenPGP message. */
export function signatureDocument(content: Uint8Array): SignatureDocument {
  return { kind: Buffer.from(content).toString("latin1").trimStart().startsWith("{") ? "bundle" : "simple", content };
}

/** The download with its local signatures added. `path`: what `--signature` names, which then is the only one. Throws NOT_TRUSTED when that cannot be read. */
export function withLocalSignatures(
  download: OciDownload,
  reference: ImageReference,
  given: { readonly path: string | undefined; readonly lookaside: string | undefined },
): OciDownload {
  const found = download.signatures ?? { documents: [], indexes: [], searched: [] };
  if (given.path !== undefined) {
    const content = readSignature(given.path, 0);
    if (content === undefined) {
      throw new RktError("NOT_TRUSTED", `error opening signature file: ${quoted(given.path)} cannot be read`);
    }
    return { ...download, signatures: { ...found, documents: [signatureDocument(content)], searched: [given.path] } };
  }
  let set = beside(found, reference);
  if (given.lookaside?.startsWith("file:") === true) {
    const subjects = [download.manifest.digest, ...found.indexes.map((index) => digestOfBytes("sha256", index))];
    for (const subject of subjects) set = fromDirectory(set, given.lookaside, subject);
  }
  return { ...download, signatures: set };
}

/** cosign's convention for the bundle of a file: FILE.sigstore.json. */
function beside(set: SignatureSet, reference: ImageReference): SignatureSet {
  if (reference.kind !== "oci-layout" && reference.kind !== "oci-archive") return set;
  const path = `${reference.path}.sigstore.json`;
  const content = readSignature(path);
  return added(set, path, content === undefined ? [] : [signatureDocument(content)]);
}

function fromDirectory(set: SignatureSet, base: string, subject: Digest): SignatureSet {
  const directory = `${fileURLToPath(base)}@${formatDigest(subject).replace(":", "=")}`;
  const documents: SignatureDocument[] = [];
  for (let number = 1; number <= SIGNATURE_LIMITS.documents; number++) {
    const content = readSignature(`${directory}/signature-${number}`);
    if (content === undefined) break;
    documents.push({ kind: "simple", content });
  }
  return added(set, directory, documents);
}

function added(set: SignatureSet, place: string, documents: readonly SignatureDocument[]): SignatureSet {
  const all = [...set.documents];
  let size = sizeOfSet(set);
  for (const document of documents) {
    size += sizeOfDocument(document);
    if (all.length < SIGNATURE_LIMITS.documents && size <= SIGNATURE_LIMITS.all) all.push(document);
  }
  return { ...set, documents: all, searched: [...set.searched, place] };
}

/**
 * Undefined when there is none. Throws INVALID_INPUT when it is too large, NOT_TRUSTED when it cannot be read. A file that nobody named must not be a link: what is found is
 * kept in the store, so whoever made the image's directory could have root copy any small file of the host to where group rkt reads it.
 */
function readSignature(path: string, flags: number = O.NOFOLLOW): Buffer | undefined {
  let fd: number | undefined;
  try {
    // NONBLOCK: a FIFO in its place must not hold us up.
    fd = openSync(path, O.RDONLY | O.CLOEXEC | O.NONBLOCK | flags);
    return readAll(fd, SIGNATURE_LIMITS.document, () => quoted(path));
  } catch (cause) {
    if (cause instanceof RktError) throw cause;
    if (isErrno(cause, "ENOENT", "ENOTDIR")) return undefined;
    // A place that this user may not look into holds no signature for them: without one the image is refused, which is the safe side.
    if (flags !== 0 && isErrno(cause, "EACCES")) return undefined;
    if (isErrno(cause, "ELOOP")) throw new RktError("MALICIOUS", `Cannot read ${quoted(path)}: it is a symbolic link`);
    throw new RktError("NOT_TRUSTED", `error opening signature file: ${quoted(path)} cannot be read`, { cause });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
