/** AC_METADATA_URL: where the pod's apps ask the metadata service about themselves. */

import { RktError } from "../../src/core/errors.ts";
import { METADATA_PORT } from "../../src/core/metadata.ts";
import type { NetworkResult } from "../../src/network/mod.ts";

export const METADATA_VARIABLE = "AC_METADATA_URL";

/**
 * The host as the pod sees it: the gateway of the network that leads to it; without a network of its own, the host's loopback. `network` undefined: the host's. Throws
 * UNSUPPORTED where no way leads to the host.
 */
export function metadataUrl(token: string, network: NetworkResult | undefined): string {
  const address = network === undefined ? "127.0.0.1" : network.forwardable?.gateway;
  if (address === undefined)
    throw new RktError(
      "UNSUPPORTED",
      "Cannot use --mds-register: none of the pod's networks has a gateway, which leads to the host",
    );
  return `http://${address}:${METADATA_PORT}/${token}`;
}
