/** What a registry says when it refuses a push (distribution-spec, "Error Codes"), as an error. */

import type { RktError } from "../core/errors.ts";
import { printable, quoted } from "../core/text.ts";
import { type HttpReply, readAll } from "./http.ts";
import { waitTime } from "./rate-limit.ts";
import type { RegistryClient } from "./registry-client.ts";
import { TransferError } from "./transfer-error.ts";

const LONGEST_BODY = 64 * 1024;

/** `text`: the destination; `what`: the manifest or a blob. Reads the reply's body. */
export async function pushError(
  reply: HttpReply,
  text: string,
  what: string,
  client: RegistryClient,
): Promise<RktError> {
  const said = await errorIn(reply);
  if (reply.status === 403 || reply.status === 401) return client.refused();
  const { retryAfter, words } = waitTime(reply.status, reply.headers, Date.now());
  const reason = [said, words].filter((part) => part !== "").join("; ");
  return new TransferError(
    "HTTP_STATUS",
    `Cannot push to ${quoted(text)}: the registry answered with status ${reply.status} for ${what}${reason === "" ? "" : ` (${reason})`}`,
    { status: reply.status, temporary: [408, 416, 425, 429, 500, 502, 503, 504].includes(reply.status), retryAfter },
  );
}

/** {"errors": [{"code": "DIGEST_INVALID", "message": "…"}]} → "DIGEST_INVALID: …"; "" for anything else. */
async function errorIn(reply: HttpReply): Promise<string> {
  try {
    const body: unknown = JSON.parse((await readAll(reply, LONGEST_BODY)).toString("utf8"));
    const errors: unknown = typeof body === "object" && body !== null && "errors" in body ? body.errors : undefined;
    const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
    if (typeof first !== "object" || first === null) return "";
    const words = ["code" in first ? first.code : "", "message" in first ? first.message : ""];
    return printable(words.filter((word) => typeof word === "string" && word !== "").join(": "), 200);
  } catch {
    return "";
  }
}
