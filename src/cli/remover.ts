/** What `stop`, `rm` and `gc` hand to src/pod, which knows neither the terminal nor stage0. */

import { linux } from "../host/mod.ts";
import { podReader, type Remover } from "../pod/mod.ts";
import { callStage1 } from "../stage0/call-stage1.ts";
import type { CommandInput } from "./command.ts";

export function removerOf({ engine, output }: CommandInput): Remover {
  return {
    ...podReader(engine.dataDir, linux),
    callStage1: (podDir, entrypoint, argv) => callStage1(engine, podDir, entrypoint, argv),
    localConfigDir: engine.localConfigDir,
    debug: engine.debug,
    tell: output.error,
  };
}
