/**
 * The spine: one image's way from a name to an exit status is a chain of types; each step takes the one before and returns the next. Search for a
 * type's name and you land at the next step. ARCHITECTURE.md shows the same as a table.
 *
 *   ImageReference → Download → VerifiedImage → StoredImage → RenderedTree → PreparedPod → RunningPod → ExitedPod
 */

import type { Digest, ImageId } from "./digest.ts";
import type { PodUuid } from "./uuid.ts";

/** Labels in the order given; names are appc identifiers. */
export type Labels = readonly { readonly name: string; readonly value: string }[];

/** What the user named (step 1 takes it). Made by `parseImageReference` in src/fetch. */
export type ImageReference =
  /** `sha512-…` (or a prefix), or `sha256:…`: an image in the store. */
  | { readonly kind: "hash"; readonly text: string }
  /** An App Container image by name: found in the store, or by discovery. */
  | { readonly kind: "appc"; readonly name: string; readonly labels: Labels }
  /** An `.aci` on disk; absolute path. */
  | { readonly kind: "aci-file"; readonly path: string }
  /** An `.aci` behind http or https. */
  | { readonly kind: "aci-url"; readonly url: string }
  /** An image in a v2 registry. `registry` has the form host[:port]; exactly one of tag and digest decides what is fetched (digest wins). */
  | {
      readonly kind: "docker";
      readonly registry: string;
      readonly repository: string;
      readonly tag: string | undefined;
      readonly digest: Digest | undefined;
      /** As the user wrote it, for messages and records. */
      readonly text: string;
    }
  /** An OCI image layout: a directory, or a tar file of one; and a `docker save` file. Absolute path. */
  | {
      readonly kind: "oci-layout" | "oci-archive" | "docker-archive";
      readonly path: string;
      readonly name: string | undefined;
    };

/** Content in `cas/blob`, as it came. */
export interface BlobRef {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly mediaType: string;
}

/** An OCI layer: the blob, and the digest of its uncompressed tar (image-spec config.md, "rootfs.diff_ids"). */
export interface LayerRef extends BlobRef {
  readonly diffId: Digest;
}

/** Step 1's result: every byte of the image lies in `cas/blob` under its digest; nothing was decided about trust. */
export type Download = AciDownload | OciDownload;

export interface AciDownload {
  readonly format: "aci";
  readonly id: ImageId;
  /** The archive as it came (compressed or not), under its own SHA-512. */
  readonly archive: BlobRef;
  /** Size of the uncompressed tar, bytes. */
  readonly uncompressedSize: number;
  /** The detached OpenPGP signature as it came, if there was one. */
  readonly signature: Uint8Array | undefined;
  /** Bytes of the image manifest found in the archive. */
  readonly manifest: Uint8Array;
  /** Name and labels that the manifest claims. Only a signature over the archive makes them true. */
  readonly name: string;
  readonly labels: Labels;
  /** The reference it was fetched by, as text ("https://…", "example.com/app:v1"). */
  readonly origin: string;
}

/** Where an OCI image came from, as its conversion to the appc vocabulary needs it (`OciImage` in src/spec/oci-to-appc.ts). */
export interface OciSource {
  /** host[:port]; undefined for a layout or archive. */
  readonly registry: string | undefined;
  readonly repository: string | undefined;
  /** Tag or digest; "" when there is none. */
  readonly reference: string;
}

export interface OciDownload {
  readonly format: "oci";
  readonly id: ImageId;
  readonly manifest: BlobRef;
  readonly config: BlobRef;
  readonly layers: readonly LayerRef[];
  /** Without it, derived from the name: registries with a port and names in capitals are then shown changed. */
  readonly source?: OciSource;
  /** The appc name that rkt's conversion gives it ("registry-1.docker.io/library/busybox"), and its labels (version, os, arch). */
  readonly name: string;
  readonly labels: Labels;
  readonly origin: string;
  /** What was found of signatures; undefined when none were looked for. */
  readonly signatures?: SignatureSet;
}

/** Everything found that may be a signature over an OCI image. Nothing in it is checked. */
export interface SignatureSet {
  readonly documents: readonly SignatureDocument[];
  /** The indexes that led to the image's manifest, as they came: a signature over one of them covers what it lists. */
  readonly indexes: readonly Uint8Array[];
  /** The places that were looked at, in words. */
  readonly searched: readonly string[];
}

