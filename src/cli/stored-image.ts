/** The IMAGE argument of the `image` commands: an id, or the name or reference of an image in the store. Nothing is fetched. */

import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { Labels, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { parseImageReference } from "../fetch/image-reference.ts";
import { parseAppString } from "../spec/appc/app-string.ts";
import { findImage, findImageById, findImageByName, noSuchImage } from "../store/mod.ts";

/** Throws what rkt said: `cannot resolve image ID: …`, `cannot parse the image name: "x"`, `cannot find image: …`. */
export function storedImage(engine: Engine, text: string): StoredImage {
  // These commands show and remove what is there; whose word a name is does not matter to them.
  const options = { emit: engine.emit, claimedNames: true };
  if (/^sha(256|512)[-:]/.test(text)) return byId(engine, text);
  if (/^(docker:|https?:\/\/)/.test(text)) {
    return findImage(engine.dataDir, parseImageReference(text, process.cwd()), options) ?? notFound(text, []);
  }
  const { name, labels } = parsed(text);
  return findImageByName(engine.dataDir, { name, labels }, options) ?? notFound(name, labels);
}

function byId({ dataDir, emit }: Engine, text: string): StoredImage {
  try {
    const image = findImageById(dataDir, text, { emit });
    if (image !== undefined) return image;
    throw noSuchImage();
  } catch (cause) {
    if (!(cause instanceof RktError)) throw cause;
    throw new RktError(cause.code, "cannot resolve image ID", { cause });
  }
}

function parsed(text: string): ReturnType<typeof parseAppString> {
  try {
    return parseAppString(text);
  } catch (cause) {
    throw new RktError("INVALID_INPUT", `cannot parse the image name: ${quoted(text)}`, { cause });
  }
}

function notFound(name: string, labels: Labels): never {
  const list = labels.map(({ name: label, value }) => `${label}=${value}`).join(", ");
  const cause = new RktError(
    "NOT_FOUND",
    `cannot find aci satisfying name: ${quoted(name)} and labels: [${list}] in the local store`,
  );
  throw new RktError("NOT_FOUND", "cannot find image", { cause });
}
