/** The environment that an app starts with: the manifest's, and what every app can count on (rkt 1.x). */

import type { NameValue } from "../../src/spec/appc/mod.ts";
import type { Identity } from "./identity.ts";

export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Defaults where the manifest is silent; AC_APP_NAME always. BUN_* never reaches an app: for a program on that runtime it is like LD_PRELOAD. */
export function appEnvironment(
  app: string,
  environment: readonly NameValue[],
  identity: Identity,
): Map<string, string> {
  const root = identity.uid === 0;
  const merged = new Map<string, string>([
    ["PATH", DEFAULT_PATH],
    ["SHELL", "/bin/sh"],
    ["USER", identity.name ?? (root ? "root" : String(identity.uid))],
    ["LOGNAME", identity.name ?? (root ? "root" : String(identity.uid))],
    ["HOME", identity.home ?? (root ? "/root" : "/")],
  ]);
  for (const { name, value } of environment) merged.set(name, value);
  merged.set("AC_APP_NAME", app);
  return merged;
}
