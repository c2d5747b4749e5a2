/** Where an OCI image comes from: a registry, a layout or a `docker save` archive, in one form. */

import type { Labels } from "../core/spine.ts";
import type { Descriptor } from "../spec/oci/mod.ts";
import type { BlobContent } from "./blob-transfer.ts";
import type { Job } from "./job.ts";

/** A manifest, index or configuration as it came; nothing is checked yet. */
export interface RootDocument {
  readonly bytes: Buffer;
  readonly mediaType: string | undefined;
  /** The digest that was asked for, or that the source claims. */
  readonly expected: Descriptor["digest"] | undefined;
}

export interface ImageSource {
  /** What the reference names: a manifest or an index. */
  root(job: Job): Promise<RootDocument>;
  /** A manifest, index or configuration that a checked document names. At most {@link LARGEST_DOCUMENT} bytes. */
  document(job: Job, descriptor: Descriptor): Promise<Buffer>;
  layer(descriptor: Descriptor): BlobContent;
  /** The image's name before it is made an App Container name, and the label `version`. */
  readonly name: string;
  readonly version: string | undefined;
  close(): void;
}

/** Labels of the conversion to appc: version, os, arch. */
export function ociLabels(version: string | undefined, osArch: { os: string; arch: string } | undefined): Labels {
  const labels = version === undefined || version === "" ? [] : [{ name: "version", value: version }];
  return osArch === undefined
    ? labels
    : [...labels, { name: "os", value: osArch.os }, { name: "arch", value: osArch.arch }];
}