export type SignatureDocument =
  /** A Sigstore bundle (JSON, sigstore/protobuf-specs). */
  | { readonly kind: "bundle"; readonly content: Uint8Array }
  /** A layer of a cosign `.sig` manifest: what was signed, and the annotations of the layer as they came (undefined: absent). */
  | {
      readonly kind: "cosign";
      readonly content: Uint8Array;
      readonly signature: string;
      readonly certificate: string | undefined;
      /** Certificates that vouch for `certificate`, its issuer first. */
      readonly chain: string | undefined;
      readonly logEntry: string | undefined;
      readonly timestamp: string | undefined;
    }
  /** An OpenPGP signed message (containers-signature(5)). */
  | { readonly kind: "simple"; readonly content: Uint8Array };

/** How an image came to be trusted. */
export type Verification =
  /** Signed by an OpenPGP key that is trusted for the image's name: full 40-digit fingerprint of the primary key. */
  | ({ readonly kind: "openpgp"; readonly fingerprint: string } & SignedAs)
  /** Signed by a bare public key, as cosign makes them: SHA-256 of its SubjectPublicKeyInfo, 64 digits. */
  | ({ readonly kind: "sigstore-key"; readonly fingerprint: string } & SignedAs)
  /** Signed with a certificate of an identity: the certificate's subject, and who vouched for it. */
  | ({ readonly kind: "sigstore-identity"; readonly identity: string; readonly issuer: string } & SignedAs)
  /** A policy.json that the operator put in force accepts anything of this name. */
  | ({ readonly kind: "policy" } & SignedAs)
  /** Part of this installation (stage1 images beside the binary or in the stage1 images directory). */
  | { readonly kind: "builtin" }
  /** The operator said `--insecure-options=image`. */
  | { readonly kind: "insecure" };

/** What a verdict on an OCI image says besides the signer. Absent for App Container images: their name is part of what was signed. */
export interface SignedAs {
  /** The prefix the signer is trusted for ("" for all), or the policy.json that asked for the signature. */
  readonly trustedBy?: string;
  /** True when the image's name is only a claim (of a layout, or of an unprivileged fetch): it does not find the image again. */
  readonly nameClaimed?: true;
}

/** Step 2's result: a download and the verdict. An untrusted one is an error, never a value. */
export interface VerifiedImage {
  readonly download: Download;
  readonly verification: Verification;
}

/** Step 3's result: an image with a record in the store. */
export interface StoredImage {
  readonly id: ImageId;
  readonly format: "aci" | "oci";
  readonly name: string;
  readonly labels: Labels;
  /** The archive (aci: one) or the layers (oci: lowest first). */
  readonly layers: readonly (BlobRef & { readonly diffId: Digest | undefined })[];
  /** OCI only. */
  readonly manifest: BlobRef | undefined;
  readonly config: BlobRef | undefined;
  readonly source: OciSource | undefined;
  readonly origin: string;
  /** Nanoseconds since the epoch. */
  readonly importTime: bigint;
  readonly lastUsed: bigint;
  /** Bytes of the blobs. */
  readonly size: number;
  /** What root recorded; undefined when only an unprivileged fetch has seen the image. */
  readonly verification: Verification | undefined;
}

/** Step 4's result: what an overlay (or a copy) is made of. Nothing after this step asks what kind of image it was. */
export interface RenderedTree {
  readonly image: ImageId;
  /** `deps-sha512-<64 hex>`: names the ordered list of layers. */
  readonly treeId: string;
  /** Lower directories as layer ids, topmost first (the order of overlayfs' `lowerdir`). Paths by DataDir.layerRootfs, short names by `layerLink`. */
  readonly layers: readonly RenderedLayer[];
  /** The image's manifest in the appc vocabulary (JSON text; OCI images converted). */
  readonly manifest: string;
}

export interface RenderedLayer {
  readonly layerId: string;
  /** File name in `cas/l`. */
  readonly link: string;
}

/** Step 5's result: a pod directory under pods/prepared, or, within `rkt run`, still locked by this process. */
export interface PreparedPod {
  readonly uuid: PodUuid;
  /** The pod's directory at this moment. */
  readonly dir: string;
  /** The flock on the directory; inherited by the supervisor. */
  readonly lockFd: number;
}

/** Step 6's result is another process: rkt has become the pod's supervisor. What a later command sees of it: */
export interface RunningPod {
  readonly uuid: PodUuid;
  readonly dir: string;
  /** The pod's first process (the app for fly, the pod's init for nspawn), -1 while unknown. */
  readonly pid: number;
}

/** Step 8: the lock is free and the cgroup is empty. */
export interface ExitedPod {
  readonly uuid: PodUuid;
  readonly dir: string;
  /** Exit status of each app that left one, by name; 128+N for a death by signal N. */
  readonly statuses: ReadonlyMap<string, number>;
}
