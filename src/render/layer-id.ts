/** Names of layers and trees: what is in them decides what they are called, so equal content is shared and is never taken for another. */

import { type Digest, formatDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { StoredImage } from "../core/spine.ts";

/** What rendering needs of a stored image. */
export type RenderableImage = Pick<StoredImage, "id" | "format" | "layers">;

/** overlayfs takes no more lower directories (fs/overlayfs, OVL_MAX_STACK). */
export const MOST_LAYERS = 500;

/**
 * The layer ids of an image, lowest first. OCI: the chain id of the layer and all below it, since a layer is unpacked in sight of those (image-spec config.md,
 * "Layer ChainID"). appc: the image id. Throws UNSUPPORTED beyond {@link MOST_LAYERS}, INVALID_INPUT without a diff id.
 */
export function layerIds(image: RenderableImage): string[] {
  if (image.layers.length > MOST_LAYERS) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot render image ${image.id}: it has ${image.layers.length} layers, expected at most ${MOST_LAYERS}`,
    );
  }
  if (image.format === "aci") return [image.id];
  const ids: string[] = [];
  let chain: Digest | undefined;
  for (const { diffId } of image.layers) {
    if (diffId === undefined)
      throw new RktError("INVALID_INPUT", `Cannot render image ${image.id}: a layer has no diff id`);
    chain = chain === undefined ? diffId : chained(chain, diffId);
    ids.push(`${chain.algorithm}-${chain.hex}`);
  }
  return ids;
}

function chained(chain: Digest, diffId: Digest): Digest {
  const text = `${formatDigest(chain)} ${formatDigest(diffId)}`;
  return { algorithm: "sha256", hex: new Bun.CryptoHasher("sha256").update(text).digest("hex") };
}

const LAYER_ID = /^(sha256-[0-9a-f]{64}|sha512-([0-9a-f]{64}|[0-9a-f]{128}))$/;

/** Guards the names that are read back from records: a path is built from them. */
export function isLayerId(text: unknown): text is string {
  return typeof text === "string" && LAYER_ID.test(text);
}

/** The tree's id, as rkt 1.x made it: of the comma-joined layers, topmost first. */
export function treeIdOf(layers: readonly string[]): string {
  return `deps-sha512-${new Bun.CryptoHasher("sha512").update(layers.join(",")).digest("hex").slice(0, 64)}`;
}

const TREE_ID = /^deps-sha512-[0-9a-f]{64}$/;

export function isTreeId(text: unknown): text is string {
  return typeof text === "string" && TREE_ID.test(text);
}

/** The layer's name in `cas/l`: 130 bits of its id's hash in 26 characters, so that 100 layers fit into one page of mount options. */
export function layerLink(layerId: string): string {
  const hash = new Bun.CryptoHasher("sha256").update(layerId).digest();
  let bits = 0n;
  for (const byte of hash.subarray(0, 17)) bits = (bits << 8n) | BigInt(byte);
  bits >>= 6n;
  let name = "";
  for (let index = 0; index < 26; index += 1) {
    name = `${BASE32[Number(bits & 31n)]}${name}`;
    bits >>= 5n;
  }
  return name;
}

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
