import { afterEach, describe, expect, test } from "bun:test";
import { closeSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type DataDir, POD_STATE_DIRS } from "../core/data-dir.ts";
import { newUuid, parseUuid } from "../core/uuid.ts";
import { linux } from "../host/linux.ts";
import { eachPod, findPod, LISTED_PLACES, podReader } from "./find.ts";
import { createPod, movePod } from "./pod-dir.ts";
import { podState } from "./state.ts";
import { cleanUp, dataDir, freePod, lookedAt } from "./test-pods.ts";

afterEach(cleanUp);

describe("states", () => {
  test("directory and lock", () => {
    const table = POD_STATE_DIRS.map((place) => [place, podState(place, false, false), podState(place, true, false)]);
    expect(table).toEqual([
      ["embryo", "embryo", "embryo"],
      ["prepare", "aborted prepare", "preparing"],
      ["prepared", "prepared", "prepared"],
      ["run", "exited", "running"],
      ["exited-garbage", "exited garbage", "exited deleting"],
      ["garbage", "garbage", "deleting"],
    ]);
  });

  test("processes left: running without its supervisor", () => {
    expect(podState("run", false, true)).toBe("running");
    expect(podState("exited-garbage", false, true)).toBe("exited garbage");
    const data = dataDir();
    const made = freePod(data);
    const reader = podReader(data, linux);
    const found = lookedAt({ ...reader, processes: { ...reader.processes, populated: () => true } }, made.uuid);
    expect([found.state, found.supervisorLost]).toEqual(["running", true]);
  });

  test("readers do not disturb each other", () => {
    const data = dataDir();
    const made = freePod(data);
    const first = lookedAt(podReader(data, linux), made.uuid);
    const second = lookedAt(podReader(data, linux), made.uuid);
    expect([first.state, second.state]).toEqual(["exited", "exited"]);
  });
});

describe("findPod", () => {
  test("by prefix, in either case, wherever the pod is", () => {
    const data = dataDir();
    for (const place of POD_STATE_DIRS.slice(1)) {
      const made = freePod(data, place);
      const found = lookedAt(podReader(data, linux), made.uuid.slice(0, 13).toUpperCase());
      expect([found.uuid, found.place]).toEqual([made.uuid, place]);
    }
  });

  test("rkt's errors", () => {
    const data = dataDir();
    const reader = podReader(data, linux);
    expect(() => findPod(reader, "AB")).toThrow('no matches found for "ab"');
    expect(() => findPod(reader, newUuid())).toThrow("no matches found");
    expect(() => findPod(reader, "")).toThrow("UUID cannot be empty");
    createPodNamed(data, "aaaaaaaa-0000-4000-8000-000000000001");
    createPodNamed(data, "aaaaaaaa-0000-4000-8000-000000000002");
    expect(() => findPod(reader, "aaaa")).toThrow("ambiguous uuid, 2 matches");
  });

  test("never leaves the data directory", () => {
    const reader = podReader(dataDir(), linux);
    expect(() => findPod(reader, "../../../etc")).toThrow("no matches found");
  });
});

function createPodNamed(data: DataDir, uuid: string): void {
  closeSync(createPod(data, linux, parseUuid(uuid)).lockFd);
}

describe("eachPod", () => {
  test("sorted, listed places only, strangers told", () => {
    const data = dataDir();
    const made = [
      freePod(data, "prepared"),
      freePod(data, "run"),
      freePod(data, "exited-garbage"),
      freePod(data, "garbage"),
    ];
    mkdirSync(join(data.podsIn("run"), "lost+found"));
    const told: string[] = [];
    const uuids = [...eachPod(podReader(data, linux), LISTED_PLACES, (text) => told.push(text))].map(
      ({ uuid }) => uuid,
    );
    expect(uuids).toEqual(
      made
        .slice(0, 3)
        .map(({ uuid }) => uuid)
        .sort(),
    );
    expect(told).toEqual(['skipping "lost+found": it is no pod UUID']);
  });

  test("a pod that moves or goes during the walk is seen once at most", () => {
    const data = dataDir();
    const pods = [freePod(data), freePod(data), freePod(data)].sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
    const [, second, third] = pods;
    if (second === undefined || third === undefined) throw new Error("three pods");
    const seen: string[] = [];
    for (const found of eachPod(podReader(data, linux), LISTED_PLACES, () => {})) {
      if (seen.length === 0) {
        movePod(data, linux, second, "exited-garbage");
        rmSync(third.dir, { recursive: true });
      }
      seen.push(found.state);
    }
    expect(seen).toEqual(["exited", "exited garbage"]);
  });

  test("nothing was ever prepared: no pods, no error", () => {
    expect([...eachPod(podReader(dataDir(), linux), LISTED_PLACES, () => {})]).toEqual([]);
  });
});
