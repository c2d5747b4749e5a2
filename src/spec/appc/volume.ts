/** Volumes and mounts of a pod (schema/types/volume.go, schema/pod.go). */

import {
  complaint,
  field,
  isPresent,
  optionalFlag,
  optionalInteger,
  optionalText,
  type Place,
  text,
} from "../document.ts";
import { ordered, type Writable } from "../json-text.ts";
import { MAX_ID } from "./app.ts";
import { positiveUnits } from "./isolator-rules.ts";
import { readName } from "./lists.ts";
import type { Mount, Volume } from "./types.ts";

const DEFAULT_MODE = "0755";

export function readVolume(place: Place): Volume {
  const common = {
    name: readName(field(place, "name")),
    readOnly: optionalFlag(field(place, "readOnly")),
    recursive: optionalFlag(field(place, "recursive")),
  };
  const kind = text(field(place, "kind"));
  const source = text(field(place, "source"));
  const mode = optionalText(field(place, "mode"));
  const uid = optionalInteger(field(place, "uid"), 0, MAX_ID);
  const gid = optionalInteger(field(place, "gid"), 0, MAX_ID);
  const size = field(place, "size");
  const relabel = optionalText(field(place, "relabel"));
  if (relabel !== undefined && relabel !== "shared" && relabel !== "private")
    throw complaint(place, `relabel must be "shared" or "private"`);
  if (kind === "empty" || kind === "tmpfs") {
    if (relabel !== undefined)
      throw complaint(place, `relabel for ${kind} volume cannot be set: it has the pod's label`);
    if (source !== "") throw complaint(place, `source for ${kind} volume must be empty`);
    if (mode !== undefined && !/^[0-7]{1,5}$/.test(mode))
      throw complaint(place, `mode for ${kind} volume must be octal`);
    const owned = { mode: mode ?? DEFAULT_MODE, uid: uid ?? 0, gid: gid ?? 0 };
    if (kind === "tmpfs") return { ...common, kind, size: readSize(size), ...owned };
    if (isPresent(size)) throw complaint(place, "size for empty volume cannot be set (kind=tmpfs has one)");
    return { ...common, kind, ...owned };
  }
  if (kind !== "host") {
    throw complaint(place, 'unrecognized volume kind: should be one of "empty", "host", "tmpfs"');
  }
  if (source === "") throw complaint(place, "source for host volume cannot be empty");
  for (const [name, value] of Object.entries({ mode, uid, gid, size: optionalText(size) })) {
    if (value !== undefined) throw complaint(place, `${name} for host volume cannot be set`);
  }
  if (!source.startsWith("/")) throw complaint(place, "source for host volume must be absolute path");
  return relabel === undefined ? { ...common, kind, source } : { ...common, kind, source, relabel };
}

function readSize(place: Place): string | undefined {
  if (!isPresent(place)) return undefined;
  positiveUnits(place);
  return text(place);
}

export function readMount(place: Place): Mount {
  const appVolume = field(place, "appVolume");
  if (text(field(place, "volume")) === "") throw complaint(place, "volume must be set");
  const path = text(field(place, "path"));
  if (path === "") throw complaint(place, "path must be set");
  return {
    volume: readName(field(place, "volume")),
    path,
    appVolume: isPresent(appVolume) ? readVolume(appVolume) : undefined,
  };
}

export function writeVolume(volume: Volume): Writable {
  const host = volume.kind === "host" ? volume : undefined;
  const own = volume.kind === "host" ? undefined : volume;
  return ordered(
    ["name", volume.name],
    ["kind", volume.kind],
    ["source", host?.source],
    ["relabel", host?.relabel],
    ["readOnly", volume.readOnly],
    ["recursive", volume.recursive],
    ["mode", own?.mode],
    ["uid", own?.uid],
    ["gid", own?.gid],
    ["size", volume.kind === "tmpfs" ? volume.size : undefined],
  );
}

export function writeMount({ volume, path, appVolume }: Mount): Writable {
  return ordered(
    ["volume", volume],
    ["path", path],
    ["appVolume", appVolume === undefined ? undefined : writeVolume(appVolume)],
  );
}
