/** `--seccomp`: rkt 1.x's filters, and profiles in Docker's form. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { callSet } from "../../stage1/nspawn/seccomp.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { type Isolator, type SeccompFilter, seccompIsolator, seccompProfileIsolator } from "../spec/appc/mod.ts";
import type { JsonValue } from "../spec/json-value.ts";

/** `mode=log`, alone (undefined: the app's own filter) or with the calls that a filter would allow; undefined for anything else. Throws USAGE. */
export function loggedFilter(text: string): { readonly isolator: Isolator | undefined } | undefined {
  const words = text.split(",").filter((word) => word !== "");
  if (!words.includes("mode=log")) return undefined;
  const calls = words.filter((word) => word !== "mode=log");
  const setting = calls.find((word) => word.includes("="));
  if (setting !== undefined)
    throw new RktError(
      "USAGE",
      `Cannot use ${quoted(setting)} with --seccomp=mode=log: no call is refused, expected names of calls`,
    );
  if (calls.length === 0) return { isolator: undefined };
  for (const word of calls) callSet(word);
  return { isolator: seccompIsolator({ mode: "retain", set: calls, errno: "EPERM" }) };
}

/** Throws USAGE; for a profile also NOT_FOUND, and INVALID_INPUT naming the field. */
export function seccompFlag(text: string): Isolator {
  if (!text.startsWith("profile=")) return seccompIsolator(parseSeccomp(text));
  const path = resolve(text.slice("profile=".length));
  return seccompProfileIsolator(readProfile(path));
}

function readProfile(path: string): JsonValue {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new RktError("NOT_FOUND", `Cannot read the seccomp profile ${quoted(path)}`, { cause });
  }
  try {
    return JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new RktError("INVALID_INPUT", `Cannot read the seccomp profile ${quoted(path)}: it is not JSON`, { cause });
  }
}

/** `mode=retain|remove,[errno=ENAME,]call[,call…]`. Throws USAGE. */
export function parseSeccomp(text: string): SeccompFilter {
  let mode: string | undefined;
  let errno = "";
  const set: string[] = [];
  for (const word of text.split(",")) {
    if (word.startsWith("mode=")) mode = word.slice("mode=".length);
    else if (word.startsWith("errno=")) errno = word.slice("errno=".length);
    else if (word !== "") set.push(word);
  }
  if (mode !== "retain" && mode !== "remove") {
    throw new RktError(
      "USAGE",
      `Cannot use ${quoted(text)} for --seccomp: expected mode=retain or mode=remove, then system calls; mode=log; or profile=FILE`,
    );
  }
  if (set.length === 0)
    throw new RktError("USAGE", `Cannot use ${quoted(text)} for --seccomp: it names no system call`);
  for (const word of set) callSet(word);
  return { mode, set, errno };
}
