/**
 * CIMD URIs (rkt 1.x, "Container Image Distribution"): `cimd:TYPE:v=VERSION:DATA[?QUERY]`. They say what other references say, in one form that programs can store.
 *
 *   cimd:appc:v=0:example.com/app?version=1.0.0&os=linux
 *   cimd:aci-archive:v=0:https%3A%2F%2Fexample.com%2Fapp.aci
 *   cimd:docker:v=0:registry-1.docker.io/library/busybox:latest
 */

import { RktError } from "../core/errors.ts";
import { quoted, redactUrl } from "../core/text.ts";

export type Cimd =
  /** `app`: a name with labels, as parseAppString takes it. */
  | { readonly type: "appc"; readonly app: string }
  | { readonly type: "aci-archive"; readonly url: string }
  | { readonly type: "docker"; readonly reference: string };

/** Throws INVALID_INPUT in rkt's words. */
export function parseCimd(text: string): Cimd {
  const [, type = "", version = "", rest = ""] = /^cimd:([^:]*):([^:]*):(.*)$/is.exec(text) ?? [];
  if (rest === "") throw malformed(`malformed distribution uri: ${quoted(redactUrl(text))}`);
  if (!/^v=[0-9]{1,9}$/.test(version)) throw malformed(`malformed distribution version: ${quoted(version)}`);
  if (version !== "v=0") throw malformed(`unsupported distribution version: ${quoted(version)}`);
  switch (type.toLowerCase()) {
    case "appc":
      return { type: "appc", app: appString(rest) };
    case "aci-archive":
      return { type: "aci-archive", url: decoded(rest) };
    case "docker":
      return { type: "docker", reference: rest };
    default:
      throw malformed(`unknown distribution type: ${quoted(type)}`);
  }
}

function appString(rest: string): string {
  const question = rest.indexOf("?");
  if (question < 0) return rest;
  const labels = [...new URLSearchParams(rest.slice(question + 1))].map(([name, value]) => `,${name}=${value}`);
  // A comma would begin another label than the one that was written.
  const bad = labels.find((label) => label.lastIndexOf(",") > 0);
  if (bad !== undefined) throw malformed(`wrong appc image string ${quoted(rest)}: a label holds a comma`);
  return rest.slice(0, question) + labels.join("");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw malformed(`malformed distribution uri: ${quoted(redactUrl(text))}`);
  }
}

function malformed(message: string): RktError {
  return new RktError("INVALID_INPUT", message, {
    hint: "expected cimd:appc:v=0:NAME?LABEL=VALUE, cimd:aci-archive:v=0:ESCAPED-URL or cimd:docker:v=0:REFERENCE",
  });
}
