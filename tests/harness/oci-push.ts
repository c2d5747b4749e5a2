/** Puts signatures where registries and layouts keep them: what `cosign sign` does, without cosign. */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CosignLayer } from "./sigstore.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const EMPTY = "application/vnd.oci.empty.v1+json";
export const BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
export const COSIGN_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json";

export interface Artifact {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly artifactType?: string;
}

/** Somewhere blobs and manifests can be put. */
export interface ArtifactStore {
  blob(content: Uint8Array): Promise<void> | void;
  /** `tag` undefined: by digest alone. */
  manifest(
    content: Uint8Array,
    mediaType: string,
    tag: string | undefined,
    artifactType?: string,
  ): Promise<void> | void;
}

/** A repository of a registry: `url` is "http://host/v2/NAME". */
export function repository(url: string): ArtifactStore {
  const put = async (path: string, body: Uint8Array, type: string) => {
    const reply = await fetch(path, { method: "PUT", body, headers: { "Content-Type": type } });
    if (reply.status !== 201) throw new Error(`PUT ${path}: ${reply.status} ${await reply.text()}`);
  };
  return {
    async blob(content) {
      const start = await fetch(`${url}/blobs/uploads/`, { method: "POST" });
      const location = new URL(start.headers.get("location") ?? "", url);
      location.searchParams.set("digest", digestOf(content));
      await put(location.toString(), content, "application/octet-stream");
    },
    manifest: (content, mediaType, tag) => put(`${url}/manifests/${tag ?? digestOf(content)}`, content, mediaType),
  };
}

/** An OCI layout. */
export function layoutStore(dir: string): ArtifactStore {
  const write = (content: Uint8Array) => {
    mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
    writeFileSync(join(dir, "blobs", digestOf(content).replace(":", "/")), content);
  };
  return {
    blob: write,
    manifest(content, mediaType, tag, artifactType) {
      write(content);
      const path = join(dir, "index.json");
      const index = JSON.parse(readFileSync(path, "utf8"));
      const annotations = tag === undefined ? {} : { annotations: { "org.opencontainers.image.ref.name": tag } };
      const type = artifactType === undefined ? {} : { artifactType };
      index.manifests.push({ mediaType, digest: digestOf(content), size: content.length, ...type, ...annotations });
      writeFileSync(path, JSON.stringify(index));
    },
  };
}

/** A bundle as cosign 3 attaches it: a manifest that refers to the image. */
export async function attachBundle(
  store: ArtifactStore,
  subject: { readonly digest: string; readonly size: number; readonly mediaType?: string },
  bundle: object | string,
  artifactType = BUNDLE_TYPE,
): Promise<Artifact> {
  const content = Buffer.from(typeof bundle === "string" ? bundle : JSON.stringify(bundle));
  const empty = Buffer.from("{}");
  await store.blob(content);
  await store.blob(empty);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      artifactType,
      config: { mediaType: EMPTY, digest: digestOf(empty), size: empty.length },
      layers: [{ mediaType: BUNDLE_TYPE, digest: digestOf(content), size: content.length }],
      subject: { mediaType: MANIFEST, ...subject },
    }),
  );
  await store.manifest(manifest, MANIFEST, undefined, artifactType);
  return { mediaType: MANIFEST, digest: digestOf(manifest), size: manifest.length, artifactType };
}

/** The list that stands for the referrers API where a registry has none (distribution-spec, "Referrers Tag Schema"). */
export async function tagReferrers(
  store: ArtifactStore,
  digest: string,
  referrers: readonly Artifact[],
): Promise<void> {
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: referrers }));
  await store.manifest(index, INDEX, digest.replace(":", "-"));
}

/** Signatures as cosign 2 pushes them: under the tag sha256-….sig. */
export async function tagCosign(store: ArtifactStore, digest: string, layers: readonly CosignLayer[]): Promise<void> {
  const config = Buffer.from("{}");
  await store.blob(config);
  for (const { payload } of layers) await store.blob(payload);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(config), size: config.length },
      layers: layers.map(({ payload, annotations }) => ({
        mediaType: COSIGN_TYPE,
        digest: digestOf(payload),
        size: payload.length,
        annotations,
      })),
    }),
  );
  await store.manifest(manifest, MANIFEST, `${digest.replace(":", "-")}.sig`);
}

export function digestOf(content: Uint8Array): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
