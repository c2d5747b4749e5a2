import { afterEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { linux } from "../host/linux.ts";
import { claimPreparedPod, runningPod } from "./claim.ts";
import { cleanUp, closeLater, dataDir, freePod, lockedPod } from "./test-pods.ts";

afterEach(cleanUp);

describe("claiming", () => {
  test("a prepared pod once", () => {
    const data = dataDir();
    const made = freePod(data, "prepared");
    const claimed = claimPreparedPod(data, linux, made.uuid.slice(0, 8));
    closeLater(claimed.lockFd);
    expect(claimed.dir).toBe(made.dir);
    expect(() => claimPreparedPod(data, linux, made.uuid)).toThrow("another process is about to run or remove it");
  });

  test("only a prepared pod", () => {
    const data = dataDir();
    const made = freePod(data, "run");
    expect(() => claimPreparedPod(data, linux, made.uuid)).toThrow(`pod "${made.uuid}" is not prepared`);
  });

  test("a running pod: its process, or its supervisor's only child", () => {
    const data = dataDir();
    const made = lockedPod(data);
    writeFileSync(join(made.dir, "pod"), JSON.stringify({ apps: [] }));
    // As systemd-nspawn does: a child that is no init, and ends, before the one that is.
    const script = "sleep 0.1; exec unshare --user --pid --fork --kill-child sleep 60";
    const child = Bun.spawn(["sh", "-c", script]);
    try {
      writeFileSync(join(made.dir, "ppid"), `${child.pid}\n`);
      const running = runningPod(data, linux, made.uuid);
      expect(running.apps).toEqual([]);
      expect(running.pid).toBeGreaterThan(child.pid);
      process.kill(running.pid);
      writeFileSync(join(made.dir, "pid"), "4242\n");
      expect(runningPod(data, linux, made.uuid).pid).toBe(4242);
    } finally {
      child.kill();
    }
    expect(() => runningPod(data, linux, freePod(data).uuid)).toThrow("isn't currently running");
  });
});
