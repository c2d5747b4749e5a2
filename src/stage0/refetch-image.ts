/** Bringing blobs of a known image again: by digest, so that no trust is asked for. What comes counts only when its digest is the recorded one. */

import { loadConfig } from "../config/mod.ts";
import { type Digest, formatDigest, parseDigest } from "../core/digest.ts";
import type { Engine } from "../core/engine.ts";
import { RktError } from "../core/errors.ts";
import type { AciDownload, Download, ImageReference, StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { whileFetching } from "../store/mod.ts";

/** Fetches the image from where it came. A tag may mean another image by now: from a registry it is asked for by digest. Throws what fetching throws, NOT_FOUND when its origin is not known. */
export async function refetchImage(engine: Engine, image: StoredImage): Promise<Download> {
  const download = await fetchOnly(engine, await referenceOf(image));
  if (download.id === image.id) return download;
  throw new RktError(
    "DIGEST_MISMATCH",
    `Cannot fetch image ${image.id} again: ${quoted(image.origin)} gives ${download.id} now`,
  );
}

/** Reads an archive of the store again, in the worker that reads archives. */
export async function reimportArchive(engine: Engine, digest: Digest): Promise<AciDownload> {
  const download = await fetchOnly(engine, { kind: "aci-file", path: engine.dataDir.blob(digest) });
  if (download.format === "aci") return download;
  throw new RktError("INVALID_INPUT", `Cannot use blob ${formatDigest(digest)}: it is no App Container image`);
}

/** Says what is in the archive that is open as `archive`, as that worker finds it; nothing is stored. Throws INVALID_INPUT when it is no App Container image. */
export async function examineArchive(engine: Engine, archive: number): Promise<AciDownload> {
  const download = await fetchOnly(engine, { kind: "aci-file", path: `/proc/self/fd/${archive}` }, true);
  if (download.format === "aci") return download;
  throw new RktError("INVALID_INPUT", "Cannot use the archive: it is no App Container image");
}

async function referenceOf(image: StoredImage): Promise<ImageReference> {
  const { source, manifest } = image;
  if (source?.registry !== undefined && source.repository !== undefined && manifest !== undefined) {
    const text = `${source.registry}/${source.repository}@${formatDigest(manifest.digest)}`;
    return {
      kind: "docker",
      registry: source.registry,
      repository: source.repository,
      tag: undefined,
      digest: parseDigest(formatDigest(manifest.digest)),
      text,
    };
  }
  const { parseImageReference } = await import("../fetch/mod.ts");
  try {
    return parseImageReference(image.origin, "/");
  } catch (cause) {
    throw new RktError("NOT_FOUND", `Cannot fetch image ${image.id} again: it is not known where it came from`, {
      cause,
    });
  }
}

/** No verdict is asked for, and none is recorded: the image keeps the one that it has. */
async function fetchOnly(engine: Engine, reference: ImageReference, examineOnly = false): Promise<Download> {
  const { fetchImage } = await import("../fetch/mod.ts");
  return whileFetching(engine.dataDir, () =>
    fetchImage(reference, {
      dataDir: engine.dataDir,
      insecure: { ...engine.insecure, image: true },
      config: loadConfig(engine),
      signature: undefined,
      examineOnly,
      emit: engine.emit,
    }),
  );
}
