/** The detached signature of an App Container image from a server. */

import { RktError } from "../core/errors.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { httpGet, readAll, statusError } from "./http.ts";
import { type Job, retryOptions } from "./job.ts";
import { LARGEST_SIGNATURE } from "./messages.ts";
import { TransferError, withRetries } from "./transfer-error.ts";

/** A place to get a signature from; the headers are for its origin alone. */
export interface SignatureUrl {
  readonly url: URL;
  readonly secretHeaders: Readonly<Record<string, string>>;
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

/** The signature that a server deferred once, after the image was downloaded. Throws NOT_TRUSTED. */
export async function lateSignature(job: Job, signature: SignatureUrl): Promise<Buffer> {
  const late = await fetchSignature(job, signature);
  if (late === "deferred") throw signatureError("the server deferred it again");
  return late;
}

function signatureError(why: string): RktError {
  return new RktError("NOT_TRUSTED", `error downloading the signature file: ${why}`, {
    hint: "--insecure-options=image runs unsigned images",
  });
}
