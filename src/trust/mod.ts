/**
 * trust: who may have made an image (step 2).
 * Takes a Download, gives a VerifiedImage or an error; keeps the keys that are trusted. Next: src/store records the image.
 */

export { type AddKeysOptions, addKeys, findKeyLocations } from "./add-keys.ts";
export { isPrefixTrusted, type TrustDirs, type TrustedKey, trustedKeysFor } from "./keystore.ts";
export { type VerifyOptions, verifyBuiltin, verifyDownload } from "./verify-download.ts";
