/** An app's environment, and the file `rkt/env/APP` in which systemd and `enter` find it. Pure. */

import type { NameValue } from "../../src/spec/appc/mod.ts";

/** What an app gets where its image and the command line say nothing (rkt 1.x). */
const DEFAULTS: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  SHELL: "/bin/sh",
  USER: "root",
  LOGNAME: "root",
  HOME: "/root",
};

/** The app's variables: `declared` wins over the defaults; AC_APP_NAME (and AC_METADATA_URL, when the pod is registered) always hold. */
export function appEnvironment(
  app: string,
  declared: readonly NameValue[],
  metadataUrl: string | undefined,
): Map<string, string> {
  const env = new Map(Object.entries(DEFAULTS));
  for (const { name, value } of declared) env.set(name, value);
  env.set("AC_APP_NAME", app);
  if (metadataUrl !== undefined) env.set("AC_METADATA_URL", metadataUrl);
  return env;
}

/**
 * The text of an environment file (systemd.exec(5), EnvironmentFile=): `NAME=VALUE` lines as rkt 1.x wrote them; a value that the parser would read
 * differently (quotes, backslashes, line breaks, spaces at an end) is quoted.
 */
export function formatEnvironmentFile(env: ReadonlyMap<string, string>): string {
  return [...env].map(([name, value]) => `${name}=${environmentValue(value)}\n`).join("");
}

function environmentValue(value: string): string {
  if (!/[\\"'`$\n\r]|^\s|\s$/.test(value)) return value;
  return `"${value.replace(/[\\"`$]/g, (character) => `\\${character}`)}"`;
}

/** The reverse of {@link formatEnvironmentFile}; lines of another form are left out. */
export function parseEnvironmentFile(text: string): Map<string, string> {
  const env = new Map<string, string>();
  const line = /^([A-Za-z_][^=\n]*)=(?:"((?:[^"\\]|\\[^])*)"|(.*))$/gm;
  for (const [, name = "", quotedValue, plain = ""] of text.matchAll(line)) {
    env.set(name, quotedValue === undefined ? plain : quotedValue.replace(/\\([^])/g, "$1"));
  }
  return env;
}
