/** An App Container image behind a URL: the archive and the signature beside it. */

import { RktError } from "../core/errors.ts";
import { quoted, redactUrl } from "../core/text.ts";
import type { Archive } from "./aci-archive.ts";
import { type AciRecord, readAciRecord, writeAciRecord } from "./aci-record.ts";
import {
  discardPart,
  isFullDisk,
  keepPart,
  lockPart,
  type PartFile,
  partSize,
  readPieces,
  truncatePart,
  writePart,
} from "./cas.ts";
import { fetchSignature, lateSignature, type SignatureUrl } from "./fetch-signature.ts";
import { type HttpReply, httpGet, statusError } from "./http.ts";
import { debug, type Job, progressReporter, retryOptions } from "./job.ts";
import { forgetValidator, isSameFile, readValidator, writeValidator } from "./part-validator.ts";
import { TransferError, withRetries } from "./transfer-error.ts";

/** A server that states no length could fill the disk. */
const LARGEST_ACI = 64 * 1024 ** 3;

export interface AciUrl {
  readonly url: URL;
  /** Headers with credentials, for this URL's origin alone. */
  readonly secretHeaders: Readonly<Record<string, string>>;
  /** Where the signature is; undefined: none is wanted. */
  readonly signature: SignatureUrl | undefined;
  /** What is known from an earlier fetch does not count. */
  readonly anew: boolean;
}

interface Fetched {
  readonly archive: Archive;
  readonly signature: Buffer | undefined;
}

/**
 * Downloads the archive and its signature; the signature first, so that an image without one costs no download. What the server said is good for a while yet is not
 * asked for again, and what it says is unchanged since an earlier fetch is taken from the store. Throws TransferError, NOT_TRUSTED (no signature), INVALID_INPUT.
 */
export async function fetchAciUrl(job: Job, image: AciUrl): Promise<Fetched> {
  const key = new Bun.CryptoHasher("sha256").update(image.url.toString()).digest("hex");
  // Both lines, and before the look at what is known already: programs wait for them (rkt 1.x).
  debug(job, `remote fetching from URL ${quoted(redactUrl(image.url))}`);
  debug(job, `fetching image from ${redactUrl(image.url)}`);
  const fresh = freshRecord(job, image, key);
  if (fresh !== undefined) return { archive: fresh.archive, signature: fresh.signature?.bytes };
  const early = image.signature === undefined ? undefined : await fetchSignature(job, image.signature);
  const record = await downloadArchive(job, image, key);
  const signature =
    early === "deferred" && image.signature !== undefined ? await lateSignature(job, image.signature) : early;
  if (signature === undefined || signature === "deferred" || image.signature === undefined) {
    return { archive: record.archive, signature: undefined };
  }
  noteSignature(job, key, record, { url: image.signature.url.toString(), bytes: signature });
  return { archive: record.archive, signature };
}

/** The record of an earlier fetch that has all that is wanted, as long as the server's word for it (Cache-Control: max-age) holds. */
function freshRecord(job: Job, image: AciUrl, key: string): AciRecord | undefined {
  const record = image.anew ? undefined : readAciRecord(job.cas, key);
  if (record === undefined || Date.now() >= record.checked + record.maxAge * 1000) return undefined;
  if (image.signature !== undefined && record.signature?.url !== image.signature.url.toString()) return undefined;
  debug(job, `image for ${redactUrl(image.url)} isn't expired, not fetching.`);
  return record;
}

function noteSignature(job: Job, key: string, record: AciRecord, signature: NonNullable<AciRecord["signature"]>): void {
  const known = record.signature;
  if (known?.url === signature.url && known.bytes.equals(signature.bytes)) return;
  writeAciRecord(job.cas, key, { ...record, signature });
}

async function downloadArchive(job: Job, image: AciUrl, key: string): Promise<AciRecord> {
  const began = Date.now();
  const part = await lockPart(job.cas, `aci-${key}.part`, {
    // Another process that fetched the same URL while this one waited did its work too.
    isDone: () => (readAciRecord(job.cas, key)?.checked ?? 0) >= began,
    onWait: () =>
      job.emit({ kind: "notice", source: "image", text: "another rkt instance is downloading this file, waiting..." }),
    signal: job.signal,
  });
  const record = readAciRecord(job.cas, key);
  if (part === undefined) return record ?? downloadArchive(job, image, key);
  try {
    const stored = record && !image.anew && (await revalidate(job, image, key, record));
    if (stored) {
      dropPart(part);
      return stored;
    }
    return await fillPart(job, image, key, part);
  } catch (error) {
    giveUp(part, error);
    throw error;
  }
}

/** A beginning that can be continued is kept: the server's validator tells whether it is still the same file. */
function giveUp(part: PartFile, error: unknown): void {
  const broken = error instanceof TransferError && error.temporary;
  const aborted = !(error instanceof RktError);
  const worthKeeping =
    (broken || aborted) && !isFullDisk(error) && partSize(part) > 0 && readValidator(part) !== undefined;
  if (worthKeeping) keepPart(part);
  else dropPart(part);
}

function dropPart(part: PartFile): void {
  forgetValidator(part);
  discardPart(part);
}

/** The record of an earlier fetch, when its archive is still what the URL names. */
async function revalidate(job: Job, image: AciUrl, key: string, record: AciRecord): Promise<AciRecord | undefined> {
  if (record.etag === "") return undefined;
  const headers = { "If-None-Match": record.etag };
  const reply = await withRetries(retryOptions(job), () =>
    httpGet(job.http, { url: image.url, headers, secretHeaders: image.secretHeaders, signal: job.signal }),
  );
  reply.discard();
  if (reply.status !== 304) return undefined;
  debug(job, `image for ${redactUrl(image.url)} has not changed, not fetching.`);
  const checked = { ...record, checked: Date.now(), maxAge: maxAge(reply.headers) };
  writeAciRecord(job.cas, key, checked);
  return checked;
}

