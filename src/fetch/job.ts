/** What every part of one fetch shares. */

import type { Emit } from "../core/events.ts";
import type { Cas } from "./cas.ts";
import type { HttpSettings } from "./http.ts";
import type { TransferError } from "./transfer-error.ts";

export interface Job {
  readonly cas: Cas;
  readonly http: HttpSettings;
  readonly emit: Emit;
  /** Aborted when one part has failed and the others need not go on. */
  readonly signal: AbortSignal | undefined;
  /** Scales the waits between attempts: 1, and less in tests. */
  readonly pace: number;
  /** Fewer attempts than usual: where another server can be asked instead. */
  readonly mostAttempts?: number;
}

/** The job with a signal of its own, for parts that run side by side. */
export function withSignal(job: Job, signal: AbortSignal): Job {
  return { ...job, signal: job.signal === undefined ? signal : AbortSignal.any([job.signal, signal]) };
}

export function debug(job: Job, text: string): void {
  job.emit({ kind: "debug", source: "image", text });
}

/** What {@link withRetries} does between attempts. */
export function retryOptions(job: Job, attempts = 5) {
  return {
    attempts: Math.min(attempts, job.mostAttempts ?? attempts),
    pace: job.pace,
    signal: job.signal,
    onRetry: (error: TransferError, wait: number) => {
      const text = `${error.message}; trying again in ${(wait / 1000).toFixed(1)} s`;
      // A limit that somebody runs into is worth knowing, and why nothing moves meanwhile.
      if (error.status === 429) job.emit({ kind: "notice", source: "image", text });
      else debug(job, text);
    },
  };
}

/** Milliseconds between two progress events of one transfer. */
const PROGRESS_INTERVAL = 100;

/** Reports progress at a bearable rate; the last call (`done` is `total`) always gets through. */
export function progressReporter(
  job: Job,
  label: string,
  direction: "down" | "up" = "down",
): (done: number, total: number | undefined) => void {
  let last = 0;
  return (done, total) => {
    const now = performance.now();
    if (now - last < PROGRESS_INTERVAL && done !== total) return;
    last = now;
    job.emit({ kind: "progress", label, done, total, ...(direction === "up" ? { upload: true } : {}) });
  };
}

/** Runs `task` for every item, at most `width` at once. The first failure aborts the others, and is thrown when all have ended. */
export async function inParallel<T, R>(
  job: Job,
  items: readonly T[],
  width: number,
  task: (job: Job, item: T) => Promise<R>,
): Promise<R[]> {
  const giveUp = new AbortController();
  const inner = withSignal(job, giveUp.signal);
  const results: R[] = [];
  let next = 0;
  let failure: { error: unknown } | undefined;
  const lane = async () => {
    while (next < items.length && failure === undefined) {
      const at = next++;
      try {
        results[at] = await task(inner, items[at] as T);
      } catch (error) {
        failure ??= { error };
        giveUp.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  if (failure !== undefined) throw failure.error;
  return results;
}
