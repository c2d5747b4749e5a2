/** A data directory of rkt 1.x is taken over: its images, its pods in every state, and nothing that one of its running pods needs. Needs root, busybox-static, strace. */

import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { killAtCall } from "../harness/kill-at.ts";
import { mountsBelow, RKT, type TestRkt, testRkt } from "../harness/rkt.ts";
import { buildRkt1Stage1, layOutRkt1, type Rkt1Directory, type Rkt1Image, supervise } from "../harness/rkt-1.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

const INSECURE = "--insecure-options=image";

let rkt: TestRkt;
let old: Rkt1Directory;
let app: Rkt1Image;
let stage1: Rkt1Image;
let log = "";

beforeEach(() => {
  rkt = testRkt();
  old = layOutRkt1(rkt.dataDir);
  log = join(rkt.dir, "stage1-calls");
  writeFileSync(log, "");
  const [appAci, stage1Aci] = [join(rkt.dir, "app.aci"), join(rkt.dir, "stage1.aci")];
  buildAci(appAci, { name: "example.com/app" }, { "data/kept": "k\n", "data/gone": "g\n", "old/file": "o\n" });
  buildRkt1Stage1(stage1Aci, log);
  app = old.image(appAci);
  stage1 = old.image(stage1Aci);
});
afterEach(() => rkt[Symbol.dispose]());

const cas = (...path: string[]) => join(rkt.dataDir, "cas", ...path);
const oldBlob = (id: string) => cas("blob/sha512", id.slice(7, 9), id);
const newBlob = (id: string) => {
  const directory = cas("blob/sha512", id.slice(7, 9));
  const name = readdirSync(directory).find((each) => each.startsWith(id) && each.length === 7 + 128);
  return name === undefined ? undefined : join(directory, name);
};
const calls = () => readFileSync(log, "utf8").trim().split("\n").filter(Boolean);
const pod = (options: Partial<Parameters<Rkt1Directory["pod"]>[0]> = {}) => old.pod({ image: app, stage1, ...options });
const listed = () =>
  Object.fromEntries(
    rkt
      .ok(["list", "--full", "--no-legend"])
      .trim()
      .split("\n")
      .map((line) =>
        line
          .split("\t")
          .map((cell) => cell.trim())
          .filter(Boolean),
      )
      .map(([uuid = "", , , , state = ""]) => [uuid, state]),
  );

