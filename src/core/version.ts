/** The versions that `rkt version` prints. `RKT_VERSION` is set by the build from package.json. */

declare const BUILD_RKT_VERSION: string;

export const RKT_VERSION: string = typeof BUILD_RKT_VERSION === "string" ? BUILD_RKT_VERSION : "2.0.0-alpha.1";
export const APPC_VERSION = "0.8.11";
