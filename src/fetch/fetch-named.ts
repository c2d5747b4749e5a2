/** An App Container image by name: discovery, then one endpoint after the other until one gives an image that answers to the name. */

import { authHeaderFor, awsKeysFor } from "../config/mod.ts";
import { RktError } from "../core/errors.ts";
import type { AciDownload, Download, ImageReference, Labels } from "../core/spine.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { discoveryPlaces, discoveryUrl, type ImageEndpoint } from "../spec/appc/discovery.ts";
import { osArchProblem, RUNNABLE_OS_ARCH } from "../spec/appc/os-arch.ts";
import { hostPlatform } from "../spec/oci/mod.ts";
import type { FetchOptions } from "./fetch-image.ts";
import { formatImageReference } from "./image-reference.ts";
import { remoteSignature } from "./image-signature.ts";
import type { NetworkRequest } from "./messages.ts";
import { networkRequest } from "./network-request.ts";
import type { FetchSession } from "./worker-session.ts";

export type NamedReference = Extract<ImageReference, { kind: "appc" }>;

/**
 * Finds and downloads the image; its manifest has the name and all the labels that were asked for. `haveSignature`: the caller has one, none need be downloaded.
 * Throws NOT_FOUND and NETWORK (discovery), UNSUPPORTED for an os or arch that rkt does not run, and what the last endpoint ended with.
 */
export async function fetchNamed(
  session: FetchSession,
  reference: NamedReference,
  options: FetchOptions,
  haveSignature: boolean,
): Promise<Download> {
  const { name, labels } = reference;
  const network = networkRequest(options.config, options.insecure, options.env ?? process.env, undefined);
  const problem = osArchProblem(labels, RUNNABLE_OS_ARCH);
  if (problem !== undefined) throw new RktError("UNSUPPORTED", problem);
  const headers = discoveryPlaces(name).map((place) => authHeaderFor(options.config, discoveryUrl("https", place)));
  const endpoints = await session.discover({ ...network, name, labels, headers });
  let failure: unknown = new RktError("NOT_FOUND", `discovery failed for ${quoted(name)}: no endpoints discovered`);
  for (const [index, endpoint] of endpoints.entries()) {
    const hasNext = index + 1 < endpoints.length;
    try {
      const download = await fromEndpoint(session, reference, endpoint, network, options, haveSignature, hasNext);
      if (download.format !== "aci") throw new RktError("HOST_PROGRAM", "Cannot fetch: the fetch worker gave no ACI");
      requireIdentity(download, reference);
      return download;
    } catch (error) {
      if (!isWorthTheNext(error)) throw error;
      failure = error;
      const more = hasNext ? "; trying the next endpoint" : "";
      const text = `cannot use ${redactUrl(endpoint.image)}: ${error.message}${more}`;
      options.emit({ kind: "debug", source: "image", text });
    }
  }
  throw failure;
}

function fromEndpoint(
  session: FetchSession,
  reference: NamedReference,
  endpoint: ImageEndpoint,
  network: NetworkRequest,
  options: FetchOptions,
  haveSignature: boolean,
  hasNext: boolean,
): Promise<Download> {
  const signature = remoteSignature(options.config, options.signature, endpoint.signature);
  return session.fetch({
    ...network,
    reference: { kind: "aci-url", url: endpoint.image },
    origin: formatImageReference(reference),
    platform: options.platform ?? hostPlatform(),
    place: undefined,
    isMirror: hasNext,
    anew: options.anew ?? false,
    unpackedNext: false,
    headers: authHeaderFor(options.config, endpoint.image),
    aws: awsKeysFor(options.config, endpoint.image),
    signature: haveSignature || options.insecure.image ? undefined : signature,
  });
}

/** What is wrong with this host (a full disk) is wrong for every endpoint. */
function isWorthTheNext(error: unknown): error is RktError {
  return error instanceof RktError && !["SYSTEM_CALL", "PERMISSION", "HOST_PROGRAM", "INTERNAL"].includes(error.code);
}

/** A server must not pass one image off as another, be it signed: rkt's words. Throws INVALID_INPUT. */
function requireIdentity(download: AciDownload, wanted: NamedReference): void {
  if (download.name !== wanted.name) {
    throw new RktError(
      "INVALID_INPUT",
      `error when reading the app name: ${quoted(wanted.name)} expected but ${quoted(download.name)} found`,
    );
  }
  requireLabels(download.labels, wanted.labels);
}

function requireLabels(has: Labels, wanted: Labels): void {
  for (const { name, value } of wanted) {
    const found = has.find((label) => label.name === name);
    if (found === undefined)
      throw new RktError("INVALID_INPUT", `requested label ${quoted(name)} not provided by the image manifest`);
    if (found.value === value) continue;
    throw new RktError(
      "INVALID_INPUT",
      `requested value for label ${quoted(name)}: ${quoted(value)} differs from fetched aci label value: ${quoted(found.value)}`,
    );
  }
}
