/** Media types of the OCI image specification 1.1 (media-types.md) and of Docker's image manifest version 2, schema 2. */

export const MEDIA_TYPE = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociEmpty: "application/vnd.oci.empty.v1+json",
  dockerManifestList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
} as const;

/** What an `Accept` header asks of a registry, best first. */
export const MANIFEST_MEDIA_TYPES: readonly string[] = [
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerManifestList,
  MEDIA_TYPE.dockerManifest,
];

/** Version 1 manifests, which registries no longer serve and rkt no longer reads: their layers carry no digests of what they unpack to. */
const DOCKER_SCHEMA_1: readonly string[] = [
  "application/vnd.docker.distribution.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

export type Compression = "none" | "gzip" | "zstd";

const LAYERS: Readonly<Record<string, Compression>> = {
  "application/vnd.oci.image.layer.v1.tar": "none",
  "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
  "application/vnd.docker.image.rootfs.diff.tar": "none",
  "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
  "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
};

/** Layers that a registry need not hold: fetched from the descriptor's `urls`. */
const FOREIGN_LAYERS: Readonly<Record<string, Compression>> = {
  "application/vnd.oci.image.layer.nondistributable.v1.tar": "none",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
  "application/vnd.docker.image.rootfs.foreign.diff.tar": "none",
  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "gzip",
};

export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerManifestList;
}

export function isManifestMediaType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociManifest || mediaType === MEDIA_TYPE.dockerManifest;
}

export function isSchema1MediaType(mediaType: string): boolean {
  return DOCKER_SCHEMA_1.includes(mediaType);
}

/** The configuration of an image that can run (an artifact's is of another type). */
export function isConfigMediaType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociConfig || mediaType === MEDIA_TYPE.dockerConfig;
}

export function isLayerMediaType(mediaType: string): boolean {
  return layerCompression(mediaType) !== undefined;
}

export function isForeignLayerMediaType(mediaType: string): boolean {
  return Object.hasOwn(FOREIGN_LAYERS, mediaType);
}

/** How a layer of this type is compressed; undefined when it is not a file system layer. */
export function layerCompression(mediaType: string): Compression | undefined {
  if (Object.hasOwn(LAYERS, mediaType)) return LAYERS[mediaType];
  return Object.hasOwn(FOREIGN_LAYERS, mediaType) ? FOREIGN_LAYERS[mediaType] : undefined;
}
