/** Root's end of an unpacker: started early, used once. */

import { RktError } from "../core/errors.ts";
import { startWorker } from "../host/worker.ts";
import { JAIL_LAUNCHER } from "./jail.ts";
import type { Unpacked } from "./unpack/unpack.ts";
import {
  BELOW_FILLED,
  decodeAnswer,
  encodeRequest,
  type Jail,
  type UnpackAnswer,
  type UnpackRequest,
} from "./unpack-protocol.ts";

export interface Unpacker {
  /**
   * Does the work; `belowFilled` resolves when the layers below, if there are any, have all that will be in them. The process may still be there afterwards, on its way out: {@link Unpacker.stop} before relying on the layer. Throws what the
   * unpacker found wrong with the archive, or HOST_PROGRAM when it died.
   */
  unpack(request: UnpackRequest, belowFilled: Promise<void>): Promise<Unpacked>;
  /** Ends it at once, wherever it is; resolves when it, and all it started, is gone. */
  stop(): Promise<void>;
}

/** Starts the process and lets it build its jail; the paths must exist and keep their names. Failures show in {@link Unpacker.unpack}. */
export function startUnpacker(jail: Jail): Unpacker {
  const worker = startWorker({
    worker: "unpack",
    account: undefined,
    launcher: JAIL_LAUNCHER,
    descriptors: [],
    request: jail,
  });
  const messages = worker.messages();
  const next = async (): Promise<UnpackAnswer | undefined> => {
    const { value, done } = await messages.next();
    return done === true ? undefined : decodeAnswer(value);
  };
  // Reading begins at once: a pipe that nobody reads would show an early end only much later.
  const first = next();
  first.catch(() => {});

  async function unpack(request: UnpackRequest, belowFilled: Promise<void>): Promise<Unpacked> {
    if ((await first)?.kind !== "ready") throw noAnswer();
    worker.send(encodeRequest(request));
    if (request.lowers > 0) belowFilled.then(() => worker.send(BELOW_FILLED)).catch(() => {});
    const answer = await next();
    worker.kill();
    if (answer?.kind !== "unpacked") throw noAnswer();
    return answer.unpacked;
  }

  async function stop(): Promise<void> {
    worker.kill();
    // An answer stream that is left half read never closes, and the worker then never counts as ended.
    messages.return(undefined).catch(() => {});
    await worker.ended();
  }

  return { unpack, stop };
}

function noAnswer(): RktError {
  return new RktError("HOST_PROGRAM", "Cannot unpack: the unpack worker ended without an answer");
}
