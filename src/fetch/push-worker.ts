/** The push worker: `rkt worker push`. It reads the store's blobs, speaks to one registry with one credential, and writes nothing. */

import { answer, answerEvent, answerFailure, requests } from "../host/worker-side.ts";
import type { Job } from "./job.ts";
import { httpSettings } from "./network.ts";
import { pushManifest } from "./push.ts";
import { PUSH_BLOBS_FD, type PushRequest } from "./push-messages.ts";

/** Serves one request on stdin, answers on stdout, and ends the process. */
export async function runPushWorker(): Promise<void> {
  try {
    for await (const message of requests()) {
      const request = message as PushRequest;
      const job: Job = {
        // It has no directory of downloads: nothing is written.
        cas: { blobs: `/proc/self/fd/${PUSH_BLOBS_FD}`, downloads: "/nonexistent" },
        http: httpSettings(request),
        emit: answerEvent,
        signal: undefined,
        pace: 1,
      };
      await pushManifest(job, request);
      answer({ kind: "pushed" });
      break;
    }
  } catch (error) {
    answerFailure(error);
  }
  process.exit(0);
}
