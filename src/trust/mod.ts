/**
 * trust: who may have made an image (step 2).
 * Takes a Download, gives a VerifiedImage or an error; keeps the keys that are trusted. Next: src/store records the image.
 */

export { type AddKeysOptions, addKeys, findKeyLocations } from "./add-keys.ts";
export { isPrefixTrusted, type TrustedKey, trustedKeysFor } from "./keystore.ts";
export type { TrustDirs } from "./keystore-files.ts";
export { listTrust, removeIdentity, removeKey, type TrustListing } from "./list-trust.ts";
export { addIdentity } from "./oci/add-signers.ts";
export { policyFile } from "./oci/policy-file.ts";
export type { IdentityTrust } from "./oci/sigstore-keystore.ts";
export { type VerifyOptions, verifyBuiltin, verifyDownload } from "./verify-download.ts";
