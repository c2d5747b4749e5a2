/** Whether an app tells when it is ready (sd_notify(3)): its image says so, or the pod's manifest does. */

import { readFileSync } from "node:fs";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { goBool } from "../../src/core/go-bool.ts";
import { parseImageManifest, type RuntimeApp } from "../../src/spec/appc/mod.ts";
import { annotation, NOTIFY_ANNOTATION } from "../../src/stage1-contract/mod.ts";

export function supportsNotify(files: PodFiles, app: RuntimeApp): boolean {
  const own = annotation(app, NOTIFY_ANNOTATION);
  if (own !== undefined) return goBool(own) === true;
  const text = readFileSync(files.appImageManifest(app.name), "utf8");
  // Few images have it, and decoding a manifest takes a millisecond of every start.
  if (!text.includes(NOTIFY_ANNOTATION)) return false;
  return goBool(annotation(parseImageManifest(text), NOTIFY_ANNOTATION) ?? "") === true;
}
