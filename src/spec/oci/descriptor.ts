/** Descriptors and platforms (image-spec descriptor.md, image-index.md). */

import { type Digest, parseDigest } from "../../core/digest.ts";
import { RktError } from "../../core/errors.ts";
import { readUserMap } from "../appc/lists.ts";
import { complaint, field, isPresent, items, optionalInteger, optionalText, type Place, text } from "../document.ts";
import type { Descriptor, Platform } from "./types.ts";

/** A descriptor that must be there. */
export function readDescriptor(place: Place): Descriptor {
  if (!isPresent(place)) throw complaint(place, "expected a descriptor, got nothing");
  const size = optionalInteger(field(place, "size"), 0, Number.MAX_SAFE_INTEGER);
  if (size === undefined) throw complaint(field(place, "size"), "expected a number, got nothing");
  const platform = field(place, "platform");
  return {
    mediaType: text(field(place, "mediaType")),
    digest: readDigest(field(place, "digest")),
    size,
    urls: items(field(place, "urls")).map(text),
    annotations: readUserMap(field(place, "annotations")),
    data: optionalText(field(place, "data")),
    artifactType: optionalText(field(place, "artifactType")),
    platform: isPresent(platform) ? readPlatform(platform) : undefined,
  };
}

export function readOptionalDescriptor(place: Place): Descriptor | undefined {
  return isPresent(place) ? readDescriptor(place) : undefined;
}

/** The platform of a descriptor, or of a configuration (same three fields). */
export function readPlatform(place: Place): Platform {
  return {
    os: text(field(place, "os")),
    architecture: text(field(place, "architecture")),
    variant: text(field(place, "variant")) || undefined,
  };
}

export function readDigest(place: Place): Digest {
  try {
    return parseDigest(text(place));
  } catch (error) {
    if (error instanceof RktError && !error.message.startsWith("Cannot read")) throw complaint(place, error.message);
    throw error;
  }
}
