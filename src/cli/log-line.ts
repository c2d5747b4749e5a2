/** Lines of a pod's log as `rkt logs` prints them. An app chose every byte of a message. */

import { printable } from "../core/text.ts";

export interface LogLine {
  /** Undefined where nobody knows (the console). */
  readonly app: string | undefined;
  /** Nanoseconds since the epoch. */
  readonly time: bigint | undefined;
  /** Without the line break. */
  readonly message: Buffer;
}

export interface LogFormat {
  readonly json: boolean;
  readonly timestamps: boolean;
  /** Each line begins with the name of its app. */
  readonly apps: boolean;
  /** The output is a terminal, which obeys control characters: they are shown, not sent. */
  readonly terminal: boolean;
}

/** With the line break. To anything but a terminal the message's bytes go as they are. */
export function formatLine(line: LogLine, format: LogFormat): Buffer {
  if (format.json) {
    const value = { time: rfc3339(line.time), app: line.app, message: line.message.toString("utf8") };
    return Buffer.from(`${JSON.stringify(value)}\n`);
  }
  const time = format.timestamps ? `${rfc3339(line.time) ?? "-"} ` : "";
  const app = format.apps ? `${line.app ?? "-"} | ` : "";
  const message = format.terminal ? Buffer.from(forTerminal(line.message.toString("utf8"))) : line.message;
  return Buffer.concat([Buffer.from(time + app), message, Buffer.from("\n")]);
}

/** Tabs stay: a terminal does no harm with them. */
function forTerminal(text: string): string {
  return text
    .split("\t")
    .map((part) => printable(part, Number.POSITIVE_INFINITY))
    .join("\t");
}

/** RFC 3339, UTC, with nanoseconds. */
export function rfc3339(time: bigint | undefined): string | undefined {
  if (time === undefined) return undefined;
  const seconds = new Date(Number(time / 1_000_000n)).toISOString().slice(0, -5);
  return `${seconds}.${String(time % 1_000_000_000n).padStart(9, "0")}Z`;
}
