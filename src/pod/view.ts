/** What is in a pod: read lazily, one question a function, because `list` asks little of many pods and `status` much of one. */

import { lstatSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { isObject } from "../core/json.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import type { Pod } from "./find.ts";
import { podFileTime, readPodFile, readPodLink, readPodNumber } from "./read.ts";

/** True where a manifest must be: earlier it may be missing, and of a pod being deleted it may be gone. */
export function manifestExpected(pod: Pod): boolean {
  return (
    pod.place === "prepared" || pod.state === "running" || pod.state === "exited" || pod.state === "exited garbage"
  );
}

/** Nanoseconds since the epoch. Undefined only for a pod that crashed before its first file. */
export function createdAt(host: Host, pod: Pod): bigint | undefined {
  return podFileTime(host, pod, "pod-created") ?? podFileTime(host, pod, "pod"); // rkt before 1.20 wrote no pod-created
}

/** When the stage1 wrote the pod's process id; undefined for a pod that never got there. */
export function startedAt(host: Host, pod: Pod): bigint | undefined {
  if (pod.place !== "run" && pod.place !== "exited-garbage") return undefined;
  // The supervisor's first: an app that it starts again has another process each time.
  return podFileTime(host, pod, "ppid") ?? podFileTime(host, pod, "pid");
}

/** When gc (or rm) put the pod among the garbage: the directory's ctime, which rename(2) sets. */
export function markedAt(pod: Pod): bigint | undefined {
  if (pod.place !== "exited-garbage" && pod.place !== "garbage") return undefined;
  return changedAt(pod);
}

/** ctime of the pod's directory; undefined when the pod was moved or removed meanwhile. */
export function changedAt(pod: Pod): bigint | undefined {
  try {
    return lstatSync(pod.dir, { bigint: true }).ctimeNs;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** One network of net-info.json, with every field that is there (rkt 1.x: netName netConf pluginPath ifName ip args mask). */
export interface PodNetwork {
  readonly netName: string;
  readonly ip: string | null;
  /** An addition. */
  readonly ip6: string | undefined;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The pod's networks; none for host networking, and for a pod that has no network any more. Throws INVALID_INPUT. */
export function podNetworks(host: Host, pod: Pod): PodNetwork[] {
  if (pod.state !== "running" && pod.state !== "exited") return [];
  const file = readPodFile(host, pod, "net-info.json");
  if (file === undefined) return [];
  let list: unknown;
  try {
    list = JSON.parse(file.text);
  } catch (cause) {
    throw new RktError("INVALID_INPUT", `Cannot read the networks of pod ${pod.uuid}`, { cause });
  }
  if (list === null) return [];
  if (!Array.isArray(list)) throw networkError(pod);
  return list.map((entry: unknown) => readNetwork(pod, entry));
}

function readNetwork(pod: Pod, entry: unknown): PodNetwork {
  if (!isObject(entry)) throw networkError(pod);
  const { netName, ip, ip6 } = entry;
  if (typeof netName !== "string") throw networkError(pod);
  const address = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);
  return { netName, ip: address(ip) ?? null, ip6: address(ip6), fields: { ...entry } };
}

function networkError(pod: Pod): RktError {
  return new RktError("INVALID_INPUT", `Cannot read the networks of pod ${pod.uuid}: expected a list of networks`);
}

/** The process that the stage1 recorded: the pod's own for fly and kvm, the supervisor's for nspawn. */
export function recordedPid(host: Host, pod: Pod): number | undefined {
  return readPodNumber(host, pod, "pid") ?? readPodNumber(host, pod, "ppid");
}

/** The stage1 says that the pod's init has started the apps. fly has no init: there the recorded process is the app. */
export function isReady(host: Host, pod: Pod): boolean {
  if (pod.state !== "running") return false;
  if (wasReady(host, pod)) return true;
  return podFileTime(host, pod, "pgid") !== undefined && readPodNumber(host, pod, "pid") !== undefined;
}

/** The stage1's mark that it has started the apps. rkt 1.x: "ready". systemd makes ours, and names the whole path (stage1/nspawn/units.ts). */
export function wasReady(host: Host, pod: Pod): boolean {
  const mark = readPodLink(host, pod, "stage1/rootfs/rkt/supervisor-status");
  return mark === "ready" || mark === "/rkt/ready";
}
