/** One blob into a registry: found there, mounted from another repository, or uploaded as a stream that goes on where it broke off. */

import { closeSync } from "node:fs";
import { formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { BlobRef } from "../core/spine.ts";
import { blobSize, openBlob, readPieces } from "./cas.ts";
import type { HttpReply } from "./http.ts";
import { debug, type Job, progressReporter, retryOptions } from "./job.ts";
import { pushError } from "./push-error.ts";
import type { RegistryClient } from "./registry-client.ts";
import { TransferError, withRetries } from "./transfer-error.ts";

export interface PushTarget {
  readonly client: RegistryClient;
  readonly repository: string;
  /** The destination as it may be shown. */
  readonly text: string;
}

type Blob = Pick<BlobRef, "digest" | "size">;

/**
 * Above this a blob is sent with one PATCH, which a registry may be able to continue; below, a PUT has it all. One and not several: that is what every registry takes,
 * since Docker sends nothing else.
 */
const SMALL = 1024 * 1024;

/** `from`: another repository that may have the blob. Throws NOT_FOUND, DIGEST_MISMATCH, AUTHENTICATION, INVALID_INPUT, TransferError. */
export async function pushBlob(job: Job, target: PushTarget, blob: Blob, from: string | undefined): Promise<void> {
  const label = blob.digest.hex.slice(0, 12);
  if (await isThere(job, target, blob)) return debug(job, `blob ${label} is in the registry`);
  const session = await withRetries(retryOptions(job), () => startUpload(job, target, blob, from));
  if (session === "mounted") return debug(job, `blob ${label} was mounted from ${from}`);
  await upload(job, target, blob, session);
}

async function isThere(job: Job, { client, repository, text }: PushTarget, { digest }: Blob): Promise<boolean> {
  return withRetries(retryOptions(job), async () => {
    const path = `/v2/${repository}/blobs/${formatDigest(digest)}`;
    const reply = await client.request(path, { method: "HEAD", signal: job.signal });
    reply.discard();
    if (reply.status === 404) return false;
    if (reply.status === 200) return true;
    throw await pushError(reply, text, `blob ${formatDigest(digest)}`, client);
  });
}

/** The URL of a new upload; "mounted" when there is no need for one. */
async function startUpload(
  job: Job,
  { client, repository, text }: PushTarget,
  { digest }: Blob,
  from: string | undefined,
): Promise<URL | "mounted"> {
  const mount =
    from === undefined ? "" : `?mount=${encodeURIComponent(formatDigest(digest))}&from=${encodeURIComponent(from)}`;
  const reply = await client.request(`/v2/${repository}/blobs/uploads/${mount}`, {
    method: "POST",
    headers: { "Content-Length": "0" },
    signal: job.signal,
  });
  if (reply.status === 201 && from !== undefined) {
    reply.discard();
    return "mounted";
  }
  if (reply.status !== 202) throw await pushError(reply, text, `blob ${formatDigest(digest)}`, client);
  return uploadUrl(reply);
}

/** Sends the content to `session`, in one go where nothing breaks. */
async function upload(job: Job, target: PushTarget, blob: Blob, session: URL): Promise<void> {
  const what = `blob ${formatDigest(blob.digest)}`;
  const content = openContent(job, blob);
  let [url, sent, broken] = [session, 0, false];
  try {
    await withRetries(retryOptions(job), async (progress) => {
      if (broken) {
        const state = await continueAt(job, target, blob, url);
        if (state.sent > sent) progress();
        ({ url, sent } = state);
        debug(job, `continuing ${what} at byte ${sent}`);
      }
      broken = true;
      if (blob.size > SMALL && sent < blob.size) {
        const range = sent === 0 ? {} : { "Content-Range": `${sent}-${blob.size - 1}` };
        const reply = await send(job, target, url, "PATCH", content, sent, range);
        if (reply.status !== 202) throw await uploadError(reply, target, what, content);
        url = uploadUrl(reply);
        sent = blob.size;
      }
      const reply = await send(job, target, withDigest(url, blob), "PUT", content, sent, {});
      if (reply.status !== 201) throw await uploadError(reply, target, what, content);
      reply.discard();
    });
  } finally {
    content.close();
  }
}

function send(
  job: Job,
  { client }: PushTarget,
  url: URL,
  method: "PATCH" | "PUT",
  content: Content,
  from: number,
  headers: Record<string, string>,
): Promise<HttpReply> {
  const rest = content.size - from;
  return client.request(url, {
    method,
    headers: { "Content-Type": "application/octet-stream", "Content-Length": String(rest), ...headers },
    ...(rest === 0 ? {} : { body: () => content.from(from) }),
    signal: job.signal,
  });
}

/** How far the registry got (distribution-spec, "Pushing a blob in chunks"); where it has forgotten, a new upload begins. */
async function continueAt(job: Job, target: PushTarget, blob: Blob, url: URL): Promise<{ url: URL; sent: number }> {
  const reply = await target.client.request(url, { signal: job.signal });
  reply.discard();
  const end = /^(?:bytes=)?0-(\d{1,15})$/.exec(reply.headers.get("range") ?? "")?.[1];
  if (reply.status === 204 && end !== undefined) {
    // "0-0" is said of an empty upload as well as of one byte.
    const sent = Number(end) === 0 ? 0 : Number(end) + 1;
    if (sent > 0 && sent <= blob.size) return { url: uploadUrl(reply, url), sent };
  }
  const session = await startUpload(job, target, blob, undefined);
  return { url: session === "mounted" ? url : session, sent: 0 };
}

interface Content {
  readonly size: number;
  from(offset: number): AsyncGenerator<Uint8Array>;
  /** The bytes that went out do not have the blob's digest. */
  isDamaged(): boolean;
  close(): void;
}

function openContent(job: Job, { digest, size }: Blob): Content {
  if (blobSize(job.cas, digest) !== size)
    throw new RktError("NOT_FOUND", `Cannot push the image: blob ${formatDigest(digest)} is not in the store`, {
      hint: "fetch the image again",
    });
  const fd = openBlob(job.cas, digest);
  const report = progressReporter(job, digest.hex.slice(0, 12), "up");
  let damaged = false;
  return {
    size,
    isDamaged: () => damaged,
    close: () => closeSync(fd),
    async *from(offset) {
      const hash = new Bun.CryptoHasher(digest.algorithm);
      let done = offset;
      for (const piece of readPieces(fd, offset, size - offset)) {
        hash.update(piece);
        done += piece.length;
        report(done, size);
        // The pieces' memory is used again while the one given away may still be on its way.
        yield Uint8Array.from(piece);
      }
      if (offset === 0) damaged = hash.digest("hex") !== digest.hex;
    },
  };
}

async function uploadError(reply: HttpReply, target: PushTarget, what: string, content: Content): Promise<RktError> {
  if (!content.isDamaged()) return pushError(reply, target.text, what, target.client);
  reply.discard();
  return new RktError("DIGEST_MISMATCH", `Cannot push the image: ${what} in the store is damaged`, {
    hint: "remove the image and fetch it again",
  });
}

/** Where the registry wants to hear the rest; without a word on it, where it was asked. */
function uploadUrl(reply: HttpReply, otherwise?: URL): URL {
  reply.discard();
  const location = reply.headers.get("location");
  if (location === null && otherwise !== undefined) return otherwise;
  if (location !== null && URL.canParse(location, reply.url.href)) return new URL(location, reply.url);
  throw new TransferError("HTTP_STATUS", "Cannot push the image: the registry names no place for an upload", {
    temporary: false,
  });
}

/** Written behind what the registry put there: its own parameters are not encoded anew. */
function withDigest(url: URL, { digest }: Blob): URL {
  const separator = url.search === "" ? "?" : "&";
  return new URL(`${url.href}${separator}digest=${encodeURIComponent(formatDigest(digest))}`);
}
