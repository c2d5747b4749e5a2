/** The data directory as commands find it: made, or taken over from rkt 1.x. On the run path: what takes time is loaded only where there is something to take over. */

import type { Engine } from "../core/engine.ts";
import { linux } from "../host/mod.ts";
import { isUntaken } from "../store/data-dir-format.ts";
import { initDataDir, mayTakeOver } from "../store/init-data-dir.ts";

/** Makes sure that there is a data directory of this rkt. Throws what {@link initDataDir} and takeOver throw. */
export async function openDataDir(engine: Engine): Promise<void> {
  if (initDataDir(engine.dataDir, linux)) await takeOverNow(engine);
}

/** For commands that only look: makes no directory, and leaves one that is not the caller's. */
export async function takeOverIfDue(engine: Engine): Promise<void> {
  if (isUntaken(engine.dataDir, linux) && mayTakeOver(engine.dataDir, linux)) await takeOverNow(engine);
}

async function takeOverNow(engine: Engine): Promise<void> {
  const { takeOver } = await import("./take-over.ts");
  await takeOver(engine);
}
