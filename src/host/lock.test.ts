import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linux } from "./linux.ts";
import { lockWithBackoff, tryLock, unlock } from "./lock.ts";
import { recordingHost } from "./recording.ts";

const dir = mkdtempSync(join(tmpdir(), "rkt-lock-"));
const open: number[] = [];
const descriptor = () => {
  const fd = openSync(dir, "r");
  open.push(fd);
  return fd;
};
afterEach(() => {
  for (const fd of open.splice(0)) closeSync(fd);
});
afterAll(() => rmSync(dir, { recursive: true }));

describe("tryLock", () => {
  test("an exclusive lock shuts out both kinds; a shared one only the exclusive", () => {
    const [a, b] = [descriptor(), descriptor()];
    expect(tryLock(linux, a, "exclusive")).toBe(true);
    expect(tryLock(linux, b, "shared")).toBe(false);
    expect(tryLock(linux, a, "shared")).toBe(true);
    expect(tryLock(linux, b, "shared")).toBe(true);
    expect(tryLock(linux, b, "exclusive")).toBe(false);
  });

  test("other refusals are errors", () => {
    const recording = recordingHost();
    recording.fail("flock", 9);
    expect(() => tryLock(recording.host, 5, "shared")).toThrow("EBADF");
  });
});

describe("lockWithBackoff", () => {
  test("waits until the holder lets go, and tells once", async () => {
    const [a, b] = [descriptor(), descriptor()];
    tryLock(linux, a, "exclusive");
    setTimeout(() => unlock(linux, a), 30);
    let told = 0;
    await lockWithBackoff(linux, b, "exclusive", { what: "it", onWait: () => void told++ });
    expect(told).toBe(1);
    expect(tryLock(linux, a, "shared")).toBe(false);
  });

  test("gives up after the time-out", async () => {
    const [a, b] = [descriptor(), descriptor()];
    tryLock(linux, a, "exclusive");
    await expect(lockWithBackoff(linux, b, "shared", { what: "the pod", timeout: 20 })).rejects.toThrow(
      "Cannot lock the pod: another process holds its lock",
    );
  });
});
