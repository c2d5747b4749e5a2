/** The modes that rkt 1.x's flags --stdin, --stdout and --stderr leave in the manifest. */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { RuntimeApp } from "../../src/spec/appc/mod.ts";

export type Stream = "stdin" | "stdout" | "stderr";

/** True when the app is to read nothing, or to be heard by nobody. Throws UNSUPPORTED for the modes that need an attached client. */
export function isSilenced(app: RuntimeApp, stream: Stream): boolean {
  const given = app.annotations.find(({ name }) => name === `coreos.com/rkt/stage2/${stream}`)?.value;
  if (given === "null") return true;
  if (given === undefined || (given === "log" && stream !== "stdin")) return false;
  const expected = stream === "stdin" ? "null" : "log or null";
  throw new RktError(
    "UNSUPPORTED",
    `Cannot give app ${quoted(app.name)} the mode ${quoted(given)} for its ${stream}: expected ${expected}`,
    { hint: "--interactive connects the terminal, or a pipe, to a pod of one app" },
  );
}
