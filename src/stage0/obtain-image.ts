/**
 * Steps 1 to 3 in a row: a name becomes a verified image in the store. What is in the store already, and verified, costs no worker and no network.
 */

import { loadConfig } from "../config/mod.ts";
import type { Engine } from "../core/engine.ts";
import { aboutSubject, RktError } from "../core/errors.ts";
import type { Download, ImageReference, StoredImage } from "../core/spine.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { linux } from "../host/mod.ts";
import { findImage, referenceName, touchImage, whileFetching } from "../store/mod.ts";
import type { VerifyWorker } from "../trust/run-worker.ts";
import { openDataDir } from "./open-data-dir.ts";
import { isWhole } from "./whole-image.ts";

export type PullPolicy = "new" | "never" | "update";

export interface ObtainOptions {
  readonly pullPolicy: PullPolicy;
  /** `--signature`: a path or URL. */
  readonly signature: string | undefined;
  /** True: the caller renders the image next (render-stored.ts), which is when its layers are decompressed and their diff ids checked. */
  readonly unpackedNext?: boolean;
}

/**
 * The image that `reference` names, with what it depends on when it had to be fetched. Throws NOT_FOUND, NOT_TRUSTED, DIGEST_MISMATCH, NETWORK and what the steps
 * throw. Files are always imported again, names and URLs by the pull policy (rkt 1.x, "Image fetching").
 */
export async function obtainImage(
  engine: Engine,
  reference: ImageReference,
  options: ObtainOptions,
): Promise<StoredImage> {
  await openDataDir(engine);
  if (reference.kind === "hash") return storedByHash(engine, reference);
  const isFile = ["aci-file", "oci-layout", "oci-archive", "docker-archive"].includes(reference.kind);
  if (!isFile && options.pullPolicy !== "update") {
    const stored = await findTrusted(engine, reference, options.pullPolicy === "new");
    if (stored !== undefined) return stored;
    if (options.pullPolicy === "never") throw notInStore(reference);
  }
  const fetched = await fetchVerifyStore(engine, reference, options).catch((error: unknown) => {
    throw withUnbelieved(engine, reference, error);
  });
  if (fetched.format === "aci") {
    const { obtainDependencies } = await import("./obtain-dependencies.ts");
    await obtainDependencies(engine, fetched, options.pullPolicy);
  }
  return fetched;
}

/** An image of the store that only calls itself so was passed over: whoever put it there would not know why the network was asked. */
function withUnbelieved(engine: Engine, reference: ImageReference, error: unknown): unknown {
  if (reference.kind !== "appc" || engine.insecure.image || !(error instanceof RktError)) return error;
  const image = findImage(engine.dataDir, reference, { claimedNames: true });
  if (image === undefined) return error;
  const hint = `image ${image.id} of the store calls itself so, but nothing says that its signer is trusted: --insecure-options=image accepts it`;
  return new RktError(error.code, error.message, { hint, cause: error.cause });
}

const TAIL =
  "either image was not found in the store or store was disabled and fetching from remote yielded nothing or it was disabled";

/** rkt's words for what the pull policy "never" does not find. */
export function notInStore(reference: ImageReference): RktError {
  const what =
    reference.kind === "docker"
      ? `docker image from URL "docker://${reference.text.replace(/^docker:(\/\/)?/, "")}"`
      : reference.kind === "aci-url"
        ? `image from URL "${redactUrl(reference.url)}"`
        : `image from image name "${nameOf(reference)}"`;
  return new RktError("NOT_FOUND", `unable to fetch ${what}: ${TAIL}`);
}

/** The text of a reference for messages. */
function nameOf(reference: ImageReference): string {
  switch (reference.kind) {
    case "hash":
    case "docker":
      return reference.text;
    case "appc":
      return (
        reference.name +
        reference.labels.map(({ name, value }) => (name === "version" ? `:${value}` : `,${name}=${value}`)).join("")
      );
    case "aci-url":
      return reference.url;
    default:
      return reference.path;
  }
}

async function storedByHash(engine: Engine, reference: ImageReference): Promise<StoredImage> {
  const stored = await findTrusted(engine, reference, false);
  if (stored !== undefined) return stored;
  throw new RktError("NOT_FOUND", `no image IDs found for "${nameOf(reference)}"`);
}

/**
 * An image of the store that may be used. For root that is one which root itself saw verified; what only an unprivileged fetch has seen is verified now. A name then
 * goes to the network when that fails, since anybody in group rkt can put an image under a name; a hash has no other place to come from.
 */
export async function findTrusted(
  engine: Engine,
  reference: ImageReference,
  /** Whether a damaged one can be fetched again. */
  refetchable = true,
): Promise<StoredImage | undefined> {
  const { dataDir, emit, insecure } = engine;
  const stored = findImage(dataDir, reference, { emit, claimedNames: insecure.image });
  if (stored === undefined || !isWhole(engine, stored, refetchable)) return undefined;
  emit({ kind: "debug", source: "image", text: usingFromStore(reference) });
  touchImage(dataDir, stored);
  if (stored.verification !== undefined || process.geteuid?.() !== 0) return stored;
  try {
    return await verifyStored(engine, stored);
  } catch (error) {
    if (reference.kind === "hash" || !(error instanceof RktError)) throw error;
    emit({ kind: "debug", source: "image", text: `not using image ${stored.id} of the store: ${error.message}` });
    return undefined;
  }
}

