/** What the credentials worker answers. It runs as the person who called sudo: root takes texts from it, and gives them to the registry and nobody else. */

import { RktError } from "../core/errors.ts";
import type { RktEvent } from "../core/events.ts";
import { printable } from "../core/text.ts";
import type { RegistryCredentials } from "./config.ts";
import { record } from "./fields.ts";

export type CredentialAnswer =
  | { readonly kind: "event"; readonly event: RktEvent }
  | { readonly kind: "credentials"; readonly credentials: RegistryCredentials | undefined };

/** Tokens of today have a few thousand characters. */
const LONGEST_SECRET = 64 * 1024;

/** Throws HOST_PROGRAM. */
export function decodeCredentialAnswer(message: unknown): CredentialAnswer {
  const fields = record(message);
  if (fields?.kind === "event") return { kind: "event", event: decodeEvent(fields.event) };
  if (fields?.kind === "credentials")
    return { kind: "credentials", credentials: decodeCredentials(fields.credentials) };
  throw nonsense();
}

function decodeEvent(value: unknown): RktEvent {
  const { kind, text } = record(value) ?? {};
  if (typeof text !== "string") throw nonsense();
  if (kind === "warning") return { kind, text: printable(text, 2000) };
  if (kind === "debug") return { kind, source: "image", text: printable(text, 2000) };
  throw nonsense();
}

function decodeCredentials(value: unknown): RegistryCredentials | undefined {
  if (value === undefined || value === null) return undefined;
  const { basic, bearer, refreshToken } = record(value) ?? {};
  if (bearer !== undefined) return { bearer: secret(bearer) };
  if (refreshToken !== undefined) return { refreshToken: secret(refreshToken) };
  const { user, password } = record(basic) ?? {};
  return { basic: { user: secret(user), password: secret(password) } };
}

function secret(value: unknown): string {
  if (typeof value === "string" && value.length > 0 && value.length <= LONGEST_SECRET) return value;
  throw nonsense();
}

function nonsense(): RktError {
  return new RktError("HOST_PROGRAM", "Cannot read the answer of the credentials worker: it is not of the agreed form");
}
