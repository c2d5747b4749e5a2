/** Images of the store as messages of the API. */

import type { Engine } from "../core/engine.ts";
import type { StoredImage } from "../core/spine.ts";
import { renderedSize } from "../render/mod.ts";
import { imageManifestText, listImages } from "../store/mod.ts";
import { any, hasAll, pairs } from "./pods.ts";
import type { Message } from "./protobuf.ts";
import { ImageType } from "./v1alpha.ts";

export interface ImageFilter {
  readonly ids: readonly string[];
  readonly prefixes: readonly string[];
  readonly base_names: readonly string[];
  readonly keywords: readonly string[];
  readonly labels: readonly { readonly Key: string; readonly value: string }[];
  readonly imported_after: number;
  readonly imported_before: number;
  readonly annotations: readonly { readonly Key: string; readonly value: string }[];
  readonly full_names: readonly string[];
}

const SECOND = 1_000_000_000n;

export function imageMessages(engine: Engine, filters: readonly ImageFilter[], detail: boolean): Message[] {
  return listImages(engine.dataDir)
    .map((image) => imageMessage(engine, image))
    .filter((image) => filters.length === 0 || filters.some((filter) => passes(image, filter)))
    .map((image) => (detail ? image : { ...image, manifest: new Uint8Array() }));
}

/** The one image with this id; undefined when there is none. */
export function imageById(engine: Engine, id: string): Message | undefined {
  const image = listImages(engine.dataDir).find((one) => one.id === id);
  return image === undefined ? undefined : imageMessage(engine, image);
}

/** Annotations also without detail: the kubelet takes the name of a converted image from them. */
function imageMessage(engine: Engine, image: StoredImage): Message {
  const manifest = manifestOf(engine, image);
  return {
    base_format: { type: formatOf(image), version: "0.8.11" },
    id: image.id,
    name: image.name,
    version: image.labels.find(({ name }) => name === "version")?.value ?? "latest",
    import_timestamp: image.importTime / SECOND,
    manifest: Buffer.from(manifest?.text ?? ""),
    size: image.size + renderedSize(engine.dataDir, image),
    annotations: pairs(manifest?.annotations ?? []),
    labels: pairs(image.labels),
  };
}

function formatOf(image: StoredImage): number {
  if (image.format === "aci") return ImageType.IMAGE_TYPE_APPC;
  return image.source?.registry === undefined ? ImageType.IMAGE_TYPE_OCI : ImageType.IMAGE_TYPE_DOCKER;
}

/** An image whose manifest cannot be read is listed without it. */
function manifestOf(
  engine: Engine,
  image: StoredImage,
): { text: string; annotations: { name: string; value: string }[] } | undefined {
  try {
    const text = imageManifestText(engine.dataDir, image);
    const { annotations } = JSON.parse(text) as { annotations?: { name: string; value: string }[] | null };
    return { text, annotations: annotations ?? [] };
  } catch {
    return undefined;
  }
}

function passes(image: Message, filter: ImageFilter): boolean {
  const name = String(image["name"]);
  const full = `${name}:${String(image["version"])}`;
  const imported = Number(image["import_timestamp"]);
  return (
    any(filter.ids, (id) => id === image["id"]) &&
    any(filter.prefixes, (prefix) => name.startsWith(prefix)) &&
    any(filter.base_names, (base) => name.slice(name.lastIndexOf("/") + 1) === base) &&
    any(filter.keywords, (keyword) => name.includes(keyword)) &&
    any(filter.full_names, (one) => one === name || one === full) &&
    hasAll(image["labels"] as Message[], filter.labels) &&
    hasAll(image["annotations"] as Message[], filter.annotations) &&
    (filter.imported_after === 0 || imported > filter.imported_after) &&
    (filter.imported_before === 0 || imported < filter.imported_before)
  );
}
