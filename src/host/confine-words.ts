/** How the starter of a worker tells it to confine itself (confine-worker.ts). */

/** What a worker may do besides reading programs, libraries, and what the host says about names. */
export interface Confinement {
  /** How many of its descriptors, from 3 on, are directories that it writes to; the rest are read. */
  readonly writable: number;
  /** Whether it needs a directory for temporary files: /tmp. */
  readonly temporary: boolean;
  /** "connect": outgoing connections; "none": no TCP at all. */
  readonly network: "connect" | "none";
  /** Largest file that it may write, bytes. */
  readonly fileSize: number;
  /** Processor time until it is killed, seconds. */
  readonly time: number;
}

/** The word after the worker's name; descriptors and confinement follow. */
export const CONFINE = "confine";

/** Arguments that make `rkt worker NAME` confine itself first. */
export function confineWords(descriptors: number, confinement: Confinement): string[] {
  return [CONFINE, String(descriptors), JSON.stringify(confinement)];
}
