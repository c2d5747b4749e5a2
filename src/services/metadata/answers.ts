/**
 * What the metadata service answers (App Container specification, ace.md, "App Container Metadata Service"; status codes and content types: rkt 1.x). Pure but for the
 * registrations: a request in, an answer out.
 */

import { RktError } from "../../core/errors.ts";
import { parseUuid } from "../../core/uuid.ts";
import { type NameValue, parseImageManifest, type RuntimeApp } from "../../spec/appc/mod.ts";
import type { Registration, Registrations } from "./registrations.ts";

export interface MetadataRequest {
  readonly method: string;
  /** Path and query, as they came. */
  readonly target: string;
  readonly contentType: string;
  readonly body: string;
}

export interface MetadataAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const TEXT = "text/plain; charset=us-ascii";
const JSON_TYPE = "application/json";

/** On the unix socket, from `rkt run` and `rkt gc`: PUT /pods/UUID?token=T, PUT /pods/UUID/APP, DELETE /pods/UUID. */
export function answerRegistration(registrations: Registrations, request: MetadataRequest): MetadataAnswer {
  return answered(() => {
    const url = new URL(request.target, "http://localhost");
    const [root, id = "", app, ...rest] = partsOf(url);
    if (root !== "pods" || rest.length > 0) return refusal(404, "not found");
    const uuid = parseUuid(id);
    if (request.method === "PUT" && app === undefined) {
      const token = url.searchParams.get("token") ?? "";
      // The token stands in URLs: what is no word could not be asked with.
      if (!/^[\w-]{1,128}$/.test(token)) return refusal(400, "token missing");
      registrations.addPod(uuid, token, request.body);
      return text("");
    }
    if (request.method === "PUT" && app !== undefined) {
      registrations.addImage(uuid, app, request.body);
      return text("");
    }
    if (request.method === "DELETE" && app === undefined)
      return registrations.remove(uuid) ? text("") : refusal(404, "pod not registered");
    return refusal(405, "method not allowed");
  });
}

/** On the network, from apps: /TOKEN/acMetadata/v1/…; who asks is known by the token alone. */
export function answerPublic(registrations: Registrations, request: MetadataRequest): MetadataAnswer {
  return answered(() => {
    const [token = "", service, version, ...path] = partsOf(new URL(request.target, "http://localhost"));
    if (service !== "acMetadata" || version !== "v1") return refusal(404, "not found");
    const pod = registrations.byToken(token);
    if (pod === undefined) return refusal(401, "metadata by token not found");
    const answer =
      request.method === "POST" ? posted(registrations, pod, path, request) : asked(pod, path, request.method);
    return answer ?? refusal(404, "not found");
  });
}

function asked(pod: Registration, path: readonly string[], method: string): MetadataAnswer | undefined {
  if (method !== "GET" && method !== "HEAD") return refusal(405, "method not allowed");
  const [kind, first, second, third] = path;
  // Names of annotations have slashes of their own.
  const nameFrom = (index: number) => path.slice(index).join("/");
  if (kind === "pod" && path.length === 2) {
    if (first === "annotations") return json(JSON.stringify(pod.manifest.annotations));
    if (first === "manifest") return json(pod.manifestText);
    if (first === "uuid") return text(pod.uuid);
  }
  if (kind === "pod" && first === "annotations" && path.length > 2)
    return annotation(pod.manifest.annotations, nameFrom(2));
  if (kind !== "apps") return undefined;
  const app = pod.manifest.apps.find(({ name }) => name === first);
  const image = pod.images.get(first ?? "");
  if (app === undefined || image === undefined) return refusal(404, "app not found");
  if (second === "annotations" && path.length === 3) return json(JSON.stringify(appAnnotations(app, image)));
  if (second === "annotations" && path.length > 3) return annotation(appAnnotations(app, image), nameFrom(3));
  if (second === "image" && third === "manifest" && path.length === 4) return json(image);
  if (second === "image" && third === "id" && path.length === 4) return text(app.image.id);
  return undefined;
}

function posted(
  registrations: Registrations,
  pod: Registration,
  path: readonly string[],
  request: MetadataRequest,
): MetadataAnswer | undefined {
  const what = path.join("/");
  if (what !== "pod/hmac/sign" && what !== "pod/hmac/verify") return undefined;
  if (!/^application\/x-www-form-urlencoded\b/i.test(request.contentType)) return refusal(400, "form expected");
  const form = new URLSearchParams(request.body);
  const content = form.get("content");
  if (content === null || content === "") return refusal(400, "content missing");
  if (what === "pod/hmac/sign") return text(registrations.sign(pod.uuid, content));
  const signature = form.get("signature");
  const uuid = form.get("uuid");
  if (uuid === null || signature === null) return refusal(400, "uuid or signature missing");
  return registrations.verify(parseUuid(uuid), content, signature) ? text("") : refusal(403, "signature mismatch");
}

/** The image's, and over them the app's own. */
function appAnnotations(app: RuntimeApp, image: string): NameValue[] {
  const merged = new Map(parseImageManifest(image).annotations.map(({ name, value }) => [name as string, value]));
  for (const { name, value } of app.annotations) merged.set(name, value);
  return [...merged].map(([name, value]) => ({ name, value }));
}

function annotation(list: readonly NameValue[], wanted: string): MetadataAnswer {
  const found = list.find(({ name }) => name === wanted);
  return found === undefined ? refusal(404, "annotation not found") : text(found.value);
}

/** Decoded, and without what a slash at the end adds. */
function partsOf(url: URL): string[] {
  return url.pathname
    .replace(/^\/+|\/+$/g, "")
    .split("/")
    .map((part) => decodeURIComponent(part));
}

function answered(make: () => MetadataAnswer): MetadataAnswer {
  try {
    return make();
  } catch (error) {
    if (error instanceof RktError && error.code === "NOT_FOUND") return refusal(404, error.message);
    if (error instanceof RktError || error instanceof URIError || error instanceof TypeError)
      return refusal(400, error.message);
    throw error;
  }
}

function text(body: string): MetadataAnswer {
  return { status: 200, type: TEXT, body };
}

function json(body: string): MetadataAnswer {
  return { status: 200, type: JSON_TYPE, body };
}

function refusal(status: number, message: string): MetadataAnswer {
  return { status, type: TEXT, body: `${message}\n` };
}
