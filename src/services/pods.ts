/** Pods as messages of the API. Of each pod no more is read than was asked for: a thousand are listed in a fraction of a second. */

import type { Host } from "../host/mod.ts";
import {
  appStatus,
  createdAt,
  eachPod,
  firstProcess,
  LISTED_PLACES,
  manifestExpected,
  markedAt,
  type Pod,
  type PodReader,
  podNetworks,
  readPodFile,
  startedAt,
} from "../pod/mod.ts";
import type { Message } from "./protobuf.ts";
import { AppState, PodState } from "./v1alpha.ts";

interface Pair {
  readonly name: string;
  readonly value: string;
}

interface ManifestSummary {
  readonly text: string;
  readonly apps: readonly { readonly name: string; readonly image: string; readonly annotations: readonly Pair[] }[];
  readonly annotations: readonly Pair[];
}

const NOTHING: ManifestSummary = { text: "", apps: [], annotations: [] };

export interface PodFilter {
  readonly ids: readonly string[];
  readonly states: readonly number[];
  readonly app_names: readonly string[];
  readonly image_ids: readonly string[];
  readonly network_names: readonly string[];
  readonly annotations: readonly { readonly Key: string; readonly value: string }[];
  readonly cgroups: readonly string[];
  readonly pod_sub_cgroups: readonly string[];
}

/** The pods that pass one of the filters (none: every pod). What cannot be read is left out. */
export function listPods(reader: PodReader, filters: readonly PodFilter[], detail: boolean): Message[] {
  const pods: Message[] = [];
  for (const pod of eachPod(reader, LISTED_PLACES, () => undefined)) {
    const message = podMessage(reader.host, pod, detail);
    if (filters.length === 0 || filters.some((filter) => passes(message, filter))) pods.push(message);
  }
  return pods;
}

/** One pod. `detail`: also its manifest, and the states of its apps. */
export function podMessage(host: Host, pod: Pod, detail: boolean): Message {
  const manifest = manifestExpected(pod) ? summary(host, pod) : NOTHING;
  const running = pod.state === "running";
  return {
    id: pod.uuid,
    pid: (running ? attempt(() => firstProcess(host, pod)) : undefined) ?? -1,
    state: stateNumber(pod),
    apps: manifest.apps.map((app) => appMessage(host, pod, app, detail)),
    networks: (attempt(() => podNetworks(host, pod)) ?? []).map(({ netName, ip, ip6 }) => ({
      name: netName,
      ipv4: ip ?? "",
      ipv6: ip6 ?? "",
    })),
    manifest: detail ? Buffer.from(manifest.text) : new Uint8Array(),
    annotations: pairs(manifest.annotations),
    cgroup: running ? cgroupOf(host, pod) : "",
    created_at: createdAt(host, pod) ?? 0n,
    started_at: startedAt(host, pod) ?? 0n,
    gc_marked_at: markedAt(pod) ?? 0n,
  };
}

function appMessage(host: Host, pod: Pod, app: ManifestSummary["apps"][number], detail: boolean): Message {
  const base = { name: app.name, image: { id: app.image }, annotations: pairs(app.annotations) };
  if (!detail) return base;
  const status = appStatus(host, pod, app.name);
  const image = imageOf(host, pod, app.name);
  return {
    ...base,
    image: { base_format: { type: 1, version: "0.8.11" }, id: app.image, ...image },
    state:
      status.state === "running"
        ? AppState.APP_STATE_RUNNING
        : status.state === "exited"
          ? AppState.APP_STATE_EXITED
          : AppState.APP_STATE_UNDEFINED,
    exit_code: status.exitCode ?? (status.state === "exited" ? -1 : 0),
  };
}

