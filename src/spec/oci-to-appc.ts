/**
 * The one place where an OCI image enters the appc vocabulary: its configuration becomes the image manifest that rkt 1.x's conversion (docker2aci 0.17) made
 * of it. Same input, same bytes: lists are sorted, nothing of the host or the clock goes in (but for images that name no platform).
 *
 * What appc cannot say is left out rather than refused, since real images have it: environment names with odd characters, ports and volumes that are none,
 * health checks, stop signals.
 */

import { posix } from "node:path";
import { type Digest, formatDigest } from "../core/digest.ts";
import type { Labels } from "../core/spine.ts";
import { BLANK_APP } from "./appc/app.ts";
import { blankImageManifest } from "./appc/image-manifest.ts";
import { isEnvironmentName, isRfc3339 } from "./appc/lists.ts";
import { sanitizeAcIdentifier, sanitizeAcName } from "./appc/names.ts";
import { appcArch, appcOs, appcOsArch, VALID_OS_ARCH } from "./appc/os-arch.ts";
import type { App, ImageManifest, MountPoint, NameValue, Port } from "./appc/types.ts";
import { jsonText } from "./json-text.ts";
import type { ImageConfig, Platform, ProcessConfig } from "./oci/types.ts";

/** Annotations by which clients (kubelets, Nomad) find the image's origin. */
export const DOCKER_ANNOTATION = {
  originalName: "appc.io/docker/originalname",
  registryUrl: "appc.io/docker/registryurl",
  repository: "appc.io/docker/repository",
  tag: "appc.io/docker/tag",
  imageId: "appc.io/docker/imageid",
  manifestHash: "appc.io/docker/manifesthash",
  entrypoint: "appc.io/docker/entrypoint",
  cmd: "appc.io/docker/cmd",
} as const;

export interface OciImage {
  readonly config: ImageConfig;
  readonly manifestDigest: Digest;
  /** Docker's own id of an image. */
  readonly configDigest?: Digest | undefined;
  /** host[:port]; undefined for an image of a layout or archive. */
  readonly registry: string | undefined;
  /** Path in the registry ("library/busybox"); for a layout its name, if it has one. */
  readonly repository: string | undefined;
  /** Tag or digest ("1.36", "sha256:…"); for a layout the name within it, which may be a whole reference ("example.com/app:1"); "" when there is none. */
  readonly reference: string;
  /** As the user wrote it: "docker://busybox". */
  readonly origin: string;
}

/** The image manifest of an OCI image in appc's vocabulary. Throws INVALID_INPUT only when its name has no usable character. */
export function ociToAppc(image: OciImage): ImageManifest {
  const { name, version } = nameAndVersion(image);
  return {
    ...blankImageManifest(name),
    labels: labelsOf(image.config.platform, version),
    app: appOf(image.config.process),
    annotations: annotationsOf(image),
  };
}

/** Name and labels alone, for records of images. */
export function ociImageName(image: OciImage): { name: string; labels: Labels } {
  const { name, version } = nameAndVersion(image);
  return { name, labels: labelsOf(image.config.platform, version) };
}

/** REGISTRY/REPOSITORY; without a registry the reference if it is a whole one, else the layout's name, else the digest. */
function nameAndVersion(image: OciImage): { name: string; version: string } {
  const { registry, repository = "", reference, manifestDigest } = image;
  if (registry !== undefined) return { name: sanitizeAcIdentifier(`${registry}/${repository}`), version: reference };
  if (reference.includes("/")) {
    const [, path = "", tag = "", digest = ""] = /^([^@]*?)(?::([^/:@]*))?(?:@(.*))?$/s.exec(reference) ?? [];
    if (/[a-z0-9]/i.test(path)) return { name: sanitizeAcIdentifier(path), version: digest || tag };
  }
  const known = /[a-z0-9]/i.test(repository) ? repository : `oci-${manifestDigest.hex.slice(0, 12)}`;
  return { name: sanitizeAcIdentifier(known), version: reference };
}

/** Sorted by name, as the conversion did. A platform that appc has no word for gives no label: running such an image then fails, saying so. */
function labelsOf(platform: Platform, version: string): Labels {
  const unnamed = platform.os === "" && platform.architecture === "";
  const known = unnamed
    ? { os: appcOs(), arch: appcArch() }
    : appcOsArch(platform.os, platform.architecture, platform.variant);
  const labels = [
    { name: "arch", value: known?.arch ?? "" },
    { name: "os", value: known?.os ?? (Object.hasOwn(VALID_OS_ARCH, platform.os) ? platform.os : "") },
    { name: "version", value: version },
  ];
  return labels.filter(({ value }) => value !== "");
}

