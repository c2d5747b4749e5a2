/** Where signatures of an image of a registry may be besides the registry itself, and whether one has to be. Loaded with the code that fetches. */

import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { lookasideUrl } from "../config/lookaside.ts";
import type { Engine } from "../core/engine.ts";
import type { ImageReference } from "../core/spine.ts";
import { policyFile } from "../trust/oci/policy-file.ts";

export interface SignatureSearch {
  readonly lookaside: string | undefined;
  /** Nothing but a signature in the registry, or on a lookaside server, can make the image acceptable. */
  readonly signatureRequired: boolean;
}

/** Only where signatures matter: a broken registries.d must not stop somebody who asked for none. Throws INVALID_CONFIG. */
export function signatureSearch(engine: Engine, reference: ImageReference): SignatureSearch {
  if (engine.insecure.image || reference.kind !== "docker") return { lookaside: undefined, signatureRequired: false };
  const { repository, tag } = reference;
  const registry = reference.registry === "registry-1.docker.io" ? "docker.io" : reference.registry;
  const lookaside = lookasideUrl(engine.localConfigDir, registry, repository, tag);
  return { lookaside, signatureRequired: policyFile(engine) === undefined && !mayHoldSignatures(lookaside) };
}

/** A directory has the image's digest in its names, which is not known yet: it may hold some if it is there. */
function mayHoldSignatures(lookaside: string): boolean {
  return lookaside.startsWith("file:") && existsSync(dirname(fileURLToPath(lookaside)));
}
