/** Whether an app tells when it is ready (sd_notify(3)): its image says so, or the pod's manifest does. */

import { readFileSync } from "node:fs";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { parseImageManifest, type RuntimeApp } from "../../src/spec/appc/mod.ts";
import { annotation, NOTIFY_ANNOTATION } from "../../src/stage1-contract/mod.ts";

export function supportsNotify(files: PodFiles, app: RuntimeApp): boolean {
  const own = annotation(app, NOTIFY_ANNOTATION);
  if (own !== undefined) return own === "true";
  const text = readFileSync(files.appImageManifest(app.name), "utf8");
  // Few images have it, and decoding a manifest takes a millisecond of every start.
  return text.includes(NOTIFY_ANNOTATION) && annotation(parseImageManifest(text), NOTIFY_ANNOTATION) === "true";
}
