/** The modes that rkt 1.x's flags --stdin, --stdout and --stderr leave in the manifest. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { RuntimeApp } from "../../src/spec/appc/mod.ts";

export const STREAMS = ["stdin", "stdout", "stderr"] as const;
export type Stream = (typeof STREAMS)[number];

/** `stream` and `tty`: for clients that attach. `interactive`: the pod's own terminal, as --interactive. */
export type StreamMode = "null" | "log" | "stream" | "tty" | "interactive";

/** Undefined when the manifest says nothing. Throws UNSUPPORTED for a mode that no stage1 knows. */
export function streamMode(app: RuntimeApp, stream: Stream): StreamMode | undefined {
  const given = app.annotations.find(({ name }) => name === `coreos.com/rkt/stage2/${stream}`)?.value;
  if (given === undefined) return undefined;
  if (given === "null" || given === "stream" || given === "tty" || given === "interactive") return given;
  if (given === "log" && stream !== "stdin") return given;
  throw unsupported(app, stream, given, "null, stream, tty or interactive, and log for output");
}

/** True when the app is to read nothing, or to be heard by nobody. Throws UNSUPPORTED for the modes that need an attached client: of stage1s without a multiplexer. */
export function isSilenced(app: RuntimeApp, stream: Stream): boolean {
  const mode = streamMode(app, stream);
  if (mode === "stream" || mode === "tty")
    throw unsupported(app, stream, mode, stream === "stdin" ? "null" : "log or null");
  return mode === "null";
}

function unsupported(app: RuntimeApp, stream: Stream, given: string, expected: string): RktError {
  return new RktError(
    "UNSUPPORTED",
    `Cannot give app ${quoted(app.name)} the mode ${quoted(given)} for its ${stream}: expected ${expected}`,
    { hint: "--interactive connects the terminal, or a pipe, to a pod of one app" },
  );
}
