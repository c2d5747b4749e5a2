/** A pod as JSON, in rkt 1.30's shape: pod times in seconds, app times in nanoseconds, absent where there is nothing to say. `signal`, `oom`, `restarts`, `last_exit_code`, the pod's own `exit_code`, `denied_calls`, `signer`, `isolation` (of `status`), `pod_name` and `supervisor_lost` are additions. */

import type { Host } from "../host/host.ts";
import {
  appStatus,
  createdAt,
  deniedCalls,
  manifestExpected,
  type Pod,
  podExitStatus,
  podManifest,
  podNetworks,
  startedAt,
} from "../pod/mod.ts";
import type { NameValue, PodManifest, RuntimeApp } from "../spec/appc/mod.ts";
import { ordered, type Writable } from "../spec/json-text.ts";
import type { Isolation } from "../stage1-contract/isolation.ts";
import { logsDeniedCalls } from "../stage1-contract/policies.ts";

const SECOND = 1_000_000_000n;

/** Who signed the image with this id, in words; undefined when nobody here knows. */
export type SignerOf = (imageId: string) => string | undefined;

/** `onProblem` hears of what could not be read; the rest of the pod is still given. */
export function podJson(
  host: Host,
  pod: Pod,
  onProblem: (error: unknown) => void,
  {
    name,
    signerOf = () => undefined,
    isolation,
  }: {
    readonly name?: string | undefined;
    readonly signerOf?: SignerOf;
    readonly isolation?: Isolation | undefined;
  } = {},
): Writable {
  const manifest = attempt(() => (manifestExpected(pod) ? podManifest(host, pod) : undefined), onProblem);
  const networks = attempt(() => podNetworks(host, pod), onProblem) ?? [];
  const seconds = (time: bigint | undefined) => (time === undefined ? undefined : time / SECOND);
  return ordered(
    ["name", pod.uuid],
    ["state", pod.state],
    ["networks", listOrNothing(networks.map(({ fields }) => fields as Writable))],
    ["app_names", listOrNothing((manifest?.apps ?? []).map((app) => app.name))],
    ["apps", manifest && listOrNothing(manifest.apps.map((app) => appJson(host, pod, manifest, app, signerOf)))],
    ["created_at", seconds(createdAt(host, pod))],
    ["started_at", seconds(startedAt(host, pod))],
    ["user_annotations", userMap(manifest?.userAnnotations)],
    ["user_labels", userMap(manifest?.userLabels)],
    ["isolation", isolation && new Map([...isolation].map(([name, about]) => [name, about === "" ? true : about]))],
    ["exit_code", manifest && podExitStatus(host, pod)],
    ["pod_name", name],
    ["supervisor_lost", pod.supervisorLost ? true : undefined],
  );
}

/** One app of a pod. */
export function appJson(
  host: Host,
  pod: Pod,
  manifest: PodManifest,
  app: RuntimeApp,
  signerOf: SignerOf = () => undefined,
): Writable {
  const status = appStatus(host, pod, app.name);
  return ordered(
    ["name", app.name],
    ["state", status.state],
    ["created_at", status.created],
    ["started_at", status.started],
    ["finished_at", status.finished],
    ["exit_code", status.exitCode],
    ["signal", status.signal],
    ["oom", status.oom ? true : undefined],
    ["restarts", status.restarts > 0 ? status.restarts : undefined],
    ["last_exit_code", status.lastExitCode],
    ["denied_calls", logsDeniedCalls(app) ? deniedCalls(host, pod, app.name) : undefined],
    ["image_id", app.image.id],
    ["signer", signerOf(app.image.id)],
    ["mounts", listOrNothing(app.mounts.map((mount) => mountJson(manifest, app, mount)))],
    ["user_annotations", userMap(app.app?.userAnnotations)],
    ["user_labels", userMap(app.app?.userLabels)],
  );
}

function mountJson(manifest: PodManifest, app: RuntimeApp, mount: RuntimeApp["mounts"][number]): Writable {
  const { hostPath, readOnly } = mountDetails(manifest, app, mount);
  return ordered(
    ["name", mount.volume],
    ["container_path", mount.path],
    ["host_path", hostPath],
    ["read_only", readOnly],
  );
}

/** `hostPath` is "" for what is no directory of the host's own. */
export function mountDetails(
  manifest: PodManifest,
  app: RuntimeApp,
  mount: RuntimeApp["mounts"][number],
): { hostPath: string; readOnly: boolean } {
  const volume = mount.appVolume ?? manifest.volumes.find(({ name }) => name === mount.volume);
  const point = app.app?.mountPoints.find(({ path }) => path === mount.path);
  return {
    hostPath: volume?.kind === "host" ? volume.source : "",
    readOnly: volume?.readOnly ?? point?.readOnly ?? false,
  };
}

function listOrNothing(list: readonly Writable[]): readonly Writable[] | undefined {
  return list.length === 0 ? undefined : list;
}

/** A map of Go: its keys sorted. */
function userMap(pairs: readonly NameValue[] | undefined): ReadonlyMap<string, Writable> | undefined {
  if (pairs === undefined || pairs.length === 0) return undefined;
  const sorted = [...pairs].sort((a, b) => (a.name < b.name ? -1 : 1));
  return new Map(sorted.map(({ name, value }) => [name, value]));
}

function attempt<T>(read: () => T, onProblem: (error: unknown) => void): T | undefined {
  try {
    return read();
  } catch (error) {
    onProblem(error);
    return undefined;
  }
}
