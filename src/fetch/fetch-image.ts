/** Step 1 from the caller's side: starts the fetch worker, hands it what it needs as descriptors, and believes nothing of its answer unseen. */

import { closeSync, fstatSync, openSync } from "node:fs";
import { findCredentials } from "../config/find-credentials.ts";
import { authHeaderFor, type Config, pullEndpoints, type RegistryEndpoint } from "../config/mod.ts";
import type { DataDir } from "../core/data-dir.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { InsecureOptions } from "../core/insecure-options.ts";
import type { Download, ImageReference } from "../core/spine.ts";
import { printable, quoted } from "../core/text.ts";
import { rktGroup, workerAccount } from "../host/accounts.ts";
import { readAll } from "../host/beneath.ts";
import { isErrno, O } from "../host/mod.ts";
import { startWorker } from "../host/worker.ts";
import { hostPlatform, type WantedPlatform } from "../spec/oci/mod.ts";
import { checkAnswer } from "./check-answer.ts";
import { formatImageReference } from "./image-reference.ts";
import { decodeAnswer, type FetchRequest, LARGEST_SIGNATURE } from "./messages.ts";
import { networkRequest } from "./network-request.ts";

export interface FetchOptions {
  /** Must be initialised (src/store). */
  readonly dataDir: DataDir;
  readonly insecure: InsecureOptions;
  /** Credentials are looked up here, so that the worker learns those of one host and no others. */
  readonly config: Config;
  /** `--signature`: a path or URL; undefined: beside the image. */
  readonly signature: string | undefined;
  readonly emit: Emit;
  /** Default: this machine's. */
  readonly platform?: WantedPlatform;
  /** Default: this process's. Proxies, authorities (SSL_CERT_FILE, SSL_CERT_DIR) and the caller's credentials are looked up with it. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Fetches an image into the store. The result says what was found, not whom to trust.
 * Throws NOT_FOUND, NETWORK, HTTP_STATUS, AUTHENTICATION, DIGEST_MISMATCH, INVALID_INPUT, MALICIOUS, UNSUPPORTED, NOT_TRUSTED (a URL without a signature),
 * INVALID_CONFIG (a file of certificates), PERMISSION (a blocked registry), SYSTEM_CALL (full disk), PERMISSION, HOST_PROGRAM (the worker died).
 */
export async function fetchImage(reference: ImageReference, options: FetchOptions): Promise<Download> {
  assertFetchable(reference);
  const signature = localSignature(reference, options);
  if ("path" in reference) {
    options.emit({ kind: "debug", source: "image", text: `using image from file ${printable(reference.path)}` });
  }
  const descriptors: number[] = [];
  try {
    descriptors.push(openStoreDirectory(options.dataDir.blobs), openStoreDirectory(options.dataDir.downloads));
    const source = openSource(reference);
    if (source !== undefined) descriptors.push(source);
    const download = await fetchFromAnywhere(reference, options, signature !== undefined, descriptors);
    checkAnswer(options.dataDir, reference, options.platform ?? hostPlatform(), download);
    return download.format === "aci" && signature !== undefined ? { ...download, signature } : download;
  } finally {
    for (const fd of descriptors) closeSync(fd);
  }
}

function assertFetchable(reference: ImageReference): void {
  if (reference.kind === "hash") {
    throw new RktError(
      "NOT_FOUND",
      `Cannot fetch ${quoted(reference.text)}: an image named by its hash comes from the store only`,
    );
  }
  if (reference.kind === "appc") {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot fetch ${quoted(formatImageReference(reference))}: image discovery is not supported by this version`,
      {
        hint: "give the image's URL (https://….aci), a file, or docker://…",
      },
    );
  }
}

/** The servers are asked one after the other, each by a worker of its own, which learns the credential for that one and no other. */
async function fetchFromAnywhere(
  reference: ImageReference,
  options: FetchOptions,
  haveSignature: boolean,
  descriptors: readonly number[],
): Promise<Download> {
  for (const endpoint of endpointsOf(reference, options.config)) {
    const request = await requestFor(reference, options, haveSignature, endpoint);
    try {
      return await runWorker(request, descriptors, options.emit);
    } catch (error) {
      if (endpoint?.isMirror !== true || !isMirrorsFault(error)) throw error;
      const text = `mirror ${endpoint.registry} failed, asking the next server: ${error.message}`;
      options.emit({ kind: "notice", source: "image", text });
    }
  }
  throw internalError("no server to ask for an image");
}

function endpointsOf(reference: ImageReference, config: Config): readonly (RegistryEndpoint | undefined)[] {
  if (reference.kind !== "docker") return [undefined];
  return pullEndpoints(config, { ...reference, pinned: reference.digest !== undefined });
}

/** What another server may do better. A full disk or a missing right stays what it is; malicious content must not be tried around. */
function isMirrorsFault(error: unknown): error is RktError {
  const codes = ["NOT_FOUND", "NETWORK", "HTTP_STATUS", "AUTHENTICATION", "DIGEST_MISMATCH", "INVALID_INPUT"];
  return error instanceof RktError && codes.includes(error.code);
}

async function runWorker(request: FetchRequest, descriptors: readonly number[], emit: Emit): Promise<Download> {
  const root = process.geteuid?.() === 0;
  const group = rktGroup();
  const worker = startWorker({
    worker: "fetch",
    account: root ? workerAccount("rkt-fetch") : undefined,
    groups: root && group !== undefined ? [group] : [],
    descriptors,
    request,
  });
  let download: Download | undefined;
  try {
    for await (const message of worker.messages()) {
      const answer = decodeAnswer(message);
      if (answer.kind === "event") emit(answer.event);
      else if (answer.kind === "failure") throw answer.error;
      else download = answer.download;
    }
  } finally {
    worker.kill();
  }
  if (download === undefined)
    throw new RktError("HOST_PROGRAM", "Cannot fetch: the fetch worker ended without an answer");
  return download;
}

async function requestFor(
  reference: ImageReference,
  options: FetchOptions,
  haveSignature: boolean,
  endpoint: RegistryEndpoint | undefined,
): Promise<FetchRequest> {
  const env = options.env ?? process.env;
  const { config, insecure } = options;
  const credentials = endpoint && (await findCredentials(config, endpoint, env, options.emit));
  return {
    ...networkRequest(config, insecure, env, endpoint),
    reference,
    origin: formatImageReference(reference),
    platform: options.platform ?? hostPlatform(),
    place: endpoint && { registry: endpoint.registry, repository: endpoint.repository, credentials: credentials ?? {} },
    isMirror: endpoint?.isMirror ?? false,
    headers: reference.kind === "aci-url" ? authHeaderFor(config, reference.url) : {},
    signature: haveSignature || insecure.image ? undefined : remoteSignature(reference, options),
  };
}

/** The signature that the worker has to download: beside an image of the net, or where `--signature` says. */
function remoteSignature(reference: ImageReference, options: FetchOptions): FetchRequest["signature"] {
  if (reference.kind !== "aci-url" && !(reference.kind === "aci-file" && options.signature !== undefined))
    return undefined;
  const url = new URL(options.signature ?? (reference.kind === "aci-url" ? reference.url : ""));
  if (options.signature === undefined) url.pathname = signatureName(url.pathname);
  return { url: url.toString(), headers: authHeaderFor(options.config, url) };
}

/** rkt 1.x: X.aci is signed by X.aci.asc, and any other file by FILE.aci.asc. */
function signatureName(image: string): string {
  return `${image.replace(/\.aci$/, "")}.aci.asc`;
}

/** The signature as a local file: read here, since it may lie where the worker cannot look. Its content is only passed on. */
function localSignature(reference: ImageReference, options: FetchOptions): Buffer | undefined {
  if (options.insecure.image || isUrl(options.signature)) return undefined;
  if (options.signature === undefined && reference.kind !== "aci-file") return undefined;
  if (reference.kind !== "aci-file" && reference.kind !== "aci-url") return undefined;
  const path = options.signature ?? (reference.kind === "aci-file" ? signatureName(reference.path) : "");
  let fd: number;
  try {
    fd = openSync(path, O.RDONLY | O.CLOEXEC | O.NONBLOCK);
  } catch (cause) {
    // None beside the image: whether that matters is for the next step to say.
    if (options.signature === undefined && isErrno(cause, "ENOENT")) return undefined;
    throw new RktError("NOT_TRUSTED", `error opening signature file: ${quoted(path)} cannot be read`, { cause });
  }
  try {
    return readAll(fd, LARGEST_SIGNATURE, () => quoted(path));
  } finally {
    closeSync(fd);
  }
}

function isUrl(text: string | undefined): boolean {
  return text !== undefined && /^https?:\/\//i.test(text);
}

function openStoreDirectory(path: string): number {
  try {
    return openSync(path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC);
  } catch (cause) {
    const denied = isErrno(cause, "EACCES", "EPERM");
    throw new RktError(denied ? "PERMISSION" : "SYSTEM_CALL", `Cannot open the image store ${quoted(path)}`, {
      cause,
      ...(denied ? { hint: "become root, or a member of the group rkt" } : {}),
    });
  }
}

/** The image's file or directory, opened by the caller: it may lie where the worker's user cannot walk to. */
function openSource(reference: ImageReference): number | undefined {
  if (!("path" in reference)) return undefined;
  const { path } = reference;
  const directory = reference.kind === "oci-layout";
  let fd: number;
  try {
    fd = openSync(path, O.RDONLY | O.CLOEXEC | O.NONBLOCK | (directory ? O.DIRECTORY : 0));
  } catch (cause) {
    if (isErrno(cause, "ENOENT"))
      throw new RktError("NOT_FOUND", `Cannot open ${quoted(path)}: no such file`, { cause });
    if (isErrno(cause, "ENOTDIR")) throw notA("directory with an OCI image layout", path);
    throw new RktError(isErrno(cause, "EACCES") ? "PERMISSION" : "SYSTEM_CALL", `Cannot open ${quoted(path)}`, {
      cause,
    });
  }
  if (directory || fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw notA("regular file", path);
}

function notA(what: string, path: string): RktError {
  return new RktError("INVALID_INPUT", `Cannot read ${quoted(path)}: it is not a ${what}`);
}
