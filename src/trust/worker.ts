/**
 * `rkt worker verify`: a process and user of its own for what decides about trust. It gets keys, a signature and an archive as plain bytes, and never unpacks
 * anything; it also downloads keys, so that root does not speak to servers.
 */

import { internalError } from "../core/errors.ts";
import { limitMemory } from "../host/limit-memory.ts";
import { linux } from "../host/mod.ts";
import { answer, answerFailure, requests } from "../host/worker-side.ts";
import { checkSignature } from "./check-signature.ts";
import { downloadSmall } from "./download-small.ts";
import type { DownloadAnswer, PrepareRequest, VerifyAnswer, WorkerRequest } from "./messages.ts";
import type { InspectAnswer, VerifyOciAnswer } from "./oci/verify-messages.ts";

const ARCHIVE = 3;
const MOST_MEMORY = 1024 * 1024 * 1024;

/** Answers one request on stdin with one message on stdout; ends. */
export async function runVerifyWorker(): Promise<void> {
  limitMemory(linux, MOST_MEMORY);
  try {
    for await (const message of requests()) {
      const request = message as WorkerRequest;
      if (request.kind === "prepare-oci") {
        await Promise.all([import("./oci/check-oci.ts"), import("./oci/check-bundle.ts")]);
        continue;
      }
      answer(await carryOut(request));
      break;
    }
  } catch (error) {
    answerFailure(error);
  }
}

type Answer = VerifyAnswer | VerifyOciAnswer | DownloadAnswer | InspectAnswer;

async function carryOut(request: Exclude<WorkerRequest, PrepareRequest>): Promise<Answer> {
  switch (request.kind) {
    case "verify": {
      const [keyring, signature] = [Buffer.from(request.keyring, "base64"), Buffer.from(request.signature, "base64")];
      return { kind: "verdict", ...(await checkSignature(ARCHIVE, keyring, signature)) };
    }
    case "verify-oci":
      return (await import("./oci/check-oci.ts")).checkOci(request);
    case "inspect":
      return (await import("./oci/inspect.ts")).inspect(request);
    case "download":
      return { kind: "content", content: (await downloadSmall(request)).toString("base64") };
    default:
      throw internalError("unknown request to the verify worker");
  }
}
