/** An image with a signature in a real registry, and a key to trust: what a run needs that goes through every phase. */

import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildBusyboxOci, type Files } from "./images.ts";
import { attachBundle, repository, tagReferrers } from "./oci-push.ts";
import { startRegistry, type TestRegistry } from "./registry.ts";
import type { TestRkt } from "./rkt.ts";
import { makeSigstore, publicPem } from "./sigstore.ts";

export interface SignedImage {
  readonly registry: TestRegistry;
  /** Bytes of its layers as they are transferred. */
  readonly size: number;
  /** "docker://HOST/team/app:1.0", for a registry that answers at `host` too (a proxy in front of it). */
  reference(host?: string): string;
  /** Words before a command: the registry speaks http. */
  readonly flags: readonly string[];
  /** Makes `rkt` trust the signer for the name at `host`. */
  trustedBy(rkt: TestRkt, host?: string): void;
  [Symbol.dispose](): void;
}

/** `layers`: files besides busybox. `dir` must exist. */
export async function signedImage(dir: string, layers: readonly Files[]): Promise<SignedImage> {
  const registry = await startRegistry();
  const sigstore = makeSigstore();
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const layout = join(dir, "signed-layout");
  mkdirSync(layout);
  const built = buildBusyboxOci(layout, { cmd: ["/bin/echo", "it ran"], layers: [...layers] });
  registry.push(layout, "latest", "team/app:1.0");
  const store = repository(`${registry.url}/v2/team/app`);
  const digest = built.manifestDigest;
  const size = statSync(join(layout, "blobs", digest.replace(":", "/"))).size;
  // A bundle names no image: it counts whatever the registry is called.
  const bundle = await attachBundle(store, { digest, size }, sigstore.bundle(digest, key));
  await tagReferrers(store, digest, [bundle]);
  const keyFile = join(dir, "signer.pub");
  writeFileSync(keyFile, publicPem(key));
  return {
    registry,
    size: built.layers.reduce((sum, layer) => sum + layer.size, 0),
    reference: (host = registry.host) => `docker://${host}/team/app:1.0`,
    flags: ["--insecure-options=http"],
    trustedBy(rkt, host = registry.host) {
      rkt.ok(["trust", "--skip-fingerprint-review", `--prefix=${host}/team`, keyFile]);
    },
    [Symbol.dispose]: () => registry.stop(),
  };
}
