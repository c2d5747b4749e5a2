/**
 * What the library tells while it works. Library code emits these; only src/cli/report.ts turns them into text, so a service can listen to the same events.
 */

export type RktEvent =
  /** A remark that matters: always shown, on stderr. */
  | { kind: "warning"; text: string }
  /** A step, shown with `--debug` only. `source` is the line's prefix: "image", "stage0", "networking", … */
  | { kind: "debug"; source: string; text: string }
  /** A line that is shown unless `--quiet` ("image: remote fetching from URL …"). */
  | { kind: "notice"; source: string; text: string }
  /** Bytes of one transfer, a download unless it is `upload`. `label` is "ACI", "signature", or a short layer digest. `total` is unknown without Content-Length. */
  | { kind: "progress"; label: string; done: number; total: number | undefined; upload?: boolean };

export type Emit = (event: RktEvent) => void;
