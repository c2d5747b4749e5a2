/** The fetch worker: `rkt worker fetch`, a process and user of its own. It eats what strangers wrote, and may write to the store's blobs and nothing else. */

import { internalError, RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { Download, ImageReference, OciDownload } from "../core/spine.ts";
import { redactUrl } from "../core/text.ts";
import { limitMemory } from "../host/limit-memory.ts";
import { linux } from "../host/mod.ts";
import { answer, answerEvent, answerFailure, requests } from "../host/worker-side.ts";
import type { Cas } from "./cas.ts";
import { discover } from "./discover.ts";
import { fetchAciUrl } from "./fetch-aci-url.ts";
import { fetchOci } from "./fetch-oci.ts";
import { fetchSignature, type SignatureUrl } from "./fetch-signature.ts";
import type { ImageSource } from "./image-source.ts";
import type { Job } from "./job.ts";
import { signatureDocument } from "./local-signatures.ts";
import {
  type DownloadMessage,
  type EndpointsMessage,
  encodeDownload,
  FD,
  type FetchRequest,
  type NetworkRequest,
  type WorkerRequest,
} from "./messages.ts";
import { httpSettings } from "./network.ts";
import { registrySource } from "./registry-source.ts";

/** Several streams with their buffers take a tenth. */
const MOST_MEMORY = 2 * 1024 * 1024 * 1024;

type LocalReference = Extract<ImageReference, { kind: "oci-layout" | "oci-archive" | "docker-archive" }>;

/** Serves the requests on stdin one after the other, answers on stdout, and ends the process when stdin ends. */
export async function runFetchWorker(): Promise<void> {
  limitMemory(linux, MOST_MEMORY);
  // Group members share the store's files.
  process.umask(0o007);
  const cas = { blobs: `/proc/self/fd/${FD.blobs}`, downloads: `/proc/self/fd/${FD.downloads}` };
  for await (const message of requests()) {
    const request = message as WorkerRequest;
    if (request.task === "prepare") continue;
    try {
      answer(await perform(request, cas));
    } catch (error) {
      answerFailure(error);
    }
  }
  // Every answer is written; open connections would keep the process for a while.
  process.exit(0);
}

async function perform(
  message: Exclude<WorkerRequest, { task: "prepare" }>,
  cas: Cas,
): Promise<EndpointsMessage | DownloadMessage> {
  if (message.task === "discover") {
    const endpoints = await discover(jobWith(message.request, cas, answerEvent), message.request);
    return { kind: "endpoints", endpoints };
  }
  return encodeDownload(await performFetch(jobFor(message.request, cas, answerEvent), message.request, FD.source));
}

export function jobFor(request: FetchRequest, cas: Cas, emit: Emit): Job {
  return { ...jobWith(request, cas, emit), ...(request.isMirror ? { mostAttempts: 2 } : {}) };
}

function jobWith(request: NetworkRequest, cas: Cas, emit: Emit): Job {
  return { cas, http: httpSettings(request), emit, signal: undefined, pace: 1 };
}

/** Does what the request says; `source` is the descriptor of a local image. Throws what the steps throw. */
export async function performFetch(job: Job, request: FetchRequest, source: number): Promise<Download> {
  const { reference, origin } = request;
  const signature = request.signature && {
    url: new URL(request.signature.url),
    secretHeaders: request.signature.headers,
  };
  switch (reference.kind) {
    case "aci-file": {
      const { examineAciFile, fetchAciFile } = await import("./aci-archive.ts");
      if (request.examineOnly === true) return { ...(await examineAciFile(source)), signature: undefined, origin };
      return {
        ...(await fetchAciFile(job, source, request.anew)),
        signature: await signatureOfFile(job, signature),
        origin,
      };
    }
    case "aci-url": {
      const url = new URL(reference.url);
      const { archive, signature: bytes } = await fetchAciUrl(job, {
        ...{ url, signature, secretHeaders: request.headers, anew: request.anew },
      });
      return { ...archive, signature: bytes, origin };
    }
    case "docker":
      if (request.place === undefined) throw internalError("the fetch worker was not told where a registry is");
      return fetchFrom(job, registrySource(job, reference, request.place), request);
    case "oci-layout":
    case "oci-archive":
    case "docker-archive":
      return fetchFrom(job, await localSource(job, reference, source, request.platform), request);
    default:
      throw internalError(`the fetch worker was asked for a reference of kind ${reference.kind}`);
  }
}

/** What reads archives is loaded only for them: a look at a server whether something has changed need not wait for it. */
async function localSource(
  job: Job,
  reference: LocalReference,
  source: number,
  platform: FetchRequest["platform"],
): Promise<ImageSource> {
  const { archiveFiles, directoryFiles } = await import("./image-files.ts");
  if (reference.kind === "docker-archive") {
    const { dockerArchiveSource } = await import("./docker-archive-source.ts");
    return dockerArchiveSource(reference, await archiveFiles(job, source));
  }
  const { layoutSource } = await import("./layout-source.ts");
  const files = reference.kind === "oci-layout" ? directoryFiles(source) : await archiveFiles(job, source);
  return layoutSource(reference, files, platform);
}

/** Only when `--signature` names a URL: one beside the file is read by the caller, who can look there. */
async function signatureOfFile(job: Job, signature: SignatureUrl | undefined): Promise<Uint8Array | undefined> {
  const bytes = signature && (await fetchSignature(job, signature));
  if (bytes !== "deferred") return bytes;
  throw new RktError("NOT_TRUSTED", "error downloading the signature file: the server deferred it");
}

async function fetchFrom(job: Job, source: ImageSource, request: FetchRequest): Promise<Download> {
  try {
    const download = await fetchOci(
      job,
      source,
      request.platform,
      request.origin,
      request.signaturePlaces,
      request.unpackedNext,
    );
    return request.signature === undefined ? download : await withGivenSignature(job, download, request.signature);
  } finally {
    source.close();
  }
}

/** `--signature URL` for an OCI image: the only one that counts. */
async function withGivenSignature(
  job: Job,
  download: OciDownload,
  { url, headers }: { url: string; headers: Readonly<Record<string, string>> },
): Promise<OciDownload> {
  const bytes = await signatureOfFile(job, { url: new URL(url), secretHeaders: headers });
  const documents = bytes === undefined ? [] : [signatureDocument(bytes)];
  return { ...download, signatures: { indexes: [], ...download.signatures, documents, searched: [redactUrl(url)] } };
}