describe("images", () => {
  test("the first command that looks at images takes them over, without a copy", () => {
    const first = rkt.run(["image", "list", "--full", "--no-legend", "--fields=id,name,importtime"]);
    expect(first.status).toBe(0);
    expect(first.stderr).toContain("taking over 2 image(s) of rkt 1.x");
    const year = new Date(Date.now() - 365 * 24 * 3600 * 1000).getFullYear();
    expect(first.stdout).toMatch(new RegExp(`${app.id}\\s+example.com/app:1.0.0\\s+${year}`));
    expect(first.stdout).toMatch(new RegExp(`${stage1.id}\\s+coreos.com/rkt/stage1-coreos:1.30.0`));
    for (const { id } of [app, stage1]) {
      expect(statSync(newBlob(id) ?? "").ino).toBe(statSync(oldBlob(id)).ino);
      expect(statSync(oldBlob(id)).nlink).toBe(2);
    }
    // What rkt 1.x needs for the way back is there.
    expect(readFileSync(cas("db/ql.db"), "utf8")).toContain("QL");
    expect(existsSync(cas("imageManifest/sha512", app.id.slice(7, 9), app.id))).toBe(true);
    expect(readFileSync(join(rkt.dataDir, "format"), "utf8")).toBe("2\n");
    // Group rkt wrote in `cas` itself; what root believes lies there now.
    expect(statSync(cas()).mode & 0o022).toBe(0);
    const second = rkt.run(["image", "list", "--no-legend"]);
    expect([second.stderr, second.stdout.trim().split("\n").length]).toEqual(["", 2]);
    expect(JSON.parse(rkt.ok(["image", "cat-manifest", "example.com/app"])).name).toBe("example.com/app");
    expect(rkt.run(["fsck", "--deep"]).status).toBe(0);
  });

  test("nothing says who signed them: root runs one with the operator's word, and from then on", () => {
    const refused = rkt.run(["prepare", app.id]);
    expect(refused.status).toBe(254);
    expect(refused.stderr).toContain("--insecure-options=image");
    // By a name that anybody could have given it, it is not even found.
    expect(rkt.run(["prepare", "--pull-policy=never", "example.com/app"]).stderr).toContain("unable to fetch image");
    const run = (globals: string[]) =>
      rkt.run([...globals, "run", "--net=none", app.id, "--exec=/bin/cat", "--", "/data/kept"]);
    const ran = run([INSECURE]);
    expect([ran.status, ran.stdout.trim()]).toEqual([0, "k"]);
    expect(run([]).status).toBe(0);
  });

  test("removing one removes what rkt 1.x had of it", () => {
    rkt.ok(["image", "rm", app.id]);
    expect(
      [oldBlob(app.id), newBlob(app.id) ?? "", cas("imageManifest/sha512", app.id.slice(7, 9), app.id)].map(existsSync),
    ).toEqual([false, false, false]);
    expect(existsSync(oldBlob(stage1.id))).toBe(true);
    expect(rkt.ok(["image", "list", "--no-legend"])).not.toContain("example.com/app");
  });

  test("one that is damaged is left and told; fsck names it, and --repair removes it", () => {
    writeFileSync(oldBlob(app.id), "not what it was", { flag: "a" });
    const taken = rkt.run(["image", "list", "--no-legend"]);
    expect(taken.status).toBe(0);
    expect(taken.stderr).toContain(`left image ${app.id} of rkt 1.x where it is`);
    expect(taken.stdout).toContain("stage1-coreos");
    const checked = rkt.run(["fsck"]);
    expect([checked.status, checked.stdout]).toEqual([1, expect.stringContaining("has not been taken over")]);
    expect(rkt.run(["fsck", "--repair"]).status).toBe(0);
    expect(existsSync(oldBlob(app.id))).toBe(false);
    expect(rkt.run(["fsck"]).status).toBe(0);
  });

  test("fsck says that a directory is not taken over, and takes it over when asked to", () => {
    const looked = rkt.run(["fsck"]);
    expect([looked.status, looked.stdout]).toEqual([1, expect.stringContaining("has not been taken over yet")]);
    expect(existsSync(cas("images"))).toBe(false);
    expect(rkt.run(["fsck", "--repair"]).status).toBe(0);
    expect(rkt.ok(["image", "list", "--no-legend"]).trim().split("\n")).toHaveLength(2);
  });

  test("killed at any change, the next command finishes it", () => {
    for (const [name, call, moments] of [
      ["a directory", "mkdirat", [1, 9]],
      ["a link", "linkat", [1, 2]],
      ["a record", "renameat2", [1, 2, 4, 5]],
    ] as const) {
      for (const nth of moments) {
        using one = testRkt();
        runProgram(["cp", "--archive", rkt.dataDir, one.dataDir]);
        killAtCall(one, ["image", "list"], call, nth);
        const after = one.run(["image", "list", "--no-legend"]);
        expect([name, nth, after.status, after.stdout.trim().split("\n").length]).toEqual([name, nth, 0, 2]);
        expect([name, nth, one.run(["fsck", "--repair"]).status]).toEqual([name, nth, 0]);
        expect([name, nth, one.run(["fsck"]).stdout]).toEqual([name, nth, "the data directory is in order\n"]);
      }
    }
  });

  test("ten commands at once take it over once", async () => {
    const ten = await Promise.all([...Array(10)].map(() => rkt.start(["image", "list", "--no-legend"]).ended));
    expect(ten.map(({ status, stdout }) => [status, stdout.trim().split("\n").length])).toEqual(ten.map(() => [0, 2]));
    expect(ten.filter(({ stderr }) => stderr.includes("taking over"))).toHaveLength(1);
  });

  test("what group rkt may have put in the place of a directory that root believes counts for nothing", () => {
    // As a member of the group would: a directory of root's that it may write to, renamed.
    const forged = cas("verified");
    mkdirSync(forged);
    chmodSync(forged, 0o2770);
    const record = {
      ...{ id: app.id, format: "aci", name: "example.com/app", labels: [], origin: "x", refs: [], latest: false },
      ...{ importTime: "1", layers: [{ digest: `sha512:${"0".repeat(128)}`, size: 1, mediaType: "application/aci" }] },
      verification: { kind: "insecure" },
    };
    writeFileSync(join(forged, `${app.id}.json`), JSON.stringify(record));
    rkt.ok(["image", "list"]);
    expect(readdirSync(forged)).toEqual(["refs"]);
    expect(rkt.run(["prepare", app.id]).status).toBe(254);
    expect(readdirSync(join(rkt.dataDir, "tmp")).join()).toContain("rkt-image-foreign-");
    rkt.ok(["image", "gc"]);
    expect(readdirSync(join(rkt.dataDir, "tmp"))).toEqual([]);
  });

  test("a user of the group is told that root comes first, and changes nothing", () => {
    chmodSync(rkt.dir, 0o755);
    runProgram(["chmod", "o+rwx", rkt.dataDir, cas()]);
    const user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", RKT, ...rkt.globals];
    const fetch = Bun.spawnSync([...user, INSECURE, "fetch", join(rkt.dir, "app.aci")], { cwd: rkt.dir });
    expect(fetch.exitCode).toBe(254);
    expect(fetch.stderr.toString()).toContain("rkt 1.x has written it, and it has not been taken over yet");
    expect(existsSync(cas("images"))).toBe(false);
  });
});

