/** Pod manifests (spec/pods.md, "Pod Manifest Schema"; schema/pod.go): the `pod` file of a pod directory, and `--pod-manifest`. */

import { quoted } from "../../core/text.ts";
import { RKT_VERSION } from "../../core/version.ts";
import {
  complaint,
  field,
  flag,
  isPresent,
  items,
  optionalInteger,
  type Place,
  readDocument,
  text,
} from "../document.ts";
import { ipVersion } from "../ip.ts";
import { jsonText, ordered, type Writable } from "../json-text.ts";
import { readApp, readPort, writeApp, writeIsolator, writePort } from "./app.ts";
import { readKind } from "./image-manifest.ts";
import { readPodIsolators } from "./isolator-rules.ts";
import {
  readAnnotations,
  readIdentifier,
  readImageId,
  readLabels,
  readName,
  readUserMap,
  readVersion,
  writeList,
  writeNamed,
  writeUserMap,
} from "./lists.ts";
import type { ExposedPort, PodManifest, RuntimeApp, RuntimeImage } from "./types.ts";
import { readMount, readVolume, writeMount, writeVolume } from "./volume.ts";

/** A pod without apps, marked with this rkt's version as rkt 1.x did: a base for spreading. */
export const BLANK_POD_MANIFEST: PodManifest = {
  acVersion: RKT_VERSION,
  apps: [],
  volumes: [],
  isolators: [],
  annotations: [],
  ports: [],
  userAnnotations: [],
  userLabels: [],
};

/** Decodes and checks a pod manifest. Throws INVALID_INPUT naming the field. The caller limits the text's length. */
export function parsePodManifest(json: string): PodManifest {
  const place = readDocument(json, "the pod manifest");
  readKind(place, "PodManifest");
  return {
    acVersion: readVersion(field(place, "acVersion")),
    apps: readUnique(field(place, "apps"), readRuntimeApp, "duplicate apps of name"),
    volumes: readUnique(field(place, "volumes"), readVolume, "duplicate volume name"),
    isolators: readPodIsolators(field(place, "isolators")),
    annotations: readAnnotations(field(place, "annotations")),
    ports: items(field(place, "ports")).map(readExposedPort),
    userAnnotations: readUserMap(field(place, "userAnnotations")),
    userLabels: readUserMap(field(place, "userLabels")),
  };
}

/** Names in one list are paths in one directory: each once. */
function readUnique<T extends { readonly name: string }>(place: Place, read: (item: Place) => T, problem: string): T[] {
  const seen = new Set<string>();
  return items(place).map((item) => {
    const value = read(item);
    if (seen.has(value.name)) throw complaint(item, `${problem} ${quoted(value.name)}`);
    seen.add(value.name);
    return value;
  });
}

function readRuntimeApp(place: Place): RuntimeApp {
  return {
    name: readName(field(place, "name")),
    image: readRuntimeImage(field(place, "image")),
    app: readApp(field(place, "app")),
    readOnlyRootFs: flag(field(place, "readOnlyRootFS")),
    mounts: items(field(place, "mounts")).map(readMount),
    annotations: readAnnotations(field(place, "annotations")),
  };
}

function readRuntimeImage(place: Place): RuntimeImage {
  const name = field(place, "name");
  return {
    name: isPresent(name) ? readIdentifier(name) : undefined,
    id: readImageId(field(place, "id")),
    labels: readLabels(field(place, "labels")),
  };
}

function readExposedPort(place: Place): ExposedPort {
  const podPort = field(place, "podPort");
  const hostIp = text(field(place, "hostIP"));
  if (hostIp !== "" && ipVersion(hostIp) === 0)
    throw complaint(field(place, "hostIP"), `invalid IP address: ${quoted(hostIp)}`);
  return {
    name: readName(field(place, "name")),
    hostPort: optionalInteger(field(place, "hostPort"), 0, 65535) ?? 0,
    hostIp: hostIp === "" ? undefined : hostIp,
    podPort: isPresent(podPort) ? readPort(podPort) : undefined,
  };
}

/** JSON text as rkt 1.x writes it (empty lists of the pod itself as null); `indent` "\t" for `cat-manifest`. Parsing it gives an equal manifest. */
export function formatPodManifest(manifest: PodManifest, indent = ""): string {
  const json = ordered(
    ["acVersion", manifest.acVersion],
    ["acKind", "PodManifest"],
    ["apps", manifest.apps.map(writeRuntimeApp)],
    ["volumes", writeList(manifest.volumes, writeVolume) ?? null],
    ["isolators", writeList(manifest.isolators, writeIsolator) ?? null],
    ["annotations", writeNamed(manifest.annotations) ?? null],
    ["ports", writeList(manifest.ports, writeExposedPort) ?? null],
    ["userAnnotations", writeUserMap(manifest.userAnnotations)],
    ["userLabels", writeUserMap(manifest.userLabels)],
  );
  return jsonText(json, indent);
}

function writeRuntimeApp({ name, image, app, readOnlyRootFs, mounts, annotations }: RuntimeApp): Writable {
  return ordered(
    ["name", name],
    ["image", ordered(["name", image.name], ["id", image.id], ["labels", writeNamed(image.labels)])],
    ["app", writeApp(app)],
    ["readOnlyRootFS", readOnlyRootFs || undefined],
    ["mounts", writeList(mounts, writeMount)],
    ["annotations", writeNamed(annotations)],
  );
}

function writeExposedPort({ name, hostPort, hostIp, podPort }: ExposedPort): Writable {
  return ordered(
    ["name", name],
    ["hostPort", hostPort],
    ["hostIP", hostIp],
    ["podPort", podPort === undefined ? undefined : writePort(podPort)],
  );
}
