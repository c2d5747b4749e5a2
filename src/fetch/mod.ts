/**
 * fetch: from a name to bytes (step 1).
 * Takes an ImageReference, gives a Download: every byte in `cas/blob`, checked against its digest, nothing decided about trust. Next: src/trust verifies it.
 */

export { type FetchOptions, fetchImage } from "./fetch-image.ts";
export { formatImageReference, parseImageReference } from "./image-reference.ts";
