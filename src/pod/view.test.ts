import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { linux } from "../host/linux.ts";
import { appStatus, exitStatuses } from "./app-status.ts";
import { podReader } from "./find.ts";
import { appImageName, appNames } from "./names.ts";
import { cleanUp, dataDir, freePod, lockedPod, lookedAt } from "./test-pods.ts";
import { treesInUse } from "./trees-in-use.ts";
import { createdAt, isReady, podNetworks, recordedPid, startedAt } from "./view.ts";

afterEach(cleanUp);

describe("what is in a pod", () => {
  const image = `sha512-${"ab".repeat(32)}`;

  test("names, networks, times, process", () => {
    const data = dataDir();
    const made = freePod(data);
    const file = (name: string, text: string) => {
      mkdirSync(join(made.dir, name, ".."), { recursive: true });
      writeFileSync(join(made.dir, name), text);
    };
    file("pod", JSON.stringify({ apps: [{ name: "web", image: { id: image } }] }));
    file("appsinfo/web/manifest", JSON.stringify({ name: "a.b/c", labels: [{ name: "version", value: "1" }] }));
    file(
      "net-info.json",
      '[{"netName":"default","ip":"10.1.2.3","mask":"255.0.0.0","ip6":"fd00::3","prefix6":64},{"netName":"x","ip":null}]',
    );
    file("ppid", "77\n");
    utimesSync(join(made.dir, "ppid"), 1000, 1000);
    const found = lookedAt(podReader(data, linux), made.uuid);
    expect(appNames(linux, found)).toEqual([{ name: "web", imageId: image }]);
    expect(appImageName(linux, found, "web")).toBe("a.b/c:1");
    expect(podNetworks(linux, found).map(({ netName, ip, ip6 }) => [netName, ip, ip6])).toEqual([
      ["default", "10.1.2.3", "fd00::3"],
      ["x", null, undefined],
    ]);
    expect(recordedPid(linux, found)).toBe(77);
    expect(startedAt(linux, found)).toBe(1_000_000_000_000n);
    expect(createdAt(linux, found)).toBeGreaterThan(0n);
    expect(() => appImageName(linux, found, "other")).toThrow("has no image manifest");
  });

  test("an app's name may not lead out of the pod", () => {
    const data = dataDir();
    const made = freePod(data);
    writeFileSync(join(made.dir, "pod"), JSON.stringify({ apps: [{ name: "../x", image: { id: image } }] }));
    expect(() => appNames(linux, lookedAt(podReader(data, linux), made.uuid))).toThrow("apps[].name");
  });

  test("statuses: signals, memory, times; from the overlay's upper directory when nothing is mounted", () => {
    const data = dataDir();
    const made = freePod(data);
    const tree = `deps-sha512-${"cd".repeat(32)}`;
    const status = join(made.dir, "overlay", tree, "upper/rkt/status");
    mkdirSync(status, { recursive: true });
    writeFileSync(join(made.dir, "stage1TreeStoreID"), tree);
    writeFileSync(join(status, "web"), "9\n");
    writeFileSync(join(status, "web.result"), "code=killed\nstatus=KILL\nresult=oom-kill\n");
    writeFileSync(join(status, "db"), "3");
    utimesSync(join(status, "db"), 2000, 2000);
    const found = lookedAt(podReader(data, linux), made.uuid);
    expect(appStatus(linux, found, "web")).toMatchObject({
      state: "exited",
      exitCode: 137,
      signal: "SIGKILL",
      oom: true,
    });
    expect(appStatus(linux, found, "db")).toMatchObject({
      exitCode: 3,
      signal: undefined,
      oom: false,
      finished: 2_000_000_000_000n,
    });
    expect(appStatus(linux, found, "none")).toMatchObject({ state: "exited", exitCode: undefined });
    expect([...exitStatuses(linux, found, ["db", "none", "web"])]).toEqual([
      ["db", 3],
      ["web", 137],
    ]);
  });

  test("what the pod's root put in place of a status is not followed", () => {
    const data = dataDir();
    const made = freePod(data);
    const rkt = join(made.dir, "stage1/rootfs/rkt");
    const outside = join(data.root, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "web"), "42");
    mkdirSync(rkt, { recursive: true });
    symlinkSync(outside, join(rkt, "status"));
    const reader = podReader(data, linux);
    expect(appStatus(linux, lookedAt(reader, made.uuid), "web").exitCode).toBeUndefined();
    rmSync(join(rkt, "status"));
    mkdirSync(join(rkt, "status"));
    symlinkSync(join(outside, "web"), join(rkt, "status/web"));
    expect(appStatus(linux, lookedAt(reader, made.uuid), "web").exitCode).toBeUndefined();
    Bun.spawnSync(["mkfifo", join(rkt, "status/fifo")]);
    expect(appStatus(linux, lookedAt(reader, made.uuid), "fifo").exitCode).toBeUndefined();
  });

  test("ready: the link for nspawn, the process for fly", () => {
    const data = dataDir();
    const nspawn = lockedPod(data);
    const reader = podReader(data, linux);
    expect(isReady(linux, lookedAt(reader, nspawn.uuid))).toBe(false);
    mkdirSync(join(nspawn.dir, "stage1/rootfs/rkt"), { recursive: true });
    symlinkSync("ready", join(nspawn.dir, "stage1/rootfs/rkt/supervisor-status"));
    expect(isReady(linux, lookedAt(reader, nspawn.uuid))).toBe(true);
    const fly = lockedPod(data);
    writeFileSync(join(fly.dir, "pid"), "1\n");
    writeFileSync(join(fly.dir, "pgid"), "1\n");
    expect(isReady(linux, lookedAt(reader, fly.uuid))).toBe(true);
  });

  test("trees in use, in every state", () => {
    const data = dataDir();
    for (const [index, place] of (["prepare", "run", "garbage"] as const).entries()) {
      const made = freePod(data, place);
      mkdirSync(join(made.dir, "appsinfo/web"), { recursive: true });
      writeFileSync(join(made.dir, "stage1TreeStoreID"), "stage1\n");
      writeFileSync(join(made.dir, "appsinfo/web/treeStoreID"), `app-${index}`);
    }
    expect([...treesInUse(data, linux)].sort()).toEqual(["app-0", "app-1", "app-2", "stage1"]);
  });
});