describe("pods", () => {
  test("are listed by state, with their apps' statuses, and without taking images over", () => {
    const uuids = {
      exited: pod({ status: 3 }),
      "aborted prepare": pod({ state: "prepare" }),
      prepared: pod({ state: "prepared" }),
      "exited garbage": pod({ state: "exited-garbage", status: 0, overlay: false }),
    };
    expect(listed()).toEqual(Object.fromEntries(Object.entries(uuids).map(([state, uuid]) => [uuid, state])));
    const status = rkt.ok(["status", uuids.exited]);
    expect(status).toContain("state=exited\n");
    expect(status).toContain("app-app=3\n");
    expect(JSON.parse(rkt.ok(["cat-manifest", uuids.exited])).apps[0].image.id).toBe(app.id);
    expect(existsSync(join(rkt.dataDir, "format"))).toBe(false);
  });

  const changes =
    "echo new > /made; echo changed > /data/kept; rm /data/gone; rm -r /old; mkdir /old; echo n > /old/new";
  for (const [how, options] of [
    ["an overlay", {}],
    ["an overlay that is still mounted", { mounted: true }],
    ["copied trees", { overlay: false }],
  ] as const) {
    test(`an ended pod is exported as it was: ${how}`, () => {
      const uuid = pod({ status: 0, changes, ...options });
      // The same image unpacked here too, under the same name of a tree: not what the pod stood on.
      rkt.ok([INSECURE, "fetch", app.id]);
      const out = join(rkt.dir, "out.aci");
      rkt.ok(["export", uuid, out]);
      const unpacked = join(rkt.dir, "unpacked");
      mkdirSync(unpacked);
      runProgram(["tar", "-xzf", out, "-C", unpacked]);
      const read = (path: string) => readFileSync(join(unpacked, "rootfs", path), "utf8");
      expect([read("made"), read("data/kept"), read("old/new")]).toEqual(["new\n", "changed\n", "n\n"]);
      expect([existsSync(join(unpacked, "rootfs/data/gone")), existsSync(join(unpacked, "rootfs/old/file"))]).toEqual([
        false,
        false,
      ]);
      const ran = rkt.run([INSECURE, "run", "--net=none", out, "--exec=/bin/cat", "--", "/data/kept"]);
      expect([ran.status, ran.stdout.trim()]).toEqual([0, "changed"]);
    });
  }

  test("gc lets the stage1 that started them give back what it took, and removes them with their mounts", () => {
    const exited = [pod({ mounted: true }), pod({}), pod({ overlay: false })];
    const never = [pod({ state: "prepare" }), pod({ state: "garbage" }), pod({ state: "prepared" })];
    expect(mountsBelow(rkt.dataDir)).toHaveLength(2);
    const gc = rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]);
    expect([gc.status, rkt.pods(), mountsBelow(rkt.dataDir)]).toEqual([0, [], []]);
    for (const uuid of [...exited, ...never]) expect(gc.stdout).toContain(`Garbage collecting pod "${uuid}"`);
    // Its words are those of interface version 6, it runs in the pod's directory, and finds its plugins there.
    const expected = exited.map((uuid) => `gc --local-config ${rkt.configDir} ${uuid} in ${uuid}`);
    expect(
      calls()
        .filter((line) => line.startsWith("gc"))
        .sort(),
    ).toEqual(expected.sort());
    expect(calls().filter((line) => line === "plugins")).toHaveLength(3);
  });

  test("rm removes one whose stage1 is gone, from its records", () => {
    const uuid = pod({ mounted: true });
    for (const point of mountsBelow(rkt.dataDir).reverse()) runProgram(["umount", point]);
    runProgram(["rm", "-r", cas("tree", stage1.tree)]);
    expect(rkt.ok(["rm", uuid])).toBe(`"${uuid}"\n`);
    expect([rkt.pods(), calls()]).toEqual([[], []]);
  });

  test("a running one is left to its supervisor: its trees stay, its own stage1 stops it, and then all goes", async () => {
    const running = pod({ mounted: true });
    const dir = old.podDir("run", running);
    const supervisor = await supervise(dir);
    const ended = new Promise((done) => supervisor.once("exit", done));
    expect(listed()).toEqual({ [running]: "running" });
    rkt.ok(["gc", "--grace-period=0s"]);
    rkt.ok(["image", "gc", "--grace-period=0s"]);
    expect(rkt.run(["rm", running]).stderr).toContain("is currently running");
    expect(rkt.run(["export", running, join(rkt.dir, "out.aci")]).stderr).toContain("pod is not exited");
    expect(rkt.run(["fsck", "--repair"]).status).toBe(0);
    expect([app.tree, stage1.tree].map((tree) => existsSync(cas("tree", tree, "rendered")))).toEqual([true, true]);
    expect(readFileSync(join(dir, "stage1/rootfs/opt/stage2/app/rootfs/data/kept"), "utf8")).toBe("k\n");
    expect(mountsBelow(dir)).toHaveLength(2);
    rkt.ok(["stop", running]);
    await ended;
    expect(calls()).toEqual([`stop ${running} in ${running}`]);
    expect(listed()).toEqual({ [running]: "exited" });
    rkt.ok(["gc", "--grace-period=0s"]);
    rkt.ok(["image", "gc", "--grace-period=0s"]);
    expect([rkt.pods(), readdirSync(cas("tree")), readdirSync(cas("treestorelocks"))]).toEqual([[], [], []]);
  });

  test("image gc removes trees that no pod stands on, and no others", () => {
    const uuid = pod({});
    const other = join(rkt.dir, "other.aci");
    buildAci(other, { name: "example.com/other" });
    const unused = old.image(other);
    rkt.ok(["image", "gc"]);
    expect(readdirSync(cas("tree")).sort()).toEqual([app.tree, stage1.tree].sort());
    expect(existsSync(cas("tree", unused.tree))).toBe(false);
    expect(rkt.ok(["fsck"])).toBe("the data directory is in order\n");
    rkt.ok(["rm", uuid]);
    expect(rkt.ok(["fsck"])).toContain("was unpacked by rkt 1.x, and no pod stands on it any more");
    rkt.ok(["fsck", "--repair"]);
    expect(readdirSync(cas("tree"))).toEqual([]);
  });

  test("a prepared one is not run: what it was prepared for is gone", () => {
    const uuid = pod({ state: "prepared" });
    const refused = rkt.run(["run-prepared", uuid]);
    expect([refused.status, refused.stderr]).toEqual([254, expect.stringContaining("rkt 1.x has prepared it")]);
    expect(listed()).toEqual({ [uuid]: "prepared" });
  });

  test("the account of the disk adds up", () => {
    pod({});
    const { disk_usage: sums } = JSON.parse(rkt.ok(["image", "list", "--disk-usage", "--format=json"]));
    const du = Number(runProgram(["du", "-x", "-s", "--block-size=1", rkt.dataDir]).split("\t")[0]);
    expect([sums.total, sums.unknown]).toEqual([du, 0]);
  });
});
