/** Where a registry keeps the signatures of an image: its referrers (by the API or by a tag), cosign's tag, and the lookaside server of the operator's registries.d. */

import { type Digest, formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import { redactUrl } from "../core/text.ts";
import { documentKind, parseIndex } from "../spec/oci/mod.ts";
import { SIGNATURE_LIMITS } from "../spec/oci/signature-set.ts";
import { digestOfBytes, requireDigest } from "./document-digest.ts";
import { httpGet, readAll, statusError } from "./http.ts";
import { type Job, retryOptions } from "./job.ts";
import type { FetchedDocument, Registry } from "./registry.ts";
import type { SignatureCollector } from "./signature-collector.ts";
import { collectFromManifest, cosignTag, mayBeSignature, referrersTag, shortDigest } from "./signature-manifest.ts";
import { withRetries } from "./transfer-error.ts";

/** The signatures of each of `subjects`: the image's manifest, and the indexes that led to it. */
export async function collectFromRegistry(
  job: Job,
  registry: Registry,
  subjects: readonly Digest[],
  collector: SignatureCollector,
): Promise<void> {
  await Promise.all(
    subjects.flatMap((subject) => [
      collector.search(`what refers to ${shortDigest(subject)}`, () =>
        fromReferrers(job, registry, subject, collector),
      ),
      collector.search(`the tag ${cosignTag(subject)}`, async () => {
        const document = await optionalManifest(job, registry, cosignTag(subject));
        if (document !== undefined) await fromDocument(job, registry, document.bytes, collector);
      }),
    ]),
  );
}

async function fromReferrers(
  job: Job,
  registry: Registry,
  subject: Digest,
  collector: SignatureCollector,
): Promise<void> {
  const referrers = (await registry.referrers(job, subject)) ?? (await taggedReferrers(job, registry, subject));
  for (const referrer of referrers.filter(mayBeSignature).slice(0, SIGNATURE_LIMITS.documents)) {
    const document = await optionalManifest(job, registry, formatDigest(referrer.digest));
    if (document === undefined) continue;
    requireDigest("a signature's manifest", digestOfBytes(referrer.digest.algorithm, document.bytes), referrer.digest);
    await fromDocument(job, registry, document.bytes, collector);
  }
}

async function taggedReferrers(job: Job, registry: Registry, subject: Digest) {
  const document = await optionalManifest(job, registry, referrersTag(subject));
  const json = document?.bytes.toString("utf8");
  // The tag may also be a signed image's own: then it is no list.
  return json !== undefined && documentKind(json) === "index" ? parseIndex(json).manifests : [];
}

async function fromDocument(job: Job, registry: Registry, bytes: Buffer, collector: SignatureCollector): Promise<void> {
  const blob = ({ digest, size }: { digest: Digest; size: number }) =>
    withRetries(retryOptions(job, 3), () => collectBlob(registry.blob(digest, 0, job.signal), size));
  await collectFromManifest(bytes.toString("utf8"), blob, collector);
}

async function collectBlob(content: AsyncIterable<Uint8Array>, size: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of content) {
    chunks.push(chunk);
    length += chunk.length;
    // Too long: its digest will be wrong.
    if (length > size) break;
  }
  return Buffer.concat(chunks);
}

async function optionalManifest(job: Job, registry: Registry, version: string): Promise<FetchedDocument | undefined> {
  try {
    return await registry.manifest(job, version);
  } catch (error) {
    if (error instanceof RktError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

/**
 * Simple signing (containers-registries.d(5)): BASE@ALGORITHM=HEX/signature-1, -2, … until one is missing. `bases` end in the repository's name.
 */
export async function collectFromLookaside(
  job: Job,
  bases: readonly string[],
  subjects: readonly Digest[],
  collector: SignatureCollector,
): Promise<void> {
  for (const base of bases) {
    for (const subject of subjects) {
      const directory = `${base}@${subject.algorithm}=${subject.hex}`;
      await collector.search(redactUrl(`${base}@${subject.algorithm}=${subject.hex.slice(0, 12)}…`), async () => {
        for (let number = 1; number <= SIGNATURE_LIMITS.documents; number++) {
          const content = await optionalFile(job, new URL(`${directory}/signature-${number}`));
          if (content === undefined) return;
          collector.add({ kind: "simple", content });
        }
      });
    }
  }
}

async function optionalFile(job: Job, url: URL): Promise<Buffer | undefined> {
  return withRetries(retryOptions(job, 3), async () => {
    const reply = await httpGet(job.http, { url, signal: job.signal });
    if (reply.status === 404) {
      reply.discard();
      return undefined;
    }
    if (reply.status !== 200) throw statusError(reply, redactUrl(url));
    return readAll(reply, SIGNATURE_LIMITS.document);
  });
}
