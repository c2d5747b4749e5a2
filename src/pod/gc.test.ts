import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { POD_STATE_DIRS } from "../core/data-dir.ts";
import { linux } from "../host/linux.ts";
import { podReader } from "./find.ts";
import { collectGarbage, goDuration } from "./gc.ts";
import { moveToGarbage, removeGarbage } from "./remove.ts";
import { cleanUp, dataDir, freePod, lockedPod, lookedAt, remover } from "./test-pods.ts";

afterEach(cleanUp);

const DAY = 86_400_000;

describe("garbage", () => {
  const old = (options: Partial<Parameters<typeof collectGarbage>[1]> = {}) => {
    const said: string[] = [];
    return {
      gracePeriod: 0,
      expirePrepared: DAY,
      markOnly: false,
      say: (text: string) => void said.push(text),
      said,
      ...options,
    };
  };

  test("mark only: exited and aborted pods move, nothing goes", async () => {
    const data = dataDir();
    const [exited, aborted, prepared] = [freePod(data, "run"), freePod(data, "prepare"), freePod(data, "prepared")];
    const running = lockedPod(data);
    const options = old({ markOnly: true });
    const agent = remover(data);
    expect(await collectGarbage(agent, options)).toBe(0);
    expect(existsSync(data.pod("exited-garbage", exited.uuid))).toBe(true);
    expect(existsSync(data.pod("garbage", aborted.uuid))).toBe(true);
    expect(existsSync(prepared.dir) && existsSync(running.dir)).toBe(true);
    expect(options.said).toEqual([]);
    expect(agent.told).toEqual([
      `moving pod "${exited.uuid}" to garbage`,
      `moving failed prepare "${aborted.uuid}" to garbage`,
    ]);
  });

  test("within the grace period nothing goes", async () => {
    const data = dataDir();
    const exited = freePod(data, "run");
    const agent = remover(data);
    await collectGarbage(agent, old({ gracePeriod: 1_800_000 }));
    expect(agent.told.at(-1)).toBe(`pod "${exited.uuid}" not removed: still within grace period (30m0s)`);
  });

  test("everything that is over goes, with stage1's help for what has run", async () => {
    const data = dataDir();
    const exited = freePod(data, "run");
    mkdirSync(join(exited.dir, "stage1/rootfs/etc"), { recursive: true });
    const [aborted, prepared] = [freePod(data, "prepare"), freePod(data, "prepared")];
    const calls: string[] = [];
    const agent = remover(data, async (dir, entrypoint, argv) => {
      calls.push([dir, entrypoint, ...argv].join(" "));
      return 0;
    });
    const options = old({ expirePrepared: 0 });
    expect(await collectGarbage(agent, options)).toBe(0);
    expect(calls).toEqual([`${data.pod("exited-garbage", exited.uuid)} gc ${exited.uuid}`]);
    expect(options.said[0]).toBe(`Garbage collecting pod "${exited.uuid}"`);
    expect(options.said.slice(1).sort()).toEqual(
      [aborted, prepared].map(({ uuid }) => `Garbage collecting pod "${uuid}"`).sort(),
    );
    expect(POD_STATE_DIRS.flatMap((place) => readdirSync(data.podsIn(place)))).toEqual([]);
  });

  test("a gc entrypoint that fails is told, and keeps the pod only while its network is there", async () => {
    const data = dataDir();
    const [plain, networked] = [freePod(data, "exited-garbage"), freePod(data, "exited-garbage")];
    mkdirSync(join(networked.dir, "net"));
    const agent = remover(data, async () => 3);
    expect(await collectGarbage(agent, old())).toBe(1);
    expect([existsSync(plain.dir), existsSync(networked.dir)]).toEqual([false, true]);
    expect(agent.told).toContain(`problem performing stage1 GC on "${plain.uuid}": exit status 3`);
    expect(agent.told).toContain(`pod "${networked.uuid}" not removed: its network is still set up`);
  });

  test("--local-config is for stage1s that know it", async () => {
    const data = dataDir();
    const made = freePod(data, "exited-garbage");
    mkdirSync(join(made.dir, "stage1"));
    const annotations = [{ name: "coreos.com/rkt/stage1/interface-version", value: "5" }];
    writeFileSync(join(made.dir, "stage1/manifest"), JSON.stringify({ annotations }));
    const calls: (readonly string[])[] = [];
    await collectGarbage(
      remover(data, async (_dir, _entrypoint, argv) => calls.push(argv) && 0),
      old(),
    );
    expect(calls).toEqual([["--local-config", "/etc/rkt", made.uuid]]);
  });

  test("a pod that is being run is not taken away", async () => {
    const data = dataDir();
    const made = lockedPod(data, "prepared");
    const found = lookedAt(podReader(data, linux), made.uuid);
    expect(await moveToGarbage(remover(data), found, "garbage")).toBeUndefined();
    expect(existsSync(made.dir)).toBe(true);
  });

  test("a pod that somebody else is deleting is left to them", async () => {
    const data = dataDir();
    const made = lockedPod(data, "exited-garbage");
    const found = lookedAt(podReader(data, linux), made.uuid);
    const agent = remover(data);
    expect(await removeGarbage(agent, found)).toBe(false);
    expect(agent.told[0]).toContain("another process holds its lock");
  });

  test("a removal that was cut short is finished", async () => {
    const data = dataDir();
    const made = freePod(data, "exited-garbage");
    rmSync(join(made.dir, "pod-created"));
    expect(await removeGarbage(remover(data), lookedAt(podReader(data, linux), made.uuid))).toBe(true);
    expect(existsSync(made.dir)).toBe(false);
  });

  test.each([
    [0, "0s"],
    [250, "250ms"],
    [1500, "1.5s"],
    [1_800_000, "30m0s"],
    [DAY, "24h0m0s"],
    [-1000, "-1s"],
  ])("%d ms as Go says it", (milliseconds, text) => {
    expect(goDuration(milliseconds)).toBe(text);
  });
});
