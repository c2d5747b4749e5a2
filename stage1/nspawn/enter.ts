import { RktError } from "../../src/core/errors.ts";
import type { Entrypoint } from "../common/io.ts";

export const enter: Entrypoint = async () => {
  throw new RktError("UNSUPPORTED", "Cannot enter a pod of flavor nspawn: this build has no such entrypoint yet");
};
