/** Choosing one image of an index for a platform (image-index.md, "Platform Variants"). */

import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { isIndexMediaType, isManifestMediaType } from "./media-types.ts";
import type { Descriptor, Index, Platform } from "./types.ts";

export interface WantedPlatform {
  readonly os: string;
  readonly architecture: string;
  /** Undefined: the oldest that every such machine runs, except arm, where v7 is meant. */
  readonly variant?: string | undefined;
}

/**
 * The manifest (or nested index) for `wanted`: of the right system and architecture, the newest variant that still runs; the first of equals. An index
 * whose only image names no platform (as a layout of one image) gives that. Throws UNSUPPORTED naming what there is.
 */
export function selectPlatform(index: Index, wanted: WantedPlatform): Descriptor {
  const images = index.manifests.filter(isImage);
  let best: Descriptor | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const image of images) {
    const rank = image.platform === undefined ? -1 : variantRank(image.platform, wanted);
    if (rank >= 0 && rank < bestRank) [best, bestRank] = [image, rank];
  }
  if (best !== undefined) return best;
  const [only, second] = images.filter((image) => image.platform === undefined);
  if (only !== undefined && second === undefined) return only;
  const offered = images.flatMap((image) => (image.platform === undefined ? [] : [platformText(image.platform)]));
  throw new RktError(
    "UNSUPPORTED",
    `Cannot choose an image for ${quoted(platformText(wanted))}: the index offers ${offered.slice(0, 32).join(", ") || "no platform"}`,
  );
}

/** This machine in Go's names. */
export function hostPlatform(): WantedPlatform {
  return { os: process.platform, architecture: GO_ARCH[process.arch] ?? process.arch };
}

export function platformText({ os, architecture, variant }: WantedPlatform): string {
  return [os, architecture, variant].filter((part) => part !== undefined && part !== "").join("/");
}

const GO_ARCH: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le", loong64: "loong64" };

/** Attestations and signatures stand in indexes too: with an unknown platform, or as artifacts. */
function isImage(descriptor: Descriptor): boolean {
  if (!isManifestMediaType(descriptor.mediaType) && !isIndexMediaType(descriptor.mediaType)) return false;
  if (descriptor.artifactType !== undefined) return false;
  return descriptor.platform?.os !== "unknown" && descriptor.platform?.architecture !== "unknown";
}

/** Place in the list of variants that run on `wanted`, best first; -1 when it does not run there. */
function variantRank(offered: Platform, wanted: WantedPlatform): number {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return -1;
  const base = BASE_VARIANT[wanted.architecture] ?? "";
  const level = variantLevel(wanted.variant || (wanted.architecture === "arm" ? "v7" : base));
  const offeredLevel = variantLevel(offered.variant ?? (wanted.architecture === "arm" ? "v7" : base));
  if (level === undefined || offeredLevel === undefined) return offered.variant === wanted.variant ? 0 : -1;
  return offeredLevel <= level ? level - offeredLevel : -1;
}

/** What no variant means. */
const BASE_VARIANT: Readonly<Record<string, string>> = { amd64: "v1", arm64: "v8" };

/** "v8.2" → 8.2; undefined for a variant that is not a level. */
function variantLevel(variant: string): number | undefined {
  const level = /^v(\d{1,3}(?:\.\d{1,3})?)$/.exec(variant)?.[1];
  return level === undefined ? undefined : Number(level);
}
