/** The caller's side of the verify worker. */

import { RktError } from "../core/errors.ts";
import { workerAccount } from "../host/accounts.ts";
import { startWorker } from "../host/worker.ts";
import type { WorkerRequest } from "./messages.ts";

/** Keys and signatures; archives are only read. */
const LARGEST_FILE = 64 * 1024 * 1024;
/** Seconds of processor time: an archive of 100 GB takes a tenth of it. */
const LONGEST_TIME = 2 * 60 * 60;

export interface VerifyWorker {
  /** The one answer to the one request, undecoded. Throws HOST_PROGRAM when there is none. */
  ask(request: WorkerRequest): Promise<unknown>;
  /** Ends it, asked or not; resolves when it is gone. */
  close(): Promise<void>;
}

/**
 * Starts a verify worker for the signatures of an OCI image before these are known: it starts while they are fetched. Close it in any case.
 */
export function prepareVerifyWorker(): VerifyWorker {
  const worker = start({ kind: "prepare-oci" }, []);
  return { ask: (request) => answerOf(worker, request), close: () => close(worker) };
}

/** The worker's one answer, undecoded. Throws HOST_PROGRAM when there is none. */
export async function askVerifyWorker(request: WorkerRequest, descriptors: readonly number[]): Promise<unknown> {
  const worker = start(request, descriptors);
  try {
    return await answerOf(worker);
  } finally {
    await close(worker);
  }
}

type Worker = ReturnType<typeof startWorker>;

function start(request: WorkerRequest, descriptors: readonly number[]): Worker {
  return startWorker({
    worker: "verify",
    account: process.geteuid?.() === 0 ? workerAccount("rkt-verify") : undefined,
    descriptors,
    request,
    confinement: {
      writable: 0,
      temporary: true,
      network: request.kind === "download" ? "connect" : "none",
      fileSize: LARGEST_FILE,
      time: LONGEST_TIME,
    },
  });
}

/** Only its first word counts. */
async function answerOf(worker: Worker, request?: WorkerRequest): Promise<unknown> {
  if (request !== undefined) worker.send(request);
  for await (const message of worker.messages()) return message;
  throw new RktError("HOST_PROGRAM", "Cannot verify: the verify worker ended without an answer");
}

/** Who becomes a pod afterwards must not have it as a child. It holds nothing that has to be put in order. */
async function close(worker: Worker): Promise<void> {
  worker.kill();
  await worker.ended();
}
