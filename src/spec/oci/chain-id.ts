/** Chain ids: what a stack of layers unpacks to, as one digest (image-spec config.md, "Layer ChainID"). */

import { type Digest, formatDigest } from "../../core/digest.ts";

/** One chain id for each layer: the first is its diff id, each further one the digest of "<chain id below> <diff id>". Lowest first, as given. */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : combine(below, diffId));
  }
  return chain;
}

/** SHA-256 always, as Docker and containerd compute them: stored layers of the same content are then found whatever their diff ids are. */
function combine(below: Digest, diffId: Digest): Digest {
  const hex = new Bun.CryptoHasher("sha256").update(`${formatDigest(below)} ${formatDigest(diffId)}`).digest("hex");
  return { algorithm: "sha256", hex };
}
