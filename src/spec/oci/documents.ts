/**
 * Indexes, manifests and layouts. The caller limits a document's length (registries: 4 MiB) and checks its digest.
 *
 * A document with the fields of both an index and a manifest means one thing to one reader and another to the next, so what was scanned is not what runs
 * (CVE-2021-41190): it is refused, whatever its media type says.
 */

import { quoted } from "../../core/text.ts";
import { readUserMap } from "../appc/lists.ts";
import {
  complaint,
  field,
  isPresent,
  items,
  optionalInteger,
  optionalText,
  type Place,
  readDocument,
  text,
} from "../document.ts";
import { readDescriptor, readOptionalDescriptor } from "./descriptor.ts";
import { isIndexMediaType, isManifestMediaType, isSchema1MediaType, MEDIA_TYPE } from "./media-types.ts";
import type { Index, Manifest } from "./types.ts";

/** What a manifest-like document is: for content whose media type nobody told (a layout, an archive). */
export type DocumentKind = "index" | "manifest";

/**
 * Decodes an index or manifest list. `mediaType` is what led to it (descriptor, Content-Type): a document that names another is refused.
 * Throws INVALID_INPUT; MALICIOUS when ambiguous.
 */
export function parseIndex(json: string, mediaType?: string): Index {
  const place = readDocument(json, "the image index");
  refuseFields(place, ["config", "layers", "fsLayers", "history"], "an index");
  requireSchema2(place);
  return {
    mediaType: readMediaType(place, mediaType, isIndexMediaType, MEDIA_TYPE.ociIndex),
    manifests: items(field(place, "manifests")).map(readDescriptor),
    artifactType: optionalText(field(place, "artifactType")),
    annotations: readUserMap(field(place, "annotations")),
    subject: readOptionalDescriptor(field(place, "subject")),
  };
}

/** Decodes an image manifest; see {@link parseIndex}. Version 1 manifests of Docker are UNSUPPORTED. */
export function parseManifest(json: string, mediaType?: string): Manifest {
  const place = readDocument(json, "the image manifest");
  refuseFields(place, ["manifests"], "a manifest");
  if (optionalInteger(field(place, "schemaVersion"), 0, 1000) === 1 || isSchema1MediaType(mediaType ?? "")) {
    throw complaint(place, "it is of Docker's version 1, expected version 2 or OCI", "UNSUPPORTED");
  }
  refuseFields(place, ["fsLayers", "history"], "a manifest");
  requireSchema2(place);
  return {
    mediaType: readMediaType(place, mediaType, isManifestMediaType, MEDIA_TYPE.ociManifest),
    config: readDescriptor(field(place, "config")),
    layers: items(field(place, "layers")).map(readDescriptor),
    artifactType: optionalText(field(place, "artifactType")),
    annotations: readUserMap(field(place, "annotations")),
    subject: readOptionalDescriptor(field(place, "subject")),
  };
}

/** Tells an index from a manifest by its fields. Throws MALICIOUS when it has those of both, INVALID_INPUT when it has neither. */
export function documentKind(json: string): DocumentKind {
  const place = readDocument(json, "the image document");
  const isIndex = isPresent(field(place, "manifests"));
  const isManifest = ["config", "layers", "fsLayers"].some((name) => isPresent(field(place, name)));
  if (isIndex && isManifest) throw ambiguous(place, "manifests");
  if (!isIndex && !isManifest) throw complaint(place, "expected an image index or an image manifest");
  return isIndex ? "index" : "manifest";
}

/** Checks the file `oci-layout` (image-layout.md). Throws INVALID_INPUT or UNSUPPORTED. */
export function checkLayoutFile(json: string): void {
  const place = readDocument(json, "the file oci-layout");
  const version = text(field(place, "imageLayoutVersion"));
  if (!/^1\.\d+\.\d+$/.test(version)) {
    throw complaint(place, `imageLayoutVersion is ${quoted(version)}, expected "1.0.0"`, "UNSUPPORTED");
  }
}

function refuseFields(place: Place, names: readonly string[], what: string): void {
  for (const name of names) {
    if (isPresent(field(place, name))) throw ambiguous(place, name, what);
  }
}

function ambiguous(place: Place, name: string, what = "an index and a manifest at once") {
  return complaint(place, `it is ambiguous: the field ${quoted(name)} does not belong in ${what}`, "MALICIOUS");
}

function requireSchema2(place: Place): void {
  const version = optionalInteger(field(place, "schemaVersion"), -1000, 1000);
  if (version !== 2) throw complaint(field(place, "schemaVersion"), `expected 2, got ${version ?? "nothing"}`);
}

/** The document's own media type and the one that led to it must be one; either may be missing. */
function readMediaType(
  place: Place,
  led: string | undefined,
  isKind: (type: string) => boolean,
  fallback: string,
): string {
  const own = optionalText(field(place, "mediaType"));
  for (const type of [own, led]) {
    if (type !== undefined && !isKind(type))
      throw complaint(place, `its media type ${quoted(type)} is of something else`);
  }
  if (own !== undefined && led !== undefined && own !== led) {
    throw complaint(place, `it is ambiguous: it says ${quoted(own)}, but came as ${quoted(led)}`, "MALICIOUS");
  }
  return own ?? led ?? fallback;
}
