/** Step 1 from the caller's side: starts the fetch worker, hands it what it needs as descriptors, and believes nothing of its answer unseen. */

import { closeSync, fstatSync, openSync } from "node:fs";
import { findCredentials } from "../config/find-credentials.ts";
import { authHeaderFor, awsKeysFor, type Config, pullEndpoints, type RegistryEndpoint } from "../config/mod.ts";
import type { DataDir } from "../core/data-dir.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { InsecureOptions } from "../core/insecure-options.ts";
import type { Download, ImageReference, OciDownload } from "../core/spine.ts";
import { printable, quoted } from "../core/text.ts";
import { isErrno, O } from "../host/mod.ts";
import { hostPlatform, type WantedPlatform } from "../spec/oci/mod.ts";
import { checkAnswer } from "./check-answer.ts";
import { fetchNamed } from "./fetch-named.ts";
import type { SignaturePlaces } from "./fetch-oci.ts";
import { formatImageReference } from "./image-reference.ts";
import { isUrl, localSignature, remoteSignature, signatureUrl } from "./image-signature.ts";
import { withLocalSignatures } from "./local-signatures.ts";
import type { FetchRequest } from "./messages.ts";
import { networkRequest } from "./network-request.ts";
import { type FetchSession, openSession } from "./worker-session.ts";

export interface FetchOptions {
  /** Must be initialised (src/store). */
  readonly dataDir: DataDir;
  readonly insecure: InsecureOptions;
  /** Credentials are looked up here, so that the worker learns those of one host and no others. */
  readonly config: Config;
  /** `--signature`: a path or URL; undefined: beside the image. */
  readonly signature: string | undefined;
  /** Below which URL the simple-signing signatures of a registry's image lie, its repository's name included (`lookasideUrl` of src/config). */
  readonly lookaside?: string | undefined;
  /** True: an image of a registry for which no signature is found will be refused, so that it need not be fetched. */
  readonly signatureRequired?: boolean;
  readonly emit: Emit;
  /** An ACI is transferred and stored whatever an earlier fetch has noted and stored. */
  readonly anew?: boolean;
  /** True: the caller unpacks the image next, and drops it when that finds other diff ids than its configuration has. */
  readonly unpackedNext?: boolean;
  /** For an ACI in a file: says what is in it, and stores nothing. */
  readonly examineOnly?: boolean;
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
  if (reference.kind === "hash") {
    throw new RktError(
      "NOT_FOUND",
      `Cannot fetch ${quoted(reference.text)}: an image named by its hash comes from the store only`,
    );
  }
  const signature = options.insecure.image ? undefined : localSignature(reference, options.signature);
  if ("path" in reference) {
    options.emit({ kind: "debug", source: "image", text: `using image from file ${printable(reference.path)}` });
  }
  const source = openSource(reference);
  const session = openSession(options.dataDir, source, options.emit);
  try {
    const download =
      reference.kind === "appc"
        ? await fetchNamed(session, reference, options, signature !== undefined)
        : await fetchFromAnywhere(session, reference, options, signature !== undefined);
    if (options.examineOnly === true) return download;
    checkAnswer(options.dataDir, reference, options.platform ?? hostPlatform(), download);
    if (download.format === "oci") return ociSignatures(download, reference, options);
    return signature !== undefined ? { ...download, signature } : download;
  } finally {
    await session.close();
    if (source !== undefined) closeSync(source);
  }
}

function ociSignatures(download: OciDownload, reference: ImageReference, options: FetchOptions): OciDownload {
  if (options.insecure.image || isUrl(options.signature)) return download;
  return withLocalSignatures(download, reference, { path: options.signature, lookaside: options.lookaside });
}

/** The servers are asked one after the other. */
async function fetchFromAnywhere(
  session: FetchSession,
  reference: ImageReference,
  options: FetchOptions,
  haveSignature: boolean,
): Promise<Download> {
  for (const endpoint of endpointsOf(reference, options.config)) {
    const request = await requestFor(reference, options, haveSignature, endpoint);
    try {
      return await session.fetch(request);
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
  const transfer = ["NOT_FOUND", "NETWORK", "HTTP_STATUS", "AUTHENTICATION", "DIGEST_MISMATCH", "INVALID_INPUT"];
  // NOT_TRUSTED: not every mirror has the signatures that stand beside an image.
  return error instanceof RktError && [...transfer, "NOT_TRUSTED"].includes(error.code);
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
  const beside = reference.kind === "aci-url" ? signatureUrl(reference.url) : undefined;
  return {
    ...networkRequest(config, insecure, env, endpoint),
    reference,
    origin: formatImageReference(reference),
    platform: options.platform ?? hostPlatform(),
    place: endpoint && { registry: endpoint.registry, repository: endpoint.repository, credentials: credentials ?? {} },
    isMirror: endpoint?.isMirror ?? false,
    anew: options.anew ?? false,
    unpackedNext: options.unpackedNext ?? false,
    ...(options.examineOnly === true ? { examineOnly: true } : {}),
    headers: reference.kind === "aci-url" ? authHeaderFor(config, reference.url) : {},
    aws: reference.kind === "aci-url" ? awsKeysFor(config, reference.url) : undefined,
    signature: haveSignature || insecure.image ? undefined : remoteSignature(config, options.signature, beside),
    signaturePlaces: insecure.image ? undefined : signaturePlaces(options),
  };
}

/** With `--signature` the worker looks nowhere else, but still hands over the indexes that led to the image. */
function signaturePlaces({ signature, lookaside, signatureRequired = false }: FetchOptions): SignaturePlaces {
  return {
    given: signature !== undefined,
    required: signatureRequired && signature === undefined,
    lookaside: lookaside === undefined || lookaside.startsWith("file:") ? [] : [lookaside],
  };
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
    if (isErrno(cause, "ENOENT")) throw new RktError("NOT_FOUND", `Cannot open ${quoted(path)}`, { cause });
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
