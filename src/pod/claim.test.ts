import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { childrenOf } from "../host/child-processes.ts";
import { linux } from "../host/linux.ts";
import { claimPreparedPod, firstProcess, runningPod } from "./claim.ts";
import { podReader } from "./find.ts";
import { cleanUp, closeLater, dataDir, freePod, lockedPod, lookedAt } from "./test-pods.ts";

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

  test("of a stage1 without a process namespace: the only child, once the pod is ready", async () => {
    const data = dataDir();
    const child = Bun.spawn(["sh", "-c", "sleep 60 & echo up; wait"], { stdout: "pipe" });
    const pod = (prepare: (dir: string) => void) => {
      const made = lockedPod(data);
      writeFileSync(join(made.dir, "ppid"), `${child.pid}\n`);
      prepare(made.dir);
      return lookedAt(podReader(data, linux), made.uuid);
    };
    try {
      await child.stdout.getReader().read();
      expect(
        firstProcess(
          linux,
          pod(() => {}),
        ),
      ).toBeUndefined();
      const ready = pod((dir) => {
        mkdirSync(join(dir, "stage1/rootfs/rkt"), { recursive: true });
        symlinkSync("ready", join(dir, "stage1/rootfs/rkt/supervisor-status"));
      });
      expect(firstProcess(linux, ready)).toBeGreaterThan(child.pid);
    } finally {
      for (const pid of childrenOf(child.pid)) process.kill(pid);
      child.kill();
    }
  });
});
