/**
 * oci: the OCI image specification 1.1, and Docker's schema 2.
 * Takes JSON texts (the caller limited their length and checked their digest), gives typed documents. Next: src/fetch follows them, src/render unpacks the layers.
 */

export { chainIds } from "./chain-id.ts";
export { parseConfig } from "./config.ts";
export { checkLayoutFile, type DocumentKind, documentKind, parseIndex, parseManifest } from "./documents.ts";
export * from "./media-types.ts";
export { hostPlatform, platformText, selectPlatform, type WantedPlatform } from "./platform.ts";
export type * from "./types.ts";
