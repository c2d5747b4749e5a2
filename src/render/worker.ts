/** `rkt worker unpack`: the process that turns archives into files. Stage one builds its jail (jail.ts); stage two, confined, does the work. */

import { openSync } from "node:fs";
import { AT_FDCWD, type Host, linux, O } from "../host/mod.ts";
import { answer, answerFailure, requestReader, sayAlive } from "../host/worker-side.ts";
import type { Lower } from "./below.ts";
import { CONFINED, enterJail } from "./jail.ts";
import { unpack } from "./unpack/unpack.ts";
import { decodeRequest, encodeUnpacked, JAIL_BLOB, JAIL_LOWERS, JAIL_TARGET } from "./unpack-protocol.ts";

/** Serves one request; whatever goes wrong is the last message. */
export async function runUnpackWorker(): Promise<void> {
  try {
    if (process.argv.at(-1) !== CONFINED) enterJail(linux);
    answer({ kind: "ready" });
    const next = requestReader(linux);
    answer(encodeUnpacked(await serve(linux, next(), () => void next())));
  } catch (error) {
    answerFailure(error);
  }
}

function serve(host: Host, message: unknown, waitForBelow: () => void): ReturnType<typeof unpack> {
  const request = decodeRequest(message);
  const open = (path: string): Lower => ({
    path,
    fd: host.openat(AT_FDCWD, path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC, 0),
  });
  return unpack(host, {
    format: request.format,
    blob: request.blob,
    filter: request.filter,
    blobFd: openSync(JAIL_BLOB, "r"),
    target: open(JAIL_TARGET),
    lowers: Array.from({ length: request.lowers }, (_, index) => open(`${JAIL_LOWERS}/${index}`)),
    waitForBelow,
    onProgress: sayAlive,
  });
}
