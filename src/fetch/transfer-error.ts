/** Failures of a transfer, with what is needed to decide whether trying again can help. */

import { type ErrorCode, type ErrorDetails, RktError } from "../core/errors.ts";

export interface TransferDetails extends ErrorDetails {
  /** Trying again in a moment may succeed. */
  temporary: boolean;
  /** The answer's status, if there was an answer. */
  status?: number | undefined;
  /** Milliseconds that the server asked to wait. */
  retryAfter?: number | undefined;
}

export class TransferError extends RktError {
  readonly temporary: boolean;
  readonly status: number | undefined;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, details: TransferDetails) {
    super(code, message, details);
    this.name = "TransferError";
    this.temporary = details.temporary;
    this.status = details.status;
    this.retryAfter = details.retryAfter;
  }
}

/** Waits between attempts: half a second, doubled each time, with jitter so that a fleet does not come back in step. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;

export interface RetryOptions {
  attempts: number;
  /** Scales the waits (tests). */
  pace: number;
  signal: AbortSignal | undefined;
  /** Called before each wait. */
  onRetry(error: TransferError, waitMilliseconds: number): void;
}

/**
 * Runs `attempt` until it succeeds, fails for good, or `attempts` in a row brought nothing. An attempt that reports progress (by calling its argument) starts
 * the count anew: a big download over a bad line must not end at the fifth interruption.
 */
export async function withRetries<T>(options: RetryOptions, attempt: (progress: () => void) => Promise<T>): Promise<T> {
  let failures = 0;
  for (;;) {
    try {
      return await attempt(() => {
        failures = 0;
      });
    } catch (error) {
      failures += 1;
      if (!(error instanceof TransferError) || !error.temporary || failures >= options.attempts) throw error;
      // Asking again before the server's time only makes a limit last longer; the error says when.
      if ((error.retryAfter ?? 0) > LONGEST_WAIT) throw error;
      const wait = Math.min(error.retryAfter ?? FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT) * options.pace;
      const jittered = wait * (0.75 + Math.random() / 2);
      options.onRetry(error, jittered);
      await pause(jittered, options.signal);
    }
  }
}

/** Waits; an abort ends the wait with its reason. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  const onAbort = () => reject(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
