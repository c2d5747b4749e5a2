import { RktError } from "../core/errors.ts";
import type { NetworkResult, SetUpNetwork } from "./types.ts";

/** Sets up a pod's network; undefined for the host's own. */
export async function setUpNetwork(_request: SetUpNetwork): Promise<NetworkResult | undefined> {
  throw new RktError("UNSUPPORTED", "Cannot set up networks: not built yet");
}
