/** Documents of the OCI image specification 1.1, as far as rkt reads them. Missing lists are empty, missing texts undefined. */

import type { Digest } from "../../core/digest.ts";
import type { NameValue } from "../appc/types.ts";

/** Content by digest (descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly urls: readonly string[];
  readonly annotations: readonly NameValue[];
  /** The content itself in base64; to be checked against digest and size like any other copy. */
  readonly data: string | undefined;
  readonly artifactType: string | undefined;
  /** In an index only. */
  readonly platform: Platform | undefined;
}

/** Go's names: "linux", "amd64", "v8". */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

/** An image index (image-index.md) or a Docker manifest list. */
export interface Index {
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly artifactType: string | undefined;
  readonly annotations: readonly NameValue[];
  readonly subject: Descriptor | undefined;
}

/** An image manifest (manifest.md) or a Docker manifest of schema 2. */
export interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Lowest first. */
  readonly layers: readonly Descriptor[];
  readonly artifactType: string | undefined;
  readonly annotations: readonly NameValue[];
  readonly subject: Descriptor | undefined;
}

/** An image configuration (config.md; Docker's is the same with more fields). */
export interface ImageConfig {
  /** As written, checked by nobody: "2024-01-01T00:00:00Z". */
  readonly created: string | undefined;
  readonly author: string | undefined;
  readonly comment: string | undefined;
  readonly platform: Platform;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly Digest[];
  readonly process: ProcessConfig;
}

/** The field `config` of a configuration: how to run it. */
export interface ProcessConfig {
  /** "", "user", "uid", "user:group", … */
  readonly user: string;
  /** "80/tcp"; sorted. */
  readonly exposedPorts: readonly string[];
  /** "NAME=value". */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** Paths; sorted. */
  readonly volumes: readonly string[];
  readonly workingDir: string;
  /** Sorted by name. */
  readonly labels: readonly NameValue[];
  readonly stopSignal: string | undefined;
}