/** rkt 1.x had no number for "exited deleting". */
function stateNumber({ state }: Pod): number {
  const numbers: Readonly<Record<string, number>> = {
    embryo: PodState.POD_STATE_EMBRYO,
    preparing: PodState.POD_STATE_PREPARING,
    "aborted prepare": PodState.POD_STATE_ABORTED_PREPARE,
    prepared: PodState.POD_STATE_PREPARED,
    running: PodState.POD_STATE_RUNNING,
    exited: PodState.POD_STATE_EXITED,
    "exited garbage": PodState.POD_STATE_GARBAGE,
    garbage: PodState.POD_STATE_GARBAGE,
    deleting: PodState.POD_STATE_DELETING,
  };
  return numbers[state] ?? PodState.POD_STATE_UNDEFINED;
}

/** rkt wrote the manifest, and checked it: names alone are taken from it, not decoded a thousand times. */
function summary(host: Host, pod: Pod): ManifestSummary {
  const text = readPodFile(host, pod, "pod")?.text ?? "";
  const value = attempt(() => JSON.parse(text) as { apps?: unknown; annotations?: unknown });
  if (value === undefined || value === null) return NOTHING;
  const apps = list<{ name?: unknown; image?: { id?: unknown }; annotations?: unknown }>(value.apps).map((app) => ({
    name: String(app.name ?? ""),
    image: String(app.image?.id ?? ""),
    annotations: namedValues(app.annotations),
  }));
  return { text, apps, annotations: namedValues(value.annotations) };
}

function imageOf(host: Host, pod: Pod, app: string): { name: string; version: string } {
  const text = readPodFile(host, pod, `appsinfo/${app}/manifest`)?.text ?? "{}";
  const value = attempt(() => JSON.parse(text) as { name?: unknown; labels?: unknown }) ?? {};
  const version = namedValues(value.labels).find(({ name }) => name === "version")?.value;
  return { name: String(value.name ?? ""), version: version ?? "latest" };
}

function cgroupOf(host: Host, pod: Pod): string {
  const text = readPodFile(host, pod, "subcgroup", 4096)?.text.trim() ?? "";
  return text === "" || text.startsWith("/") ? text : `/${text}`;
}

/** Every field that is given must hold; of ids, states and cgroups one, of what a pod has several of, all. */
function passes(pod: Message, filter: PodFilter): boolean {
  const apps = (pod["apps"] as Message[]).map((app) => String(app["name"]));
  const images = (pod["apps"] as Message[]).map((app) => String((app["image"] as Message)["id"]));
  const networks = (pod["networks"] as Message[]).map((network) => String(network["name"]));
  const cgroup = String(pod["cgroup"]);
  return (
    any(filter.ids, (id) => id === pod["id"]) &&
    any(filter.states, (state) => state === pod["state"]) &&
    filter.app_names.every((name) => apps.includes(name)) &&
    filter.image_ids.every((id) => images.includes(id)) &&
    filter.network_names.every((name) => networks.includes(name)) &&
    hasAll(pod["annotations"] as Message[], filter.annotations) &&
    any(filter.cgroups, (one) => one === cgroup) &&
    // The pod to which a cgroup below it belongs.
    any(filter.pod_sub_cgroups, (one) => cgroup !== "" && (one === cgroup || one.startsWith(`${cgroup}/`)))
  );
}

export function any<T>(wanted: readonly T[], holds: (value: T) => boolean): boolean {
  return wanted.length === 0 || wanted.some(holds);
}

export function hasAll(
  has: readonly Message[],
  wanted: readonly { readonly Key: string; readonly value: string }[],
): boolean {
  return wanted.every(({ Key, value }) => has.some((pair) => pair["Key"] === Key && pair["value"] === value));
}

export function pairs(values: readonly Pair[]): Message[] {
  return values.map(({ name, value }) => ({ Key: name, value }));
}

function namedValues(value: unknown): Pair[] {
  return list<{ name?: unknown; value?: unknown }>(value).map((pair) => ({
    name: String(pair.name ?? ""),
    value: String(pair.value ?? ""),
  }));
}

function list<T>(value: unknown): T[] {
  return Array.isArray(value) ? value : [];
}

function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
