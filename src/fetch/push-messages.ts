/** What the caller and the push worker say to each other. As with a fetch, the worker's answers are decoded like a file from outside: it has listened to a server. */

import type { RktError } from "../core/errors.ts";
import type { RktEvent } from "../core/events.ts";
import type { BlobRef } from "../core/spine.ts";
import { decodeCommonAnswer, type NetworkRequest } from "./messages.ts";
import type { RegistryPlace } from "./registry.ts";

/** Descriptor of the store's directory of blobs. */
export const PUSH_BLOBS_FD = 3;

export interface PushRequest extends NetworkRequest {
  /** Where to, and the one credential for that. */
  readonly place: RegistryPlace;
  /** The destination as it may be shown. */
  readonly text: string;
  /** Tag or digest to put the manifest under. */
  readonly version: string;
  readonly manifest: BlobRef;
  /** Other repositories of the same registry that are thought to have a blob (by formatted digest). */
  readonly mounts: Readonly<Record<string, string>>;
}

export type PushAnswer =
  | { readonly kind: "event"; readonly event: RktEvent }
  | { readonly kind: "failure"; readonly error: RktError }
  | { readonly kind: "pushed" };

/** Throws HOST_PROGRAM. */
export function decodePushAnswer(message: unknown): PushAnswer {
  return decodeCommonAnswer(message, "push", (kind) => (kind === "pushed" ? { kind } : undefined));
}
