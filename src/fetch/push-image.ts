/** Pushing from the caller's side: finds the registry and the credential, and starts a worker that has nothing else. */

import { closeSync } from "node:fs";
import { findCredentials } from "../config/find-credentials.ts";
import { type Config, pushEndpoint, type RegistryEndpoint } from "../config/mod.ts";
import type { DataDir } from "../core/data-dir.ts";
import { type Digest, formatDigest, sameDigest } from "../core/digest.ts";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { InsecureOptions } from "../core/insecure-options.ts";
import type { StoredImage } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { rktGroup, workerAccount } from "../host/accounts.ts";
import { startWorker } from "../host/worker.ts";
import type { DockerReference } from "./docker-reference.ts";
import { networkRequest } from "./network-request.ts";
import { decodePushAnswer, type PushRequest } from "./push-messages.ts";
import { openStoreDirectory } from "./worker-session.ts";

export interface PushOptions {
  readonly dataDir: DataDir;
  readonly config: Config;
  readonly insecure: InsecureOptions;
  readonly emit: Emit;
  /** Images whose blobs the registry may have already: those of the store. */
  readonly known: readonly StoredImage[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** More would make a token's scope longer than servers like. */
const MOST_MOUNT_SOURCES = 8;

/**
 * Pushes an OCI image of the store as `destination`; returns its manifest's digest. Throws UNSUPPORTED for an App Container image, CONFLICT when the destination
 * names another digest, and AUTHENTICATION, NETWORK, HTTP_STATUS, PERMISSION, INVALID_CONFIG, NOT_FOUND, DIGEST_MISMATCH.
 */
export async function pushImage(
  image: StoredImage,
  destination: DockerReference,
  options: PushOptions,
): Promise<Digest> {
  const { manifest } = image;
  if (manifest === undefined) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot push image ${image.id}: it is an App Container image, expected an OCI image`,
      {
        hint: "convert it: `rkt image export --format=oci-archive IMAGE FILE`, `rkt fetch oci-archive:FILE`, and push that",
      },
    );
  }
  const { digest, tag } = destination;
  if (digest !== undefined && !sameDigest(digest, manifest.digest))
    throw new RktError(
      "CONFLICT",
      `Cannot push image ${image.id} as ${quoted(destination.text)}: its manifest is ${formatDigest(manifest.digest)}`,
    );
  const endpoint = pushEndpoint(options.config, destination);
  const credentials = await findCredentials(options.config, endpoint, options.env, options.emit);
  await runPushWorker(
    {
      ...networkRequest(options.config, options.insecure, options.env, endpoint),
      place: { registry: endpoint.registry, repository: endpoint.repository, credentials },
      text: destination.text,
      version: tag ?? formatDigest(manifest.digest),
      manifest: { digest: manifest.digest, size: manifest.size, mediaType: manifest.mediaType },
      mounts: mountsFor(image, endpoint, options),
    },
    options,
  );
  return manifest.digest;
}

/** Repositories of the same registry that images of the store came from, by the blobs that this image shares with them. */
function mountsFor(
  image: StoredImage,
  endpoint: RegistryEndpoint,
  { known, config }: PushOptions,
): Record<string, string> {
  const wanted = new Set([...image.layers, image.config].flatMap((blob) => (blob ? [formatDigest(blob.digest)] : [])));
  const mounts: Record<string, string> = {};
  const sources = new Set<string>();
  for (const other of [image, ...known]) {
    const repository = repositoryAt(config, endpoint, other);
    if (repository === undefined || repository === endpoint.repository) continue;
    if (!sources.has(repository) && sources.size >= MOST_MOUNT_SOURCES) continue;
    for (const blob of [...other.layers, other.config]) {
      const digest = blob === undefined ? "" : formatDigest(blob.digest);
      if (!wanted.has(digest) || digest in mounts) continue;
      mounts[digest] = repository;
      sources.add(repository);
    }
  }
  return mounts;
}

/** Where an image of the store lies in the registry behind `endpoint`; undefined when it came from elsewhere. */
function repositoryAt(config: Config, endpoint: RegistryEndpoint, { source }: StoredImage): string | undefined {
  if (source?.registry === undefined || source.repository === undefined) return undefined;
  try {
    const { registry, repository } = source;
    const place = pushEndpoint(config, { registry, repository });
    return place.registry === endpoint.registry ? place.repository : undefined;
  } catch {
    // Blocked by now: not asked for anything.
    return undefined;
  }
}

async function runPushWorker(request: PushRequest, { dataDir, emit }: PushOptions): Promise<void> {
  const root = process.geteuid?.() === 0;
  const group = rktGroup();
  const blobs = openStoreDirectory(dataDir.blobs);
  try {
    const worker = startWorker({
      worker: "push",
      account: root ? workerAccount("rkt-fetch") : undefined,
      groups: root && group !== undefined ? [group] : [],
      descriptors: [blobs],
      request,
    });
    let pushed = false;
    try {
      for await (const message of worker.messages()) {
        const answer = decodePushAnswer(message);
        if (answer.kind === "event") emit(answer.event);
        else if (answer.kind === "failure") throw answer.error;
        else pushed = true;
      }
    } finally {
      worker.kill();
    }
    if (!pushed) throw new RktError("HOST_PROGRAM", "Cannot push: the push worker ended without an answer");
  } finally {
    closeSync(blobs);
  }
}
