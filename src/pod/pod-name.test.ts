import { afterEach, expect, test } from "bun:test";
import { existsSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newUuid } from "../core/uuid.ts";
import { linux } from "../host/linux.ts";
import { claimPodName, releaseLostNames, releasePodName } from "./claim-pod-name.ts";
import { closePod, findPod, podReader } from "./find.ts";
import { isPodName, podNamesByUuid, uuidOfName } from "./pod-name.ts";
import { cleanUp, dataDir, freePod, lockedPod } from "./test-pods.ts";

afterEach(cleanUp);

test("what can be a name", () => {
  for (const name of ["web", "a", "7", "web-1", "x".repeat(63)]) expect(isPodName(name)).toBe(true);
  const not = ["", "Web", "-a", "a-", "a_b", "a/b", "..", "x".repeat(64), "web.new", newUuid()];
  for (const name of not) expect(isPodName(name)).toBe(false);
});

test("a name belongs to one living pod, and is found where a UUID is", () => {
  const data = dataDir();
  const reader = podReader(data, linux);
  const [first, second] = [lockedPod(data), lockedPod(data)];
  claimPodName(reader, first, "web");
  expect(() => claimPodName(reader, second, "web")).toThrow(`pod ${first.uuid}, which is running, has that name`);
  expect(podNamesByUuid(data)).toEqual(new Map([[first.uuid, "web"]]));
  const found = findPod(reader, "web");
  expect(found.uuid).toBe(first.uuid);
  closePod(linux, found);
});

test("a pod that is over gives its name to the next, and keeps nothing of it", () => {
  const data = dataDir();
  const reader = podReader(data, linux);
  const [over, next] = [freePod(data), lockedPod(data)];
  claimPodName(reader, over, "cafe");
  claimPodName(reader, next, "cafe");
  expect(uuidOfName(data, "cafe")).toBe(next.uuid);
  releasePodName(reader, over.uuid, "cafe");
  expect(uuidOfName(data, "cafe")).toBe(next.uuid);
  releasePodName(reader, next.uuid, "cafe");
  expect(uuidOfName(data, "cafe")).toBeUndefined();
});

test("names of pods that are gone go, and what a killed claim left does not stand in the way", () => {
  const data = dataDir();
  const reader = podReader(data, linux);
  const pod = lockedPod(data);
  claimPodName(reader, pod, "kept");
  symlinkSync(newUuid(), data.podName("lost"));
  symlinkSync(newUuid(), `${data.podName("kept")}.new`);
  releaseLostNames(reader);
  expect(existsSync(data.podName("lost"))).toBe(false);
  claimPodName(reader, pod, "kept");
  expect(readlinkSync(data.podName("kept"))).toBe(pod.uuid);
});

test("a link to anything but a UUID names nothing", () => {
  const data = dataDir();
  const pod = lockedPod(data);
  claimPodName(podReader(data, linux), pod, "x");
  symlinkSync("../run", data.podName("y"));
  writeFileSync(join(data.podNames, "z"), pod.uuid);
  expect([uuidOfName(data, "y"), uuidOfName(data, "z")]).toEqual([undefined, undefined]);
});
