/**
 * The names of a pod's apps and images, and nothing else of its manifests: decoding everything would take most of the time of `rkt list`. Both files were
 * written by rkt, and checked when they were.
 */

import { RktError } from "../core/errors.ts";
import type { Host } from "../host/host.ts";
import type { Pod } from "./find.ts";
import { readPodFile } from "./read.ts";

export interface AppNames {
  readonly name: string;
  readonly imageId: string;
}

/** The apps in the order of the pod manifest. Throws NOT_FOUND or INVALID_INPUT. */
export function appNames(host: Host, pod: Pod): AppNames[] {
  const file = readPodFile(host, pod, "pod");
  if (file === undefined) throw new RktError("NOT_FOUND", "error reading pod manifest: there is none");
  const { apps } = object(file.text, "pod manifest");
  if (apps === null || apps === undefined) return [];
  if (!Array.isArray(apps)) throw invalid("pod manifest", "apps", "a list");
  return apps.map((app: { name?: unknown; image?: { id?: unknown } } | null) => {
    // AC name (spec/types.md): it becomes part of a path.
    if (typeof app?.name !== "string" || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(app.name))
      throw invalid("pod manifest", "apps[].name", "a name");
    if (typeof app.image?.id !== "string") throw invalid("pod manifest", "apps[].image.id", "an image id");
    return { name: app.name, imageId: app.image.id };
  });
}

/** The image of an app: "example.com/app", or "example.com/app:VERSION" when it has that label. Throws NOT_FOUND or INVALID_INPUT. */
export function appImageName(host: Host, pod: Pod, app: string): string {
  const file = readPodFile(host, pod, `appsinfo/${app}/manifest`);
  if (file === undefined) throw new RktError("NOT_FOUND", `app ${app} has no image manifest in the pod`);
  const { name, labels } = object(file.text, "image manifest");
  if (typeof name !== "string") throw invalid("image manifest", "name", "a text");
  const list: { name?: unknown; value?: unknown }[] = Array.isArray(labels) ? labels : [];
  const version = list.find((label) => label?.name === "version")?.value;
  return typeof version === "string" ? `${name}:${version}` : name;
}

function object(json: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new RktError("INVALID_INPUT", `invalid ${what}`, { cause });
  }
  if (typeof value !== "object" || value === null) throw invalid(what, "$", "an object");
  return value as Record<string, unknown>;
}

function invalid(what: string, field: string, expected: string): RktError {
  return new RktError("INVALID_INPUT", `invalid ${what}: ${field}: expected ${expected}`);
}