async function fillPart(job: Job, image: AciUrl, key: string, part: PartFile): Promise<AciRecord> {
  const resumed = partSize(part) > 0;
  try {
    return await fillFromUrl(job, image, key, part);
  } catch (error) {
    if (!resumed || !(error instanceof RktError) || error.code !== "INVALID_INPUT") throw error;
    // The beginning, from before a crash perhaps, may be what is wrong.
    debug(job, `${error.message}; starting again`);
    truncatePart(part, 0);
    return fillFromUrl(job, image, key, part);
  }
}

async function fillFromUrl(job: Job, image: AciUrl, key: string, part: PartFile): Promise<AciRecord> {
  // Loaded only when there is something to look through.
  const { aciCheck, storeArchive } = await import("./aci-archive.ts");
  let check = aciCheck();
  let offset = 0;
  // A server without ranges makes us start again: that is progress only beyond where we have been, or it would go on for ever.
  let furthest = 0;
  const restart = () => {
    check.destroy();
    check = aciCheck();
    offset = 0;
    truncatePart(part, 0);
  };
  try {
    if (readValidator(part) === undefined) truncatePart(part, 0);
    for (const piece of readPieces(part.fd, 0)) {
      await check.feed(piece);
      offset += piece.length;
    }
    if (offset > 0) debug(job, `resuming ${redactUrl(image.url)} at byte ${offset}`);
    const report = progressReporter(job, "ACI");
    const headers = await withRetries(retryOptions(job), async (progress) => {
      const reply = await requestFrom(job, image, offset, readValidator(part));
      if (reply.status !== 206 && offset > 0) restart();
      writeValidator(part, reply.headers);
      const total = reply.length === undefined ? undefined : offset + reply.length;
      for await (const chunk of reply.body()) {
        if (offset + chunk.length > (total ?? LARGEST_ACI)) throw tooLong(image.url, total);
        writePart(part, chunk, offset);
        await check.feed(chunk);
        offset += chunk.length;
        if (offset > furthest) progress();
        furthest = Math.max(furthest, offset);
        report(offset, total);
      }
      if (total !== undefined && offset < total) throw brokenOff(image.url, offset, total);
      return reply.headers;
    });
    const archive = await check.finish();
    await storeArchive(job, part, archive, image.anew);
    forgetValidator(part);
    const etag = (headers.get("etag") ?? "").slice(0, 1024);
    const record = { archive, etag, maxAge: maxAge(headers), checked: Date.now(), signature: undefined };
    writeAciRecord(job.cas, key, record);
    return record;
  } finally {
    check.destroy();
  }
}

/** RFC 9110 section 13.1.5: If-Range makes the server send the whole file when it is another one by now. */
async function requestFrom(job: Job, image: AciUrl, offset: number, validator: string | undefined): Promise<HttpReply> {
  const headers: Record<string, string> =
    offset > 0 && validator !== undefined ? { Range: `bytes=${offset}-`, "If-Range": validator } : {};
  const get = (sent: Record<string, string>) =>
    httpGet(job.http, { url: image.url, headers: sent, secretHeaders: image.secretHeaders, signal: job.signal });
  let reply = await get(headers);
  const isOther = reply.status === 206 && validator !== undefined && !isSameFile(validator, reply.headers);
  const start = /^bytes (\d+)-/.exec(reply.headers.get("content-range") ?? "")?.[1];
  if (reply.status === 416 || isOther || (reply.status === 206 && Number(start) !== offset)) {
    reply.discard();
    reply = await get({});
  }
  if (reply.status === 401 || reply.status === 403) {
    reply.discard();
    throw new RktError(
      "AUTHENTICATION",
      `Cannot fetch ${quoted(redactUrl(image.url))}: the server answered with status ${reply.status}`,
      {
        hint: "credentials for a host stand in /etc/rkt/auth.d (rktKind auth)",
      },
    );
  }
  if (reply.status === 404) {
    reply.discard();
    throw new RktError(
      "NOT_FOUND",
      `Cannot fetch ${quoted(redactUrl(image.url))}: the server has no such file (status 404)`,
    );
  }
  if (reply.status !== 200 && reply.status !== 206) throw statusError(reply, quoted(redactUrl(image.url)));
  return reply;
}

/** Seconds for which the server's answer holds (RFC 9111; rkt 1.x read the same three words). */
function maxAge(headers: Headers): number {
  const words = (headers.get("cache-control") ?? "").toLowerCase();
  if (/no-cache|no-store/.test(words)) return 0;
  return Math.min(Number(/max-age=(\d{1,9})/.exec(words)?.[1] ?? 0), 365 * 24 * 3600);
}

function tooLong(url: URL, total: number | undefined): RktError {
  const limit =
    total === undefined
      ? `${LARGEST_ACI} bytes, the most that is taken without a stated length`
      : `the stated ${total} bytes`;
  return new RktError("INVALID_INPUT", `Cannot fetch ${quoted(redactUrl(url))}: it is longer than ${limit}`);
}

function brokenOff(url: URL, offset: number, total: number): TransferError {
  const message = `Cannot fetch ${quoted(redactUrl(url))}: the transfer broke off after ${offset} of ${total} bytes`;
  return new TransferError("NETWORK", message, { temporary: true });
}
