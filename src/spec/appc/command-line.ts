/** Volumes, mounts and ports as flags write them (`--volume`, `--mount`, `--mnt-volume`, `--port`). Errors are INVALID_INPUT in rkt's words. */

import { RktError } from "../../core/errors.ts";
import { parseGoBool } from "../../core/go-bool.ts";
import { quoted } from "../../core/text.ts";
import type { Place } from "../document.ts";
import { ipVersion } from "../ip.ts";
import type { JsonValue } from "../json-value.ts";
import { type AcName, acNameProblem, isAcName } from "./names.ts";
import type { ExposedPort, Mount, Volume } from "./types.ts";
import { readVolume } from "./volume.ts";

/** `--volume NAME,kind=host|empty|tmpfs,source=…,relabel=shared|private,readOnly=BOOL,recursive=BOOL,mode=…,uid=…,gid=…,size=…`. Values are taken literally ("%", "+"). */
export function parseVolume(flag: string): Volume {
  const fields = new Map<string, string>();
  const written = `name=${flag}`;
  for (const part of written.split(",")) {
    const equals = part.indexOf("=");
    if (equals < 0) {
      throw invalid(`malformed string ${quoted(written)} - has a label without a value: ${quoted(part)}`);
    }
    setOnce(fields, part.slice(0, equals), part.slice(equals + 1));
  }
  return volumeOf(fields, flag);
}

/** `--mount volume=V,target=PATH`. "%xx" and "+" in values are decoded, as rkt 1.x did here and not in `--volume`. */
export function parseMount(flag: string): Mount {
  const fields = parseQuery(flag);
  for (const key of fields.keys()) {
    if (key !== "volume" && key !== "target") throw invalid(`unknown mount parameter ${quoted(key)}`);
  }
  const volume = fields.get("volume") ?? "";
  const path = fields.get("target") ?? "";
  if (volume === "") throw invalid("volume must be set");
  if (path === "") throw invalid("path must be set");
  if (!isAcName(volume)) {
    throw invalid(`invalid volume name ${quoted(volume)} in --mount flag ${quoted(flag)}: ${acNameProblem(volume)}`);
  }
  return { volume, path: plain(path), appVolume: undefined };
}

/** `--mnt-volume name=N,kind=…,source=…,target=PATH[,…]` of `rkt app add`: a mount with a volume of its own. */
export function parseMountVolume(flag: string): Mount {
  const fields = parseQuery(flag);
  const path = fields.get("target") ?? "";
  fields.delete("target");
  const appVolume = volumeOf(fields, flag);
  if (path === "") throw invalid("path must be set");
  return { volume: appVolume.name, path: plain(path), appVolume };
}

/** `--port NAME:[HOSTIP:]HOSTPORT` of run and prepare. An IPv6 address stands in brackets (an addition: rkt 1.x could not take one). */
export function parsePort(flag: string): ExposedPort {
  const [, name = "", bracketed, address, port = ""] = /^([^:]*):(?:\[([^\]]*)\]:|([^:]*):)?(.*)$/s.exec(flag) ?? [];
  if (!flag.includes(":")) throw invalid(`${quoted(flag)} is not in name:[ip:]port format`);
  const hostIp = bracketed ?? address;
  if (hostIp !== undefined && ipVersion(hostIp) === 0) throw invalid(`${quoted(hostIp)} is not a valid IP`);
  return { name: portName(name), hostPort: portNumber(port), hostIp, podPort: undefined };
}

/** `--port NAME:PROTO:PODPORT:HOSTIP:HOSTPORT` of `rkt app sandbox`. */
export function parseSandboxPort(flag: string): ExposedPort {
  const parts = /^([^:]*):([^:]*):([^:]*):(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(flag);
  if (parts === null) throw invalid("--port invalid format");
  const [, name = "", protocol = "", podPort = "", bracketed, address = "", hostPort = ""] = parts;
  if (protocol !== "tcp" && protocol !== "udp") throw invalid(`invalid protocol ${quoted(protocol)}`);
  const hostIp = bracketed ?? address;
  if (ipVersion(hostIp) === 0) throw invalid(`could not parse IP ${quoted(hostIp)}`);
  const port = portNumber(podPort);
  if (port === 0) throw invalid("port must be in 1-65535 range");
  return {
    name: portName(name),
    hostPort: portNumber(hostPort),
    hostIp,
    podPort: { name: portName(name), protocol, port, count: 1, socketActivated: false },
  };
}

/** Turns texts into the types that a volume of a manifest has, and decodes that. */
function volumeOf(fields: ReadonlyMap<string, string>, flag: string): Volume {
  const object: Record<string, JsonValue> = {};
  for (const [key, value] of fields) {
    if (["name", "kind", "source", "mode", "size", "relabel"].includes(key)) object[key] = value;
    else if (key === "readOnly" || key === "recursive") object[key] = parseGoBool(value, "INVALID_INPUT");
    else if (key === "uid" || key === "gid") object[key] = parseId(value);
    else throw invalid(`unknown volume parameter ${quoted(key)}`);
  }
  const place: Place = { document: `the volume ${quoted(flag)}`, path: "", value: object };
  return readVolume(place);
}

/** A query string with "," for "&", percent-decoded. */
function parseQuery(flag: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const part of flag.split(/[,&]/)) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const key = equals < 0 ? part : part.slice(0, equals);
    setOnce(fields, unescapeQuery(key), equals < 0 ? "" : unescapeQuery(part.slice(equals + 1)));
  }
  return fields;
}

function unescapeQuery(text: string): string {
  const bad = /%(?![0-9a-fA-F]{2}).{0,2}/s.exec(text)?.[0];
  if (bad !== undefined) throw invalid(`invalid URL escape ${quoted(bad)}`);
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw invalid(`invalid URL escape in ${quoted(text)}: it is not UTF-8`);
  }
}

function setOnce(fields: Map<string, string>, key: string, value: string): void {
  const before = fields.get(key);
  if (before !== undefined) throw invalid(`label ${key} with multiple values [${quoted(before)} ${quoted(value)}]`);
  fields.set(key, value);
}

function parseId(text: string): number {
  if (!/^[+-]?\d{1,15}$/.test(text)) throw invalid(`strconv.Atoi: parsing ${quoted(text)}: invalid syntax`);
  return Number(text);
}

function portName(name: string): AcName {
  if (isAcName(name)) return name;
  throw invalid(`${quoted(name)} is not a valid port name: ${acNameProblem(name)}`);
}

function portNumber(text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) <= 65535) return Number(text);
  throw invalid(`${quoted(text)} is not a valid port number`);
}

/** A path in which a NUL came by "%00" would end early in the kernel. */
function plain(path: string): string {
  if (path.includes("\0")) throw invalid(`Cannot use ${quoted(path)} as a path: it has a NUL character`);
  return path;
}

function invalid(message: string): RktError {
  return new RktError("INVALID_INPUT", message);
}
