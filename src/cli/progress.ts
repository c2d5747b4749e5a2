/** Progress of downloads and uploads: one live line each on a terminal, a few plain lines elsewhere. */

import { printable } from "../core/text.ts";

interface Download {
  readonly label: string;
  readonly verb: "Downloading" | "Uploading";
  done: number;
  total: number | undefined;
  /** What was printed last where lines are plain: tenths of the total, or tens of megabytes. */
  step: number;
}

export interface Progress {
  update(label: string, done: number, total: number | undefined, upload?: boolean): void;
  /** Runs `print` with the live lines out of its way. */
  aside(print: () => void): void;
}

const REDRAW_MILLISECONDS = 100;
const BAR_WIDTH = 20;
const STEP_BYTES_WITHOUT_TOTAL = 10_000_000;

/** Plain lines: at the start, at every tenth, at the end. */
export function plainProgress(write: (text: string) => void): Progress {
  const downloads = new Map<string, Download>();
  return {
    update(label, done, total, upload) {
      const verb = verbOf(upload);
      const step = Math.floor(total === undefined ? done / STEP_BYTES_WITHOUT_TOTAL : (10 * done) / Math.max(total, 1));
      const known = downloads.get(label);
      const goesOn = known !== undefined && known.done <= done && known.step <= step;
      if (goesOn && known.step === step && done !== total) {
        known.done = done;
        return;
      }
      const finished = done === total;
      if (finished) downloads.delete(label);
      else downloads.set(label, { label, verb, done, total, step });
      write(`${verb} ${printable(label)}: ${amount(done, total)}\n`);
    },
    aside: (print) => print(),
  };
}

/** For programs: an object a line, `{"event":"progress","label":…,"done":…,"total":…}`, in bytes; `total` is null when the server does not say it. */
export function jsonProgress(write: (text: string) => void): Progress {
  return {
    update(label, done, total) {
      write(`${JSON.stringify({ event: "progress", label, done, total: total ?? null })}\n`);
    },
    aside: (print) => print(),
  };
}

/** Live lines, redrawn in place with the control sequences that every terminal since the VT100 knows. */
export function liveProgress(write: (text: string) => void, now: () => number = performance.now): Progress {
  const downloads = new Map<string, Download>();
  let drawn = 0;
  let drawnAt = Number.NEGATIVE_INFINITY;

  const erase = (): void => {
    if (drawn > 0) write(`\x1b[${drawn}A\r\x1b[J`);
    drawn = 0;
  };
  const draw = (): void => {
    erase();
    // Without line wrap a narrow terminal cuts a line off; with it the count of lines to go up would be wrong.
    const lines = [...downloads.values()].map((download) => `${liveLine(download)}\n`);
    if (lines.length > 0) write(`\x1b[?7l${lines.join("")}\x1b[?7h`);
    drawn = lines.length;
    drawnAt = now();
  };
  return {
    update(label, done, total, upload) {
      downloads.set(label, { label, verb: verbOf(upload), done, total, step: 0 });
      const ended = done === total;
      if (!ended && now() - drawnAt < REDRAW_MILLISECONDS) return;
      draw();
      // What is finished stays on the screen as a line like any other, once nothing above it moves any more.
      if ([...downloads.values()].every((download) => download.done === download.total)) {
        downloads.clear();
        drawn = 0;
      }
    },
    aside(print) {
      const hidden = drawn > 0;
      erase();
      print();
      if (hidden) draw();
    },
  };
}

function verbOf(upload: boolean | undefined): Download["verb"] {
  return upload === true ? "Uploading" : "Downloading";
}

function liveLine({ label, verb, done, total }: Download): string {
  const name = `${verb} ${printable(label, 40)}:`;
  if (total === undefined) return `${name} ${amount(done, total)}`;
  const filled = Math.min(BAR_WIDTH, Math.floor((BAR_WIDTH * done) / Math.max(total, 1)));
  const bar = filled >= BAR_WIDTH ? "=".repeat(BAR_WIDTH) : `${"=".repeat(filled)}>`.padEnd(BAR_WIDTH);
  return `${name} [${bar}] ${amount(done, total)}`;
}

function amount(done: number, total: number | undefined): string {
  return total === undefined ? byteUnits(done) : `${byteUnits(done)}/${byteUnits(total)}`;
}

/** Three digits and a decimal unit: "997 KB", "3.2 MB". */
export function byteUnits(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${Number(size.toPrecision(3))} ${units[unit]}`;
}
