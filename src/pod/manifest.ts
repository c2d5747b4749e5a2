/** The manifests in a pod, decoded as the specification has them. `list` needs two names of each and reads those alone (names.ts). */

import { RktError } from "../core/errors.ts";
import type { Host } from "../host/host.ts";
import { parsePodManifest } from "../spec/appc/pod-manifest.ts";
import type { PodManifest } from "../spec/appc/types.ts";
import type { Pod } from "./find.ts";
import { readPodFile } from "./read.ts";

/** The pod's manifest. Throws NOT_FOUND when it cannot be read, or INVALID_INPUT naming the field. */
export function podManifest(host: Host, pod: Pod): PodManifest {
  const file = readPodFile(host, pod, "pod");
  if (file === undefined) throw new RktError("NOT_FOUND", "error reading pod manifest: there is none");
  try {
    return parsePodManifest(file.text);
  } catch (cause) {
    throw new RktError("INVALID_INPUT", "invalid pod manifest", { cause });
  }
}
