import { RktError } from "../core/errors.ts";
import type { NetworkContext, TeardownProblem } from "./types.ts";

/** Takes a pod's network back. Idempotent. */
export async function tearDownNetwork(_context: NetworkContext): Promise<TeardownProblem[]> {
  throw new RktError("UNSUPPORTED", "Cannot tear down networks: not built yet");
}
