/** The caller's end of a fetch worker: asked one thing after the other, and never believed unseen. */

import { closeSync, openSync } from "node:fs";
import type { DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import type { Download } from "../core/spine.ts";
import { quoted } from "../core/text.ts";
import { rktGroup, workerAccount } from "../host/accounts.ts";
import type { Confinement } from "../host/confinement.ts";
import { isErrno, O } from "../host/mod.ts";
import { startWorker } from "../host/worker.ts";
import type { ImageEndpoint } from "../spec/appc/discovery.ts";
import { type Answer, type DiscoverRequest, decodeAnswer, type FetchRequest, type WorkerRequest } from "./messages.ts";

export interface FetchSession {
  /** Throws what src/fetch/discover.ts throws. */
  discover(request: DiscoverRequest): Promise<readonly ImageEndpoint[]>;
  /** Throws what {@link fetchImage} throws. */
  fetch(request: FetchRequest): Promise<Download>;
  /** Ends the worker and waits until it is gone: who becomes a pod afterwards must not have it as a child. */
  close(): Promise<void>;
}

/** A worker (or one after the other) with the store's two directories and, if there is one, the image's file or directory (open descriptor, stays the caller's). */
export function openSession(dataDir: DataDir, source: number | undefined, emit: Emit): FetchSession {
  const descriptors = [openStoreDirectory(dataDir.blobs), openStoreDirectory(dataDir.downloads)];
  if (source !== undefined) descriptors.push(source);
  // At once: it starts while its caller looks up certificates and credentials.
  let session: ReturnType<typeof startSession> | undefined = startSession(descriptors, emit);
  let asked = false;
  let told = false;
  const ask = async (request: AskedRequest) => {
    // What has read the answers of one server does not learn the secrets for another, and what knows secrets does not read the answers of another server.
    if (asked && (told || holdsSecrets(request))) {
      await session?.close();
      session = undefined;
    }
    asked = true;
    told = holdsSecrets(request);
    session ??= startSession(descriptors, emit);
    return session.ask(request);
  };
  return {
    async discover(request) {
      const answer = await ask({ task: "discover", request });
      if (answer.kind !== "endpoints") throw endedEarly();
      return answer.endpoints;
    },
    async fetch(request) {
      const answer = await ask({ task: "fetch", request });
      if (answer.kind !== "download") throw endedEarly();
      return answer.download;
    },
    async close() {
      await session?.close();
      for (const fd of descriptors.slice(0, 2)) closeSync(fd);
    },
  };
}

type AskedRequest = Exclude<WorkerRequest, { task: "prepare" }>;

function holdsSecrets({ request }: AskedRequest): boolean {
  if (request.client !== undefined) return true;
  const headers = "reference" in request ? [request.headers, request.signature?.headers ?? {}] : request.headers;
  const credentials = "reference" in request ? (request.place?.credentials ?? {}) : {};
  return [...headers, credentials].some((values) => Object.keys(values).length > 0);
}

/** Two directories of the store to write to, and the network. Sizes and times that no image of today comes near. */
const CONFINEMENT: Confinement = {
  writable: 2,
  temporary: false,
  network: "connect",
  fileSize: 2 ** 40,
  time: 24 * 60 * 60,
};

function startSession(descriptors: readonly number[], emit: Emit) {
  const root = process.geteuid?.() === 0;
  const group = rktGroup();
  const worker = startWorker({
    worker: "fetch",
    account: root ? workerAccount("rkt-fetch") : undefined,
    groups: root && group !== undefined ? [group] : [],
    descriptors,
    request: { task: "prepare" } satisfies WorkerRequest,
    confinement: CONFINEMENT,
  });
  const messages = worker.messages();
  return {
    async ask(request: AskedRequest): Promise<Answer> {
      worker.send(request);
      for (;;) {
        const { value, done } = await messages.next();
        if (done === true) throw endedEarly();
        const answer = decodeAnswer(value);
        if (answer.kind === "event") emit(answer.event);
        else if (answer.kind === "failure") throw answer.error;
        else return answer;
      }
    },
    async close(): Promise<void> {
      // It has nothing left to do: what it stored is on the disk, and an answer that nobody waits for is of no use.
      worker.kill();
      await worker.ended();
      await messages.return(undefined);
    },
  };
}

function endedEarly(): RktError {
  return new RktError("HOST_PROGRAM", "Cannot fetch: the fetch worker ended without an answer");
}

export function openStoreDirectory(path: string): number {
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
