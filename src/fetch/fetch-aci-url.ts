/** An App Container image behind a URL: the archive and the signature beside it. */

import { createHash } from "node:crypto";
import { RktError } from "../core/errors.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import { type Archive, aciCheck, storeArchive, storedArchive } from "./aci-archive.ts";
import { type AciRecord, readAciRecord, writeAciRecord } from "./aci-record.ts";
import {
  blobSize,
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
import { type HttpReply, httpGet, readAll, statusError } from "./http.ts";
import { debug, type Job, progressReporter, retryOptions } from "./job.ts";
import { LARGEST_SIGNATURE } from "./messages.ts";
import { TransferError, withRetries } from "./transfer-error.ts";

/** A server that states no length could fill the disk. */
const LARGEST_ACI = 64 * 1024 ** 3;

/** A place to get a signature from; the headers are for its origin alone. */
export interface SignatureUrl {
  readonly url: URL;
  readonly secretHeaders: Readonly<Record<string, string>>;
}

export interface AciUrl {
  readonly url: URL;
  /** Headers with credentials, for this URL's origin alone. */
  readonly secretHeaders: Readonly<Record<string, string>>;
  /** Where the signature is; undefined: none is wanted. */
  readonly signature: SignatureUrl | undefined;
}

/**
 * Downloads the archive and its signature; the signature first, so that an image without one costs no download. What the server says is unchanged since an
 * earlier fetch is taken from the store. Throws TransferError, NOT_TRUSTED (no signature), INVALID_INPUT.
 */
export async function fetchAciUrl(
  job: Job,
  image: AciUrl,
): Promise<{ archive: Archive; signature: Buffer | undefined }> {
  job.emit({ kind: "debug", source: "image", text: `remote fetching from URL ${quoted(redactUrl(image.url))}` });
  const early = image.signature === undefined ? undefined : await fetchSignature(job, image.signature);
  const archive = await downloadArchive(job, image);
  if (early !== "deferred" || image.signature === undefined) {
    return { archive, signature: early === "deferred" ? undefined : early };
  }
  const late = await fetchSignature(job, image.signature);
  if (late === "deferred") throw signatureError("the server deferred it again");
  return { archive, signature: late };
}

/** The signature's bytes; "deferred" when the server makes it while the image is downloaded (status 202). Throws NOT_TRUSTED when there is none. */
export async function fetchSignature(job: Job, signature: SignatureUrl): Promise<Buffer | "deferred"> {
  try {
    return await withRetries(retryOptions(job, 3), async () => {
      const reply = await httpGet(job.http, { ...signature, signal: job.signal });
      if (reply.status === 202) {
        reply.discard();
        job.emit({ kind: "notice", source: "image", text: "server requested deferring the signature download" });
        return "deferred";
      }
      if (reply.status !== 200) throw statusError(reply, quoted(redactUrl(signature.url)));
      const bytes = await readAll(reply, LARGEST_SIGNATURE);
      job.emit({ kind: "progress", label: "signature", done: bytes.length, total: bytes.length });
      return bytes;
    });
  } catch (error) {
    // Only an answer tells that there is no signature; a broken line is no reason to talk of trust.
    if (!(error instanceof TransferError) || error.status === undefined || error.temporary) throw error;
    throw signatureError(error.message);
  }
}

function signatureError(why: string): RktError {
  return new RktError("NOT_TRUSTED", `error downloading the signature file: ${why}`, {
    hint: "--insecure-options=image runs unsigned images",
  });
}

async function downloadArchive(job: Job, image: AciUrl): Promise<Archive> {
  const key = createHash("sha256").update(image.url.toString()).digest("hex");
  const began = Date.now();
  const usable = () => {
    const record = readAciRecord(job.cas, key);
    return record !== undefined && blobSize(job.cas, record.digest) === record.size ? record : undefined;
  };
  const part = await lockPart(job.cas, `aci-${key}.part`, {
    // Another process that fetched the same URL while this one waited did its work too.
    isDone: () => (usable()?.checked ?? 0) >= began,
    onWait: () =>
      job.emit({ kind: "notice", source: "image", text: "another rkt instance is downloading this file, waiting..." }),
    signal: job.signal,
  });
  const record = usable();
  if (part === undefined) return record === undefined ? downloadArchive(job, image) : storedArchive(job, record.digest);
  try {
    if (record !== undefined) {
      const stored = await revalidate(job, image, key, record);
      if (stored !== undefined) {
        discardPart(part);
        return stored;
      }
    }
    return await fillFromUrl(job, image, key, part);
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
  else discardPart(part);
}

/** The archive of an earlier fetch, when it is still what the URL names. */
async function revalidate(job: Job, image: AciUrl, key: string, record: AciRecord): Promise<Archive | undefined> {
  const where = redactUrl(image.url);
  if (Date.now() < record.checked + record.maxAge * 1000) {
    debug(job, `image for ${where} isn't expired, not fetching.`);
    return tryStored(job, record);
  }
  if (record.etag === "") return undefined;
  const reply = await httpGet(job.http, {
    url: image.url,
    headers: { "If-None-Match": record.etag },
    secretHeaders: image.secretHeaders,
    signal: job.signal,
  });
  reply.discard();
  if (reply.status !== 304) return undefined;
  writeAciRecord(job.cas, key, { ...record, checked: Date.now(), maxAge: maxAge(reply.headers) });
  debug(job, `image for ${where} has not changed, not fetching.`);
  return tryStored(job, record);
}

/** Undefined when the blob turns out to be damaged: then it is downloaded again. */
async function tryStored(job: Job, record: AciRecord): Promise<Archive | undefined> {
  try {
    return await storedArchive(job, record.digest);
  } catch (error) {
    if (error instanceof RktError && error.code === "DIGEST_MISMATCH") return undefined;
    throw error;
  }
}

async function fillFromUrl(job: Job, image: AciUrl, key: string, part: PartFile): Promise<Archive> {
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
    await storeArchive(job, part, archive);
    const { digest, size } = archive.archive;
    const etag = (headers.get("etag") ?? "").slice(0, 1024);
    writeAciRecord(job.cas, key, { digest, size, etag, maxAge: maxAge(headers), checked: Date.now() });
    return archive;
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
  const start = /^bytes (\d+)-/.exec(reply.headers.get("content-range") ?? "")?.[1];
  if (reply.status === 416 || (reply.status === 206 && Number(start) !== offset)) {
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

/** What identifies the file that the part is the beginning of: kept on the part itself. Weak validators do not allow continuing. */
const VALIDATOR = "user.rkt.validator";

function readValidator(part: PartFile): string | undefined {
  try {
    return linux.lgetxattr(part.path, VALIDATOR).toString("latin1") || undefined;
  } catch {
    return undefined;
  }
}

function writeValidator(part: PartFile, headers: Headers): void {
  const etag = headers.get("etag");
  const validator = etag !== null && !etag.startsWith("W/") ? etag : (headers.get("last-modified") ?? "");
  try {
    linux.lsetxattr(part.path, VALIDATOR, Buffer.from(validator.slice(0, 1024), "latin1"));
  } catch {
    // No attributes on this file system: an interrupted download starts again.
  }
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
