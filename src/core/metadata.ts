/** Where the metadata service and those who talk to it meet (rkt 1.x's places). */

/** Listens for registrations; root's alone. */
export const METADATA_SOCKET = "/run/rkt/metadata-svc.sock";
/** What the service knows, so that another one can go on: a file a pod, root's alone. */
export const METADATA_REGISTRATIONS = "/run/rkt/metadata";
export const METADATA_PORT = 18112;
/** The flag in a pod's directory that it registered. */
export const METADATA_FLAG = "mds-registered";
