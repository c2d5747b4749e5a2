/**
 * What the user wrote where an image is expected, as a typed reference. On the path of `rkt run`: no heavy imports.
 *
 * The rules and their order are those of rkt 1.30 (`distFromImageString`), plus the transports of today (`docker://` with digests, `oci:`, `oci-archive:`,
 * `docker-archive:`, `sha256:`).
 */

import { statSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { RktError } from "../core/errors.ts";
import type { ImageReference } from "../core/spine.ts";
import { quoted, redactUrl } from "../core/text.ts";
import { isErrno } from "../host/errno.ts";
import { formatAppString, parseAppString } from "../spec/appc/app-string.ts";
import { appcArch, appcOs, withHostLabels } from "../spec/appc/os-arch.ts";
import { parseCimd } from "./cimd.ts";
import { parseDockerReference } from "./docker-reference.ts";

const HASH = /^(sha512-[0-9a-f]{2,128}|sha256:[0-9a-f]{2,64}|sha512:[0-9a-f]{2,128})$/;

/**
 * Parses `text`; relative paths are taken from `cwd`. Looks at the disk only to see whether a plain word is a file. Throws INVALID_INPUT (rkt's words
 * where rkt had some).
 */
export function parseImageReference(text: string, cwd: string): ImageReference {
  if (text === "" || text.includes("\0")) throw invalid(text, "expected the name of an image");
  // A hash comes first, as in rkt: no file of that name can stand in for an image in the store.
  if (HASH.test(text)) return { kind: "hash", text };
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();
  switch (scheme) {
    case "docker":
      return parseDockerReference(text);
    case "oci":
      return layout("oci-layout", text, text.slice("oci:".length), cwd);
    case "oci-archive":
    case "docker-archive":
      return layout(scheme, text, text.slice(scheme.length + 1), cwd);
    case "file":
      return aciFile(text);
    case "http":
    case "https":
      return aciUrl(text);
    case "cimd":
      return cimd(text);
    default:
      if (scheme !== undefined && text.slice(scheme.length).startsWith("://"))
        throw invalid(text, "expected docker://, https://, http:// or file://, or a name without a scheme");
      // Nobody's name begins so: it is a hash that was copied badly, and not to be asked for in the network.
      if (/^sha512-[^/]*$/.test(text)) throw invalid(text, "expected sha512- and 2 to 128 hexadecimal digits");
      return pathOrName(text, cwd);
  }
}

/** The reference as a line for people and records; URLs without credentials and without the values of their query. */
export function formatImageReference(reference: ImageReference): string {
  switch (reference.kind) {
    case "hash":
    case "docker":
      return reference.text;
    case "appc":
      return formatAppString({ name: reference.name, labels: reference.labels.filter(isNoDefault) });
    case "aci-file":
      return reference.path;
    case "aci-url":
      return redactUrl(reference.url);
    default:
      return `${layoutScheme(reference.kind)}:${reference.path}${reference.name === undefined ? "" : `:${reference.name}`}`;
  }
}

/** What a CIMD URI stands for. An archive of it is named by its type, so its path may end in anything. */
function cimd(text: string): ImageReference {
  const parsed = parseCimd(text);
  if (parsed.type === "appc") return appcName(parsed.app);
  if (parsed.type === "docker") return parseDockerReference(`docker://${parsed.reference}`);
  const url = parseUrl(parsed.url);
  if (url.protocol === "file:") return localFile(url, text);
  if (url.protocol === "http:" || url.protocol === "https:") return remoteFile(url);
  throw invalid(text, "expected the URL of a file, or one with http or https");
}

/** Rule 2 of rkt: what has no scheme, or an unknown one, is a file or the name of an App Container image. */
function pathOrName(text: string, cwd: string): ImageReference {
  if (isAbsolute(text) || isRegularFile(resolve(cwd, text))) return { kind: "aci-file", path: resolve(cwd, text) };
  if (text.includes(":")) return appcName(text);
  if (text.includes("./") || text.endsWith(".aci")) return { kind: "aci-file", path: resolve(cwd, text) };
  return appcName(text);
}

/** `os` and `arch` default to this machine's, as in rkt. */
function appcName(text: string): ImageReference {
  const { name, labels } = parseAppString(text);
  return { kind: "appc", name, labels: withHostLabels(labels) };
}

function isNoDefault(label: { name: string; value: string }): boolean {
  return !(label.name === "os" && label.value === appcOs()) && !(label.name === "arch" && label.value === appcArch());
}

function isRegularFile(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
  } catch (error) {
    // A path that cannot be, or that the caller may not look at: the text is a name then.
    if (isErrno(error, "ENAMETOOLONG", "ENOTDIR", "ELOOP", "EACCES")) return false;
    throw error;
  }
}

function aciFile(text: string): ImageReference {
  const url = parseUrl(text);
  if (!url.pathname.endsWith(".aci")) throw invalidImageString(text);
  return localFile(url, text);
}

function aciUrl(text: string): ImageReference {
  const url = parseUrl(text);
  if (!url.pathname.endsWith(".aci")) throw invalidImageString(text);
  return remoteFile(url);
}

function localFile(url: URL, text: string): ImageReference {
  if (url.host !== "" && url.host !== "localhost") throw invalid(text, "expected file:///PATH of this machine");
  return { kind: "aci-file", path: decodePath(url, text) };
}

function remoteFile(url: URL): ImageReference {
  // Credentials belong into auth.d: in a URL they would end up in records and process lists.
  if (url.username !== "" || url.password !== "") {
    const message = `Cannot use ${quoted(redactUrl(url))}: it carries credentials, expected none in the URL`;
    throw new RktError("INVALID_INPUT", message, { hint: "put them into /etc/rkt/auth.d" });
  }
  return { kind: "aci-url", url: url.toString() };
}

function layout(
  kind: "oci-layout" | "oci-archive" | "docker-archive",
  text: string,
  rest: string,
  cwd: string,
): ImageReference {
  // As in skopeo: the first colon ends the path, since a tag of a docker archive holds colons itself.
  const colon = rest.indexOf(":");
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const name = colon < 0 ? undefined : rest.slice(colon + 1);
  if (path === "" || name === "") throw invalid(text, `expected ${layoutScheme(kind)}:PATH[:NAME]`);
  return { kind, path: resolve(cwd, path), name };
}

function layoutScheme(kind: "oci-layout" | "oci-archive" | "docker-archive"): string {
  return kind === "oci-layout" ? "oci" : kind;
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw invalidImageString(text);
  }
}

function decodePath(url: URL, text: string): string {
  try {
    const path = decodeURIComponent(url.pathname);
    if (!path.includes("\0")) return path;
  } catch {
    // A stray "%": reported below like any other URL that names no path.
  }
  throw invalidImageString(text);
}

function invalidImageString(text: string): RktError {
  return new RktError("INVALID_INPUT", `invalid image string ${quoted(redactUrl(text))}`, {
    hint: "the path of a file:, http: or https: image ends in .aci",
  });
}

function invalid(text: string, expected: string): RktError {
  return new RktError("INVALID_INPUT", `invalid image string ${quoted(text)}: ${expected}`);
}
