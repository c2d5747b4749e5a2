/** Where an OCI image comes from: a registry, a layout or a `docker save` archive, in one form. */

import type { Digest } from "../core/digest.ts";
import type { OciSource } from "../core/spine.ts";
import type { Descriptor } from "../spec/oci/mod.ts";
import type { BlobContent } from "./blob-transfer.ts";
import type { Job } from "./job.ts";
import type { SignatureCollector } from "./signature-collector.ts";

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
  /** Adds what this source keeps of signatures over `subjects`. Absent: it keeps none. */
  signatures?(job: Job, subjects: readonly Digest[], collector: SignatureCollector): Promise<void>;
  /** What the conversion to the appc vocabulary makes a name of. */
  readonly origin: OciSource;
  close(): void;
}
