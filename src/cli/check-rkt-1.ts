/** `rkt fsck` on what rkt 1.x left: images that are not taken over. */

import type { ImageId } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { Problem } from "../core/problem.ts";
import { quoted } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import { isOneImagesFault, takeOver, takeOverOne } from "../stage0/take-over.ts";
import { isUntaken, untakenImages } from "../store/mod.ts";
import { removeRkt1Blob } from "../store/rkt-1.ts";

/** One problem for a directory that nobody has taken over yet; else one for each image that was left. */
export function rkt1Problems(engine: Engine): Problem[] {
  const { dataDir } = engine;
  if (isUntaken(dataDir, linux)) {
    const message = `rkt 1.x has written ${quoted(dataDir.root)}, and it has not been taken over yet`;
    const mend = async (): Promise<string> => {
      await takeOver(engine);
      return "took it over";
    };
    return [{ severity: "damage", kind: "not-taken-over", path: dataDir.root, message, mend }];
  }
  return untakenImages(dataDir).map((id) => ({
    severity: "damage",
    kind: "not-taken-over",
    path: dataDir.rkt1Blob(id),
    image: id,
    message: `image ${id} of rkt 1.x has not been taken over`,
    mend: () => takeOverOrRemove(engine, id),
  }));
}

/** An archive that is not what its name says is of no use to anybody. */
async function takeOverOrRemove(engine: Engine, id: ImageId): Promise<string> {
  try {
    await takeOverOne(engine, id);
    return "took it over";
  } catch (error) {
    if (!isOneImagesFault(error) || error.code === "CONFLICT") throw error;
    if (removeRkt1Blob(engine.dataDir, id)) return `removed it: ${error.message}`;
    throw new RktError("NOT_FOUND", "it is gone", { cause: error });
  }
}
