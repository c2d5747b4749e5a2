/** The other end of a worker's pipes: how `rkt worker NAME` reads its request and writes its answers. */

import { readSync, writeSync } from "node:fs";
import type { ErrorCode } from "../core/errors.ts";
import { internalError, RktError } from "../core/errors.ts";
import type { RktEvent } from "../core/events.ts";
import { F, O } from "./constants.ts";
import { isErrno } from "./errno.ts";
import type { Host } from "./host.ts";
import { ALIVE } from "./worker-alive.ts";

/** Milliseconds. */
const ALIVE_INTERVAL = 10_000;

/** The last message of a worker that could not do its work: the error in a form that crosses a pipe. */
export interface WorkerFailure {
  kind: "failure";
  code: ErrorCode;
  message: string;
  hint: string | undefined;
}

/** The lines of stdin, parsed. The caller (root) is trusted by the worker. As long as they are read, the caller is told that the worker is alive. */
export async function* requests(): AsyncGenerator<unknown> {
  // Unpacking or hashing a large file says nothing by itself for minutes.
  const alive = setInterval(() => writeLine(ALIVE), ALIVE_INTERVAL);
  alive.unref();
  try {
    let pending = "";
    for await (const chunk of process.stdin) {
      pending += String(chunk);
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) yield JSON.parse(line);
    }
  } finally {
    clearInterval(alive);
  }
}

/** Says that the worker is alive when it has not done so for a while: for work that never comes back to the event loop, which would do it for {@link requests}. */
export function sayAlive(): void {
  const now = performance.now();
  if (now - lastAlive < ALIVE_INTERVAL) return;
  lastAlive = now;
  writeLine(ALIVE);
}

let lastAlive = performance.now();

/**
 * Like {@link requests}, for a worker that must be told something in the middle of synchronous work: each call gives the next line of stdin, parsed, waiting for it. Throws INTERNAL when the caller is gone.
 */
export function requestReader(host: Host): () => unknown {
  host.fcntl(0, F.SETFL, O.NONBLOCK);
  const piece = Buffer.allocUnsafe(65536);
  let pending = "";
  return () => {
    for (let end = pending.indexOf("\n"); ; end = pending.indexOf("\n")) {
      if (end >= 0) {
        const line = Buffer.from(pending.slice(0, end), "latin1").toString("utf8");
        pending = pending.slice(end + 1);
        return JSON.parse(line);
      }
      pending += readSome(piece);
    }
  };
}

/** Bytes of stdin as one character each, since a piece may end within a character of UTF-8. */
function readSome(piece: Buffer): string {
  for (;;) {
    try {
      const length = readSync(0, piece, 0, piece.length, null);
      if (length === 0) throw internalError("the worker's caller is gone");
      return piece.toString("latin1", 0, length);
    } catch (error) {
      if (!isErrno(error, "EAGAIN")) throw error;
      sayAlive();
      Bun.sleepSync(1);
    }
  }
}

/** Writes one message; synchronous, so that order and completeness hold whatever happens next. */
export function answer(message: unknown): void {
  writeLine(JSON.stringify(message));
}

function writeLine(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(1, bytes, offset);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error;
      Bun.sleepSync(1);
    }
  }
}

export function answerEvent(event: RktEvent): void {
  answer({ kind: "event", event });
}

/** Turns whatever was thrown into the last message. */
export function answerFailure(error: unknown): void {
  const failure: WorkerFailure =
    error instanceof RktError
      ? { kind: "failure", code: error.code, message: error.message, hint: error.hint }
      : {
          kind: "failure",
          code: "INTERNAL",
          message: `internal error: ${error instanceof Error ? error.message : String(error)}`,
          hint: undefined,
        };
  answer(failure);
}
