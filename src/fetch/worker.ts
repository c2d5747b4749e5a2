/** The fetch worker: `rkt worker fetch`, a process and user of its own. It eats what strangers wrote, and may write to the store's blobs and nothing else. */

import { readFileSync } from "node:fs";
import { internalError, RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { Download } from "../core/spine.ts";
import { RKT_VERSION } from "../core/version.ts";
import { answer, answerEvent, answerFailure, requests } from "../host/worker-side.ts";
import { fetchAciFile } from "./aci-archive.ts";
import type { Cas } from "./cas.ts";
import { dockerArchiveSource } from "./docker-archive-source.ts";
import { fetchAciUrl, fetchSignature, type SignatureUrl } from "./fetch-aci-url.ts";
import { fetchOci } from "./fetch-oci.ts";
import { archiveFiles, directoryFiles, type ImageFiles } from "./image-files.ts";
import type { ImageSource } from "./image-source.ts";
import type { Job } from "./job.ts";
import { layoutSource } from "./layout-source.ts";
import { encodeDownload, FD, type FetchRequest } from "./messages.ts";
import { registrySource } from "./registry-source.ts";

const IDLE_TIMEOUT = 60_000;

/** Serves one request on stdin, answers on stdout, and ends the process. */
export async function runFetchWorker(): Promise<void> {
  // Group members share the store's files.
  process.umask(0o007);
  try {
    for await (const request of requests()) {
      const cas = { blobs: `/proc/self/fd/${FD.blobs}`, downloads: `/proc/self/fd/${FD.downloads}` };
      const job = jobFor(request as FetchRequest, cas, answerEvent);
      answer(encodeDownload(await performFetch(job, request as FetchRequest, FD.source)));
      break;
    }
  } catch (error) {
    answerFailure(error);
  }
  // Every answer is written; open connections would keep the process for a while.
  process.exit(0);
}

export function jobFor(request: FetchRequest, cas: Cas, emit: Emit): Job {
  return {
    cas,
    http: {
      insecureTls: request.insecureTls,
      insecureHttp: request.insecureHttp,
      proxies: request.proxies,
      certificates: hostCertificates(request.certificateFile),
      userAgent: `rkt/${RKT_VERSION}`,
      idleTimeout: IDLE_TIMEOUT,
    },
    emit,
    signal: undefined,
    pace: 1,
  };
}

/** Does what the request says; `source` is the descriptor of a local image. Throws what the steps throw. */
export async function performFetch(job: Job, request: FetchRequest, source: number): Promise<Download> {
  const { reference, origin } = request;
  const signature = request.signature && {
    url: new URL(request.signature.url),
    secretHeaders: request.signature.headers,
  };
  switch (reference.kind) {
    case "aci-file":
      return { ...(await fetchAciFile(job, source)), signature: await signatureOfFile(job, signature), origin };
    case "aci-url": {
      const url = new URL(reference.url);
      const { archive, signature: bytes } = await fetchAciUrl(job, { url, secretHeaders: request.headers, signature });
      return { ...archive, signature: bytes, origin };
    }
    case "docker":
      return fetchFrom(job, registrySource(job, reference, request.credentials), request);
    case "oci-layout":
      return fetchFrom(job, layoutSource(reference, directoryFiles(source), request.platform), request);
    case "oci-archive":
      return fetchFrom(job, layoutSource(reference, await archiveFiles(job, source), request.platform), request);
    case "docker-archive": {
      const files: ImageFiles = await archiveFiles(job, source);
      return fetchFrom(job, await dockerArchiveSource(reference, files), request);
    }
    default:
      throw internalError(`the fetch worker was asked for a reference of kind ${reference.kind}`);
  }
}

/** Only when `--signature` names a URL: one beside the file is read by the caller, who can look there. */
async function signatureOfFile(job: Job, signature: SignatureUrl | undefined): Promise<Uint8Array | undefined> {
  const bytes = signature && (await fetchSignature(job, signature));
  if (bytes !== "deferred") return bytes;
  throw new RktError("NOT_TRUSTED", "error downloading the signature file: the server deferred it");
}

async function fetchFrom(job: Job, source: ImageSource, request: FetchRequest): Promise<Download> {
  try {
    return await fetchOci(job, source, request.platform, request.origin);
  } finally {
    source.close();
  }
}

/** Where distributions keep the authorities that the host's operator trusts: Debian, Fedora, SUSE, Alpine. */
const CERTIFICATE_FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** The runtime has authorities of its own, but the operator of the host decides (private ones are added, others taken out). */
function hostCertificates(chosen: string | undefined): string | undefined {
  for (const file of chosen === undefined ? CERTIFICATE_FILES : [chosen]) {
    try {
      return readFileSync(file, "utf8");
    } catch {
      // The next one, or the runtime's own.
    }
  }
  return undefined;
}
