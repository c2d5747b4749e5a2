/**
 * Docker's `config.json` and containers' `auth.json`: what they say about credentials. Pure. Sources: docker/cli, cli/config/types; containers-auth.json(5).
 */

import type { RegistryCredentials } from "./config.ts";
import { type Fields, record } from "./fields.ts";

export interface DockerConfig {
  /** By registry, by HOST/PATH, or by an address of old ("https://index.docker.io/v1/"); entries without credentials are left out. */
  readonly auths: ReadonlyMap<string, RegistryCredentials>;
  /** Name of the helper ("secretservice" for docker-credential-secretservice) by registry. */
  readonly credHelpers: ReadonlyMap<string, string>;
  /** The helper for every other registry. */
  readonly credsStore: string | undefined;
}

/** What the file says; undefined for what is no such file. Entries of another form are passed over, as Docker does. The parser's message is not passed on: it quotes the text. */
export function parseDockerConfig(json: string): DockerConfig | undefined {
  let fields: Fields | undefined;
  try {
    fields = record(JSON.parse(json));
  } catch {
    return undefined;
  }
  if (fields === undefined) return undefined;
  const auths = Object.entries(record(fields.auths) ?? {}).flatMap(([key, value]): [string, RegistryCredentials][] => {
    const credentials = credentialsIn(record(value) ?? {});
    return credentials === undefined ? [] : [[placeOf(key), credentials]];
  });
  const helpers = Object.entries(record(fields.credHelpers) ?? {}).flatMap(([key, value]): [string, string][] =>
    isHelperName(value) ? [[placeOf(key), value]] : [],
  );
  return {
    auths: new Map(auths),
    credHelpers: new Map(helpers),
    credsStore: isHelperName(fields.credsStore) ? fields.credsStore : undefined,
  };
}

/** `auth` is base64 of USER:PASSWORD; an identity token takes the password's place. */
function credentialsIn(fields: Fields): RegistryCredentials | undefined {
  const { auth, identitytoken, registrytoken } = fields;
  if (isText(registrytoken)) return { bearer: registrytoken };
  if (isText(identitytoken)) return { refreshToken: identitytoken };
  const decoded = isText(auth) ? Buffer.from(auth, "base64").toString("utf8") : "";
  const colon = decoded.indexOf(":");
  // Docker pads with NUL what it writes.
  const [user, password] =
    colon > 0
      ? [decoded.slice(0, colon), decoded.slice(colon + 1).replace(/\0+$/, "")]
      : [fields.username, fields.password];
  return isText(user) && isText(password) ? { basic: { user, password } } : undefined;
}

/** "https://quay.io/v2/" and "quay.io" are the same place. */
export function placeOf(key: string): string {
  return key
    .replace(/^https?:\/\//i, "")
    .replace(/\/+$/, "")
    .replace(/\/v[12]$/, "");
}

/** Part of a program's name: nothing that could lead elsewhere in the file system. */
function isHelperName(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
