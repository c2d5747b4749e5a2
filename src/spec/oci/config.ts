/**
 * Image configurations (image-spec config.md). Lenient where images in registries are (null lists, a text for a list, a number for a user, missing fields),
 * strict about the digests that decide what the root file system is.
 */

import type { NameValue } from "../appc/types.ts";
import { complaint, entries, field, items, type Place, readDocument, text } from "../document.ts";
import { readDigest, readPlatform } from "./descriptor.ts";
import type { ImageConfig, ProcessConfig } from "./types.ts";

/** Decodes a configuration. The caller limits its length and checks its digest. Throws INVALID_INPUT. */
export function parseConfig(json: string): ImageConfig {
  const place = readDocument(json, "the image configuration");
  const rootfs = field(place, "rootfs");
  const type = text(field(rootfs, "type"));
  if (type !== "" && type !== "layers") throw complaint(field(rootfs, "type"), 'expected "layers"');
  return {
    created: text(field(place, "created")) || undefined,
    author: text(field(place, "author")) || undefined,
    comment: text(field(place, "comment")) || undefined,
    platform: readPlatform(place),
    diffIds: items(field(rootfs, "diff_ids")).map(readDigest),
    process: readProcess(field(place, "config")),
  };
}

function readProcess(place: Place): ProcessConfig {
  return {
    user: numberOrText(field(place, "User")),
    exposedPorts: keys(field(place, "ExposedPorts")),
    env: words(field(place, "Env")),
    entrypoint: words(field(place, "Entrypoint")),
    cmd: words(field(place, "Cmd")),
    volumes: keys(field(place, "Volumes")),
    workingDir: text(field(place, "WorkingDir")),
    labels: entries(field(place, "Labels")).map(([name, value]): NameValue => ({ name, value: numberOrText(value) })),
    stopSignal: text(field(place, "StopSignal")) || undefined,
  };
}

/** A list of texts; old Docker wrote a single command as one text. */
function words(place: Place): string[] {
  return typeof place.value === "string" ? [text(place)] : items(place).map(text);
}

/** Go's set: an object whose values say nothing. */
function keys(place: Place): string[] {
  return entries(place).map(([key]) => text({ ...place, value: key }));
}

function numberOrText(place: Place): string {
  return typeof place.value === "number" || typeof place.value === "boolean" ? String(place.value) : text(place);
}
