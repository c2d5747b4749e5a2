/** Image manifests (spec/aci.md, "Image Manifest Schema"; schema/image.go). */

import { APPC_VERSION } from "../../core/version.ts";
import { complaint, field, isPresent, items, optionalInteger, type Place, readDocument, text } from "../document.ts";
import { jsonText, ordered, type Writable } from "../json-text.ts";
import { readApp, writeApp } from "./app.ts";
import { readAnnotations, readHash, readIdentifier, readLabels, readVersion, writeList, writeNamed } from "./lists.ts";
import type { Dependency, ImageManifest } from "./types.ts";

/** A manifest with only a name: a base for spreading. */
export function blankImageManifest(name: string): ImageManifest {
  return {
    acVersion: APPC_VERSION,
    name,
    labels: [],
    app: undefined,
    annotations: [],
    dependencies: [],
    pathWhitelist: [],
  };
}

/** Decodes and checks an image manifest. Throws INVALID_INPUT naming the field. The caller limits the text's length. */
export function parseImageManifest(json: string): ImageManifest {
  const place = readDocument(json, "the image manifest");
  readKind(place, "ImageManifest");
  if (text(field(place, "name")) === "") throw complaint(place, "name must be set");
  return {
    acVersion: readVersion(field(place, "acVersion")),
    name: readIdentifier(field(place, "name")),
    labels: readLabels(field(place, "labels")),
    app: readApp(field(place, "app")),
    annotations: readAnnotations(field(place, "annotations")),
    dependencies: items(field(place, "dependencies")).map(readDependency),
    pathWhitelist: items(field(place, "pathWhitelist")).map(text),
  };
}

/** The field acKind must be `kind`. */
export function readKind(place: Place, kind: "ImageManifest" | "PodManifest"): void {
  if (text(field(place, "acKind")) !== kind) throw complaint(place, `missing or bad ACKind (must be "${kind}")`);
}

function readDependency(place: Place): Dependency {
  const imageId = field(place, "imageID");
  if (text(field(place, "imageName")) === "") throw complaint(place, "imageName cannot be empty");
  return {
    imageName: readIdentifier(field(place, "imageName")),
    imageId: isPresent(imageId) ? readHash(imageId) : undefined,
    labels: readLabels(field(place, "labels")),
    size: optionalInteger(field(place, "size"), 0, Number.MAX_SAFE_INTEGER) ?? 0,
  };
}

/** JSON text as rkt 1.x writes it; `indent` "\t" for `cat-manifest`. Parsing it gives an equal manifest. */
export function formatImageManifest(manifest: ImageManifest, indent = ""): string {
  const json = ordered(
    ["acKind", "ImageManifest"],
    ["acVersion", manifest.acVersion],
    ["name", manifest.name],
    ["labels", writeNamed(manifest.labels)],
    ["app", writeApp(manifest.app)],
    ["annotations", writeNamed(manifest.annotations)],
    ["dependencies", writeList(manifest.dependencies, writeDependency)],
    ["pathWhitelist", writeList(manifest.pathWhitelist, (path) => path)],
  );
  return jsonText(json, indent);
}

function writeDependency({ imageName, imageId, labels, size }: Dependency): Writable {
  return ordered(
    ["imageName", imageName],
    ["imageID", imageId],
    ["labels", writeNamed(labels)],
    ["size", size || undefined],
  );
}