async function verifyStored(engine: Engine, stored: StoredImage): Promise<StoredImage> {
  const [{ verifyDownload }, { putImage, storedDownload }] = await Promise.all([
    import("../trust/mod.ts"),
    import("../store/mod.ts"),
  ]);
  const { dataDir, emit } = engine;
  const verified = await verifyDownload(storedDownload(dataDir, stored, { emit }), undefined, {
    ...engine,
    host: linux,
  });
  return putImage(dataDir, verified, [], { emit });
}

function usingFromStore(reference: ImageReference): string {
  if (reference.kind === "hash") return `using image from the store with hash ${reference.text}`;
  if (reference.kind === "aci-url" || reference.kind === "docker")
    return `using image from local store for url ${nameOf(reference)}`;
  return `using image from local store for image name ${nameOf(reference)}`;
}

/** The archive is not what its digest or its signature says. */
function isDamaged(error: unknown): error is RktError {
  if (!(error instanceof RktError)) return false;
  return error.code === "DIGEST_MISMATCH" || (error.code === "NOT_TRUSTED" && /invalid signature/.test(error.message));
}

/** One image, without what it depends on. The code that fetches is loaded only here: a run from the store must not pay for it. */
export async function fetchVerifyStore(
  engine: Engine,
  reference: ImageReference,
  options: ObtainOptions,
): Promise<StoredImage> {
  try {
    return await fetchAndVerify(engine, reference, options);
  } catch (error) {
    // What is wrong inside an archive or a manifest is found by workers, which do not know where it came from.
    const subject = reference.kind === "aci-url" ? redactUrl(reference.url) : nameOf(reference);
    throw aboutSubject(error, subject, `Cannot fetch image ${quoted(subject)}`);
  }
}

async function fetchAndVerify(engine: Engine, reference: ImageReference, options: ObtainOptions): Promise<StoredImage> {
  const verifier = await verifierFor(engine, reference);
  try {
    return await fetchAndVerifyWith(verifier, engine, reference, options);
  } finally {
    await verifier?.close();
  }
}

/**
 * An image of a registry that the store has already is unchanged most of the time: then starting the process that checks its signature would take longer than all the rest, and it is started
 * beside the fetch. For one that has to be transferred it would lie in memory meanwhile.
 */
async function verifierFor(engine: Engine, reference: ImageReference): Promise<VerifyWorker | undefined> {
  if (reference.kind !== "docker" || engine.insecure.image) return undefined;
  if (findImage(engine.dataDir, reference) === undefined) return undefined;
  const { prepareVerifyWorker } = await import("../trust/run-worker.ts");
  return prepareVerifyWorker();
}

async function fetchAndVerifyWith(
  verifier: VerifyWorker | undefined,
  engine: Engine,
  reference: ImageReference,
  options: ObtainOptions,
): Promise<StoredImage> {
  const [{ fetchImage }, { verifyDownload }, { putImage }, { extendingStartTimeout }, { signatureSearch }] =
    await Promise.all([
      import("../fetch/mod.ts"),
      import("../trust/mod.ts"),
      import("../store/mod.ts"),
      import("./start-timeout.ts"),
      import("./signature-places.ts"),
    ]);
  if (reference.kind === "appc" && !engine.insecure.image) {
    const { offerDiscoveredKeys } = await import("./discover-keys.ts");
    await offerDiscoveredKeys(engine, reference.name);
  }
  if (engine.insecure.tls && ["appc", "aci-url", "docker"].includes(reference.kind))
    engine.emit({ kind: "notice", source: "image", text: "warning: TLS verification has been disabled" });
  const config = loadConfig(engine);
  const search = signatureSearch(engine, reference);
  return whileFetching(engine.dataDir, async () => {
    const fetchIt = (anew: boolean) =>
      fetchImage(reference, {
        dataDir: engine.dataDir,
        insecure: engine.insecure,
        config,
        signature: options.signature,
        ...search,
        emit: extendingStartTimeout(engine.emit),
        anew,
        unpackedNext: options.unpackedNext ?? false,
      });
    const verify = (download: Download) => verifyDownload(download, reference, { ...engine, host: linux, verifier });
    const download = await fetchIt(false);
    // Each time, whatever was found before: since then a key may have been revoked, or have expired.
    const verified = await verify(download).catch(async (error: unknown) => {
      if (download.format !== "aci" || !isDamaged(error)) throw error;
      // What lay in the store may be what is wrong: a fetch that trusts nothing of it decides.
      engine.emit({ kind: "debug", source: "image", text: `${error.message}; fetching the image anew` });
      return verify(await fetchIt(true));
    });
    const name = referenceName(reference);
    const latest = reference.kind === "appc" && !reference.labels.some((label) => label.name === "version");
    return putImage(engine.dataDir, verified, name === undefined ? [] : [name], { emit: engine.emit, latest });
  });
}
