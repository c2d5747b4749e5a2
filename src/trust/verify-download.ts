/** Step 2 of the spine: Download → VerifiedImage. An image that is not trusted is an error, never a value. */

import type { DataDir } from "../core/data-dir.ts";
import { formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { InsecureOptions } from "../core/insecure-options.ts";
import type { AciDownload, BlobRef, Download, ImageReference, VerifiedImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { openFileBeneath } from "../host/beneath.ts";
import type { Host } from "../host/mod.ts";
import type { SignatureProblem } from "./gpgv-status.ts";
import { type TrustDirs, trustedKeysFor } from "./keystore.ts";
import { decodeVerdict, type VerifyAnswer } from "./messages.ts";
import { areSignatures, dearmor } from "./packets.ts";
import { askVerifyWorker, type VerifyWorker } from "./run-worker.ts";

export interface VerifyOptions extends TrustDirs {
  readonly dataDir: DataDir;
  readonly insecure: InsecureOptions;
  readonly emit: Emit;
  readonly host: Host;
  /** For an OCI image: a worker that was started before ({@link prepareVerifyWorker}), for one question. */
  readonly verifier?: VerifyWorker | undefined;
}

/** A detached signature has a few hundred bytes; several of them a few thousand. */
const SIGNATURE_LIMIT = 64 * 1024;

/**
 * Decides whether the image may be used: an ACI by its detached signature, made by a key that is trusted for the name the image gives itself; an OCI image by one of the
 * signatures found for it, made by a signer that is trusted for the name it was asked for by (`reference`; undefined for an image of the store); anything when the operator
 * said `--insecure-options=image`. Throws NOT_TRUSTED in rkt's words, DIGEST_MISMATCH when the archive changed on the disk, HOST_PROGRAM without gpgv.
 */
export async function verifyDownload(
  download: Download,
  reference: ImageReference | undefined,
  options: VerifyOptions,
): Promise<VerifiedImage> {
  if (options.insecure.image) {
    options.emit({ kind: "notice", source: "image", text: "warning: image signature verification has been disabled" });
    return { download, verification: { kind: "insecure" } };
  }
  if (download.format === "oci") {
    const { verifyOci } = await import("./oci/verify-oci.ts");
    return { download, verification: await verifyOci(download, reference, options) };
  }
  const fingerprint = await verifySignature(download, options);
  return { download, verification: { kind: "openpgp", fingerprint } };
}

/** An image that is part of this installation: trusted for where its file lies, like the executable itself. */
export function verifyBuiltin(download: Download): VerifiedImage {
  return { download, verification: { kind: "builtin" } };
}

async function verifySignature(download: AciDownload, options: VerifyOptions): Promise<string> {
  if (download.signature === undefined) {
    throw new RktError(
      "NOT_TRUSTED",
      `Cannot verify image ${quoted(download.name)}: it has no signature, expected one beside it`,
      {
        hint: "name the signature with --signature, or accept the image unsigned with --insecure-options=image",
      },
    );
  }
  const signature = download.signature.length > SIGNATURE_LIMIT ? undefined : dearmor(download.signature, "SIGNATURE");
  if (signature === undefined || !areSignatures(signature)) {
    throw new RktError("NOT_TRUSTED", "keystore: no valid signatures found in signature file");
  }
  const keys = trustedKeysFor(download.name, options, options.emit);
  if (keys.length === 0) throw notTrusted(["unknown-key"], download.name);
  const verdict = await askAboutArchive(
    download.archive,
    Buffer.concat(keys.map(({ keyring }) => keyring)),
    signature,
    options,
  );
  if (verdict.problems.includes("bad")) throw notTrusted(verdict.problems, download.name);
  // A file of the keystore may hold more keys than the one it is trusted for.
  const trusted = new Set(keys.map(({ fingerprint }) => fingerprint));
  const good = verdict.good.find(({ fingerprint }) => trusted.has(fingerprint));
  if (good === undefined) throw notTrusted(verdict.problems, download.name);
  options.emit({ kind: "notice", source: "image", text: `signature verified:\n  ${good.userId}` });
  return good.fingerprint;
}

async function askAboutArchive(
  archive: BlobRef,
  keyring: Buffer,
  signature: Buffer,
  options: VerifyOptions,
): Promise<VerifyAnswer> {
  const fd = openArchive(archive, options);
  try {
    const request = {
      kind: "verify",
      keyring: keyring.toString("base64"),
      signature: signature.toString("base64"),
    } as const;
    const verdict = decodeVerdict(await askVerifyWorker(request, [fd]));
    // What was verified is what is stored: the file belongs to the fetch worker, which could have changed it meanwhile.
    if (verdict.good.length > 0 && verdict.sha512 !== archive.digest.hex) {
      throw new RktError(
        "DIGEST_MISMATCH",
        `Cannot verify blob ${formatDigest(archive.digest)}: its content has sha512:${verdict.sha512}`,
      );
    }
    return verdict;
  } finally {
    options.host.close(fd);
  }
}

function openArchive({ digest, size }: BlobRef, { dataDir, host }: VerifyOptions): number {
  if (digest.algorithm !== "sha512")
    throw new RktError("INVALID_INPUT", `Cannot verify blob ${formatDigest(digest)}: expected a SHA-512`);
  const file = openFileBeneath(host, dataDir.cas, dataDir.blob(digest).slice(dataDir.cas.length + 1));
  if (file?.size === size) return file.fd;
  if (file !== undefined) host.close(file.fd);
  throw new RktError(
    "DIGEST_MISMATCH",
    `Cannot verify blob ${formatDigest(digest)}: it is not in the store with ${size} bytes`,
  );
}

const WORDS: Record<SignatureProblem, string> = {
  bad: "openpgp: invalid signature: the image or its signature was changed",
  "revoked-key": "openpgp: signature made by a revoked key",
  "expired-key": "openpgp: signature made by an expired key",
  expired: "openpgp: signature expired",
  "weak-digest": "openpgp: signature uses a digest that can be forged (SHA-1 or older)",
  text: "openpgp: signature covers a text, expected one over binary content",
  unsupported: "openpgp: signature uses an unsupported algorithm",
  "unknown-key": "openpgp: signature made by unknown entity",
};

/** The gravest problem in rkt's words. */
function notTrusted(problems: readonly SignatureProblem[], name: string): RktError {
  const gravest =
    (Object.keys(WORDS) as SignatureProblem[]).find((problem) => problems.includes(problem)) ?? "unknown-key";
  const hint = `trust the signer's key with "rkt trust --prefix ${name}", or accept the image unsigned with --insecure-options=image`;
  return new RktError("NOT_TRUSTED", WORDS[gravest], gravest === "unknown-key" ? { hint } : {});
}
