import { RktError } from "../../src/core/errors.ts";
import type { Entrypoint } from "../common/io.ts";

export const gc: Entrypoint = async () => {
  throw new RktError("UNSUPPORTED", "Cannot gc a pod of flavor fly: this build has no such entrypoint yet");
};
