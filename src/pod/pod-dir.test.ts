import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { newUuid } from "../core/uuid.ts";
import { F, FD_CLOEXEC } from "../host/constants.ts";
import { linux } from "../host/linux.ts";
import { podReader } from "./find.ts";
import { createPod, movePod, stateDirOf, uuidOf } from "./pod-dir.ts";
import { cleanUp, closeLater, dataDir, freePod, lockedPod, lookedAt } from "./test-pods.ts";

afterEach(cleanUp);

describe("a pod directory", () => {
  test("is born locked, close-on-exec, with its time of creation", () => {
    const data = dataDir();
    const made = createPod(data, linux);
    closeLater(made.lockFd);
    expect(made.dir).toBe(data.pod("prepare", made.uuid));
    expect(existsSync(join(made.dir, "pod-created"))).toBe(true);
    expect(linux.fcntl(made.lockFd, F.GETFD, 0) & FD_CLOEXEC).toBe(FD_CLOEXEC);
    expect(readdirSync(data.podsIn("embryo"))).toEqual([]);
    expect(lookedAt(podReader(data, linux), made.uuid).state).toBe("preparing");
  });

  test("keeps its lock when it moves, and knows where it is", () => {
    const data = dataDir();
    const made = lockedPod(data, "run");
    expect(stateDirOf(made.dir)).toBe("run");
    expect(uuidOf(made.dir)).toBe(made.uuid);
    expect(lookedAt(podReader(data, linux), made.uuid).state).toBe("running");
  });

  test("that another process moved cannot be moved", () => {
    const data = dataDir();
    const made = freePod(data, "run");
    movePod(data, linux, made, "exited-garbage");
    expect(() => movePod(data, linux, made, "exited-garbage")).toThrow("another process moved it");
  });

  test("does not take the place of another", () => {
    const data = dataDir();
    const uuid = newUuid();
    mkdirSync(data.pod("embryo", uuid), { recursive: true });
    expect(() => createPod(data, linux, uuid)).toThrow("Cannot create pod");
  });
});
