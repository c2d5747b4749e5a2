/**
 * The pods that have registered, in memory and as files: a service that is started again knows them, and the key with which it signs. The files are below /run, gone with
 * the pods when the machine is switched off, and root's alone: they hold the pods' tokens.
 */

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../../core/errors.ts";
import { objectOf } from "../../core/json.ts";
import { quoted } from "../../core/text.ts";
import { isUuid, type PodUuid } from "../../core/uuid.ts";
import { isErrno } from "../../host/errno.ts";
import { type PodManifest, parseImageManifest, parsePodManifest } from "../../spec/appc/mod.ts";

export interface Registration {
  readonly uuid: PodUuid;
  readonly token: string;
  /** As it was registered. */
  readonly manifestText: string;
  readonly manifest: PodManifest;
  /** Image manifests as they were registered, by app. */
  readonly images: ReadonlyMap<string, string>;
}

export interface Registrations {
  byToken(token: string): Registration | undefined;
  /** Throws CONFLICT for a pod or a token that is registered already, INVALID_INPUT for a manifest that is none. */
  addPod(uuid: PodUuid, token: string, manifestText: string): void;
  /** Throws NOT_FOUND for a pod that is not registered or has no such app, INVALID_INPUT. */
  addImage(uuid: PodUuid, app: string, imageText: string): void;
  /** False when it was not registered. */
  remove(uuid: PodUuid): boolean;
  /** HMAC-SHA512 of the pod's UUID and the content, in base64. */
  sign(uuid: PodUuid, content: string): string;
  verify(uuid: PodUuid, content: string, signature: string): boolean;
}

/** Reads what an earlier service left in `directory`, which is made when it is missing. `warn` hears about files that cannot be read. */
export function openRegistrations(directory: string, warn: (text: string) => void): Registrations {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const key = hmacKey(join(directory, "hmac-key"));
  const pods = loadAll(directory, warn);
  const keep = (pod: Registration) => {
    writeWhole(fileOf(directory, pod.uuid), encode(pod));
    pods.set(pod.uuid, pod);
  };
  const signature = (uuid: PodUuid, content: string) =>
    createHmac("sha512", key)
      .update(Buffer.from(uuid.replaceAll("-", ""), "hex"))
      .update(content)
      .digest();
  return {
    byToken: (token) => {
      for (const pod of pods.values()) if (same(pod.token, token) && stillThere(directory, pods, pod)) return pod;
      return undefined;
    },
    addPod: (uuid, token, manifestText) => {
      const known = [...pods.values()].find((pod) => pod.uuid === uuid || same(pod.token, token));
      if (known !== undefined && stillThere(directory, pods, known))
        throw new RktError("CONFLICT", `pod ${quoted(uuid)} cannot be registered: the pod or its token is registered`);
      keep({ uuid, token, manifestText, manifest: parsePodManifest(manifestText), images: new Map() });
    },
    addImage: (uuid, app, imageText) => {
      const pod = pods.get(uuid);
      if (pod === undefined) throw new RktError("NOT_FOUND", `pod ${quoted(uuid)} is not registered`);
      if (!pod.manifest.apps.some(({ name }) => name === app))
        throw new RktError("NOT_FOUND", `pod ${quoted(uuid)} has no app ${quoted(app)}`);
      parseImageManifest(imageText);
      keep({ ...pod, images: new Map([...pod.images, [app, imageText]]) });
    },
    remove: (uuid) => {
      rmSync(fileOf(directory, uuid), { force: true });
      return pods.delete(uuid);
    },
    sign: (uuid, content) => signature(uuid, content).toString("base64"),
    verify: (uuid, content, given) => {
      const wanted = signature(uuid, content);
      const bytes = Buffer.from(given, "base64");
      return bytes.length === wanted.length && timingSafeEqual(bytes, wanted);
    },
  };
}

/** `rkt gc` takes the file away when it finds no service to ask: then the pod is gone. */
function stillThere(directory: string, pods: Map<PodUuid, Registration>, pod: Registration): boolean {
  try {
    readFileSync(fileOf(directory, pod.uuid));
    return true;
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    pods.delete(pod.uuid);
    return false;
  }
}

/** Without a hint, by how long it takes, of how much was right. */
function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function fileOf(directory: string, uuid: PodUuid): string {
  return join(directory, `${uuid}.json`);
}

function hmacKey(path: string): Buffer {
  try {
    const key = readFileSync(path);
    if (key.length === 64) return key;
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  const key = randomBytes(64);
  writeWhole(path, key);
  return key;
}

function writeWhole(path: string, content: string | Buffer): void {
  const temporary = `${path}.new`;
  writeFileSync(temporary, content, { mode: 0o600 });
  renameSync(temporary, path);
}

function encode({ uuid, token, manifestText, images }: Registration): string {
  return JSON.stringify({ uuid, token, manifest: manifestText, images: Object.fromEntries(images) });
}

function loadAll(directory: string, warn: (text: string) => void): Map<PodUuid, Registration> {
  const pods = new Map<PodUuid, Registration>();
  for (const name of readdirSync(directory)) {
    if (!name.endsWith(".json")) continue;
    try {
      const pod = decode(readFileSync(join(directory, name), "utf8"));
      if (`${pod.uuid}.json` === name) pods.set(pod.uuid, pod);
    } catch (error) {
      warn(`cannot read the registration ${quoted(name)}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return pods;
}

function decode(text: string): Registration {
  const { uuid, token, manifest, images } = objectOf(JSON.parse(text));
  if (typeof uuid !== "string" || !isUuid(uuid) || typeof token !== "string" || typeof manifest !== "string")
    throw new RktError("INVALID_INPUT", "expected uuid, token and manifest");
  if (typeof images !== "object" || images === null) throw new RktError("INVALID_INPUT", "expected images");
  const texts = Object.entries(images).map(([app, image]): [string, string] => {
    if (typeof image !== "string") throw new RktError("INVALID_INPUT", "expected images as texts");
    return [app, image];
  });
  return { uuid, token, manifestText: manifest, manifest: parsePodManifest(manifest), images: new Map(texts) };
}
