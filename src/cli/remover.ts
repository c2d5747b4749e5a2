/** What `stop`, `rm` and `gc` hand to src/pod, which knows neither the terminal nor stage0. */

import { linux } from "../host/mod.ts";
import { podReader, type Remover } from "../pod/mod.ts";
import { callStage1 } from "../stage0/call-stage1.ts";
import { isRkt1Pod } from "../stage0/rkt-1-pod.ts";
import type { CommandInput } from "./command.ts";

export function removerOf({ engine, output }: CommandInput): Remover {
  return {
    ...podReader(engine.dataDir, linux),
    callStage1: async (podDir, entrypoint, argv) => {
      if (entrypoint !== "gc" || !isRkt1Pod(engine.dataDir, podDir))
        return callStage1(engine, podDir, entrypoint, argv);
      const { endRkt1Pod } = await import("../stage0/end-rkt-1-pod.ts");
      return endRkt1Pod(engine, podDir, argv);
    },
    localConfigDir: engine.localConfigDir,
    debug: engine.debug,
    tell: output.error,
  };
}
