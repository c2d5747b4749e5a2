/**
 * What happened and happens to pods, apps and images, told from what lies on disk: nothing is recorded, so nothing can be lost or get out of step. What is there now
 * says what happened before (facts with their times); a fact that appears, or a pod or image that is gone, is an event.
 */

import type { Engine } from "../core/engine.ts";
import { linux } from "../host/mod.ts";
import {
  appStatus,
  createdAt,
  eachPod,
  isAfterRun,
  markedAt,
  type Pod,
  podManifest,
  podReader,
  startedAt,
} from "../pod/mod.ts";
import { listImages } from "../store/mod.ts";
import { EventType } from "./v1alpha.ts";

export interface RktFact {
  readonly type: number;
  /** The pod's UUID, or the image's id. */
  readonly id: string;
  /** The app's or the image's name; the pod's UUID. */
  readonly from: string;
  /** Nanoseconds since the epoch. */
  readonly time: bigint;
  readonly data: readonly (readonly [key: string, value: string])[];
}

/** Everything that can be told now, oldest first. What cannot be read is left out. */
export function currentFacts(engine: Engine): RktFact[] {
  const facts: RktFact[] = [];
  for (const pod of eachPod(
    podReader(engine.dataDir, linux),
    ["prepare", "prepared", "run", "exited-garbage"],
    () => undefined,
  )) {
    try {
      facts.push(...podFacts(pod));
    } catch {
      // It moved on while it was looked at: the next look sees it where it is then.
    }
  }
  for (const image of listImages(engine.dataDir)) {
    facts.push(fact(EventType.EVENT_TYPE_IMAGE_IMPORTED, image.id, image.name, image.importTime));
  }
  return facts.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

function podFacts(pod: Pod): RktFact[] {
  const { uuid } = pod;
  const created = createdAt(linux, pod) ?? 0n;
  if (pod.state === "preparing") return [];
  if (pod.state === "aborted prepare") return [fact(EventType.EVENT_TYPE_POD_PREPARE_ABORTED, uuid, uuid, created)];
  const facts = [fact(EventType.EVENT_TYPE_POD_PREPARED, uuid, uuid, created)];
  const started = startedAt(linux, pod);
  if (started === undefined) return facts;
  facts.push(fact(EventType.EVENT_TYPE_POD_STARTED, uuid, uuid, started));
  let last = started;
  for (const { name } of podManifest(linux, pod).apps) {
    const status = appStatus(linux, pod, name);
    if (status.started !== undefined) facts.push(fact(EventType.EVENT_TYPE_APP_STARTED, uuid, name, status.started));
    if (status.state !== "exited" || status.exitCode === undefined || status.finished === undefined) continue;
    if (status.finished > last) last = status.finished;
    const code = [["exit_code", String(status.exitCode)]] as const;
    facts.push({ ...fact(EventType.EVENT_TYPE_APP_EXITED, uuid, name, status.finished), data: code });
  }
  if (isAfterRun(pod.state))
    facts.push(fact(EventType.EVENT_TYPE_POD_EXITED, uuid, uuid, last === started ? (markedAt(pod) ?? last) : last));
  return facts;
}

function fact(type: number, id: string, from: string, time: bigint): RktFact {
  return { type, id, from, time, data: [] };
}

/** Milliseconds between two looks. */
const INTERVAL = 500;

/** Calls `tell` with what is new, until `over` says so. What is there at the first look is not new. */
export async function watchFacts(
  engine: Engine,
  tell: (facts: readonly RktFact[]) => void,
  over: () => boolean,
): Promise<void> {
  let before = byKey(currentFacts(engine));
  while (!over()) {
    await Bun.sleep(INTERVAL);
    if (over()) return;
    const now = byKey(currentFacts(engine));
    const fresh = [...now].filter(([key]) => !before.has(key)).map(([, one]) => one);
    const news = [...fresh, ...gone(before, now)];
    if (news.length > 0) tell(news);
    before = now;
  }
}

/** A pod's end is told once, whatever its time turns out to be later. */
function byKey(facts: readonly RktFact[]): Map<string, RktFact> {
  const once: readonly number[] = [EventType.EVENT_TYPE_POD_EXITED, EventType.EVENT_TYPE_IMAGE_IMPORTED];
  return new Map(
    facts.map((one) => [`${one.type} ${one.id} ${one.from} ${once.includes(one.type) ? "" : one.time}`, one]),
  );
}

function gone(before: ReadonlyMap<string, RktFact>, now: ReadonlyMap<string, RktFact>): RktFact[] {
  const there = new Set([...now.values()].map(({ id }) => id));
  const time = BigInt(Date.now()) * 1_000_000n;
  const lost = new Map([...before.values()].filter(({ id }) => !there.has(id)).map((one) => [one.id, one]));
  return [...lost.values()].map((one) =>
    one.type === EventType.EVENT_TYPE_IMAGE_IMPORTED
      ? fact(EventType.EVENT_TYPE_IMAGE_REMOVED, one.id, one.from, time)
      : fact(EventType.EVENT_TYPE_POD_GARBAGE_COLLECTED, one.id, one.id, time),
  );
}

/** "pod-started", "image-imported". */
export function eventName(type: number): string {
  const [name = "unknown"] = Object.entries(EventType).find(([, number]) => number === type) ?? [];
  return name.replace("EVENT_TYPE_", "").toLowerCase().replaceAll("_", "-");
}
