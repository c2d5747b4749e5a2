/** The caller's side of the verify worker. */

import { RktError } from "../core/errors.ts";
import { workerAccount } from "../host/accounts.ts";
import { startWorker } from "../host/worker.ts";
import type { WorkerRequest } from "./messages.ts";

/** Keys and signatures; archives are only read. */
const LARGEST_FILE = 64 * 1024 * 1024;
/** Seconds of processor time: an archive of 100 GB takes a tenth of it. */
const LONGEST_TIME = 2 * 60 * 60;

/** The worker's one answer, undecoded. Throws HOST_PROGRAM when there is none. */
export async function askVerifyWorker(request: WorkerRequest, descriptors: readonly number[]): Promise<unknown> {
  const account = process.geteuid?.() === 0 ? workerAccount("rkt-verify") : undefined;
  const worker = startWorker({
    worker: "verify",
    account,
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
  const answers: unknown[] = [];
  for await (const message of worker.messages()) answers.push(message);
  if (answers.length !== 1)
    throw new RktError("HOST_PROGRAM", `Cannot verify: the verify worker gave ${answers.length} answers, expected 1`);
  return answers[0];
}
