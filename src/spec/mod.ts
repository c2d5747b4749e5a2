/**
 * spec: the formats that rkt reads and writes, as types and strict decoders without any I/O.
 * Takes texts (JSON, flags), gives typed documents or an error that names the field. Next: src/fetch reads OCI documents, src/pod and stage1 appc manifests.
 */

export * from "./appc/mod.ts";
export * from "./oci/mod.ts";
export { DOCKER_ANNOTATION, type OciImage, ociImageName, ociToAppc } from "./oci-to-appc.ts";
