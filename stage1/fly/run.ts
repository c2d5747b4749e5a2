import { RktError } from "../../src/core/errors.ts";
import type { RunEntrypoint } from "../common/io.ts";

export const run: RunEntrypoint = async () => {
  throw new RktError("UNSUPPORTED", "Cannot run a pod of flavor fly: this build has no such entrypoint yet");
};