function annotationsOf(image: OciImage): NameValue[] {
  const { config, reference } = image;
  const created = config.created ?? "";
  const all: [string, string][] = [
    ["authors", config.author ?? ""],
    // An annotation that is not a date would make the whole manifest invalid.
    ["created", isRfc3339(created) ? created : ""],
    ["docker-comment", config.comment ?? ""],
    [DOCKER_ANNOTATION.originalName, image.origin.replace(/^docker:(\/\/)?/, "")],
    [DOCKER_ANNOTATION.registryUrl, image.registry ?? ""],
    [DOCKER_ANNOTATION.repository, image.repository ?? ""],
    [DOCKER_ANNOTATION.tag, reference.includes(":") || reference.includes("/") ? "" : reference],
    [DOCKER_ANNOTATION.imageId, image.configDigest === undefined ? "" : formatDigest(image.configDigest)],
    [DOCKER_ANNOTATION.manifestHash, formatDigest(image.manifestDigest)],
    [DOCKER_ANNOTATION.entrypoint, wordsText(config.process.entrypoint)],
    [DOCKER_ANNOTATION.cmd, wordsText(config.process.cmd)],
  ];
  return all.filter(([, value]) => value !== "").map(([name, value]) => ({ name, value }));
}

function wordsText(words: readonly string[]): string {
  return words.length === 0 ? "" : jsonText(words);
}

function appOf(process: ProcessConfig): App {
  const [user, group] = userAndGroup(process.user);
  return {
    ...BLANK_APP,
    exec: [...process.entrypoint, ...process.cmd],
    user,
    group,
    workingDirectory: process.workingDir === "" ? "" : absolute(process.workingDir),
    environment: environmentOf(process.env),
    mountPoints: mountPointsOf(process.volumes),
    ports: portsOf(process.exposedPorts),
    userLabels: process.labels,
  };
}

/** "" is root; a user alone stands for its group too: stage1 falls back to gid = uid when no group has that name. */
function userAndGroup(text: string): [string, string] {
  const [user = "", group = ""] = text.split(":");
  const known = user === "" ? "0" : user;
  return [known, group === "" ? known : group];
}

/** Later values win, at the place of the first, as in the conversion. */
function environmentOf(env: readonly string[]): NameValue[] {
  const variables = new Map<string, string>();
  for (const word of env) {
    const equals = word.indexOf("=");
    if (equals > 0 && isEnvironmentName(word.slice(0, equals))) {
      variables.set(word.slice(0, equals), word.slice(equals + 1));
    }
  }
  return [...variables].map(([name, value]) => ({ name, value }));
}

/** Named "volume-PATH"; a second path of the same name gets "-1", and so on. */
function mountPointsOf(volumes: readonly string[]): MountPoint[] {
  const used = new Set<string>();
  const points: MountPoint[] = [];
  for (const volume of volumes) {
    const path = absolute(volume);
    // A volume at "/" would hide the whole image.
    if (path === "/") continue;
    const base = sanitizeAcName(`volume${path}`);
    let name = base;
    for (let number = 1; used.has(name); number++) name = sanitizeAcName(`${base}-${number}`);
    used.add(name);
    points.push({ name, path, readOnly: false });
  }
  return points.sort(byName);
}

/** "80/tcp" → 80-tcp; "8000-8009/udp" is a port with a count. */
function portsOf(exposed: readonly string[]): Port[] {
  const ports = new Map<string, Port>();
  for (const text of exposed) {
    const [, first = "", last = first, protocol = "tcp"] =
      /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
    const port = Number(first);
    const count = Number(last) - port + 1;
    if (first === "" || port < 1 || count < 1 || port + count > 65536) continue;
    const name = sanitizeAcName(text);
    ports.set(name, { name, protocol: protocol.toLowerCase(), port, count, socketActivated: false });
  }
  return [...ports.values()].sort(byName);
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** Absolute and without "..", so that nothing of a configuration points out of the root. */
function absolute(path: string): string {
  const clean = posix.normalize(`/${path}`);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}
