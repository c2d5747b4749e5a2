/**
 * What scripts read of the commands about pods, byte for byte: tables, lines, JSON keys, exit statuses. The pods are directories in each state, as a crash or another rkt
 * leaves them; none runs. Needs root, flock, setpriv.
 */

import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { RKT, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let holders: ReturnType<typeof Bun.spawn>[];

beforeEach(() => {
  rkt = testRkt();
  holders = [];
});
afterEach(async () => {
  for (const holder of holders) holder.kill();
  await Promise.all(holders.map(({ exited }) => exited));
  rkt[Symbol.dispose]();
});

type Place = "embryo" | "prepare" | "prepared" | "run" | "exited-garbage" | "garbage";

const IMAGE_ID = `sha512-${"ab".repeat(32)}`;

/** A pod's directory with apps of those names. */
function podIn(place: Place, ...apps: string[]): string {
  const uuid = randomUUID();
  const dir = join(rkt.dataDir, "pods", place, uuid);
  const manifest = {
    ...{ acVersion: "1.30.0", acKind: "PodManifest" },
    apps: apps.map((name) => ({
      name,
      image: { name: "example.com/app", id: IMAGE_ID },
      app: { exec: ["/bin/true"], user: "0", group: "0", userLabels: { tier: "front" } },
      mounts: [{ volume: "data", path: "/data" }],
    })),
    volumes: [{ name: "data", kind: "host", source: "/srv", readOnly: true }],
    userAnnotations: { owner: "me" },
  };
  const labels = [{ name: "version", value: "1.2" }];
  const image = { acKind: "ImageManifest", acVersion: "0.8.11", name: "example.com/app", labels };
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "pod"), JSON.stringify(manifest));
  writeFileSync(join(dir, "pod-created"), "");
  for (const name of apps) {
    mkdirSync(join(dir, "appsinfo", name), { recursive: true });
    writeFileSync(join(dir, "appsinfo", name, "manifest"), JSON.stringify(image));
  }
  if (place === "run" || place === "exited-garbage") {
    const status = join(dir, "stage1/rootfs/rkt/status");
    mkdirSync(status, { recursive: true });
    writeFileSync(join(dir, "ppid"), "4242\n");
    writeFileSync(join(dir, "prepared-by"), "2.0.0\n");
    for (const [index, name] of apps.entries()) writeFileSync(join(status, name), String(index));
  }
  return uuid;
}

/** Holds the pod's lock as a process that works on it does. */
async function locked(place: Place, uuid: string): Promise<void> {
  const dir = join(rkt.dataDir, "pods", place, uuid);
  const said = join(rkt.dir, `locked-${uuid}`);
  holders.push(Bun.spawn(["flock", "--no-fork", dir, "sh", "-c", `: > ${said}; exec sleep 600`]));
  await until("the lock", () => existsSync(said));
}

const rows = (text: string) =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => line.split(/\t+/));

const TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})? [+-]\d{4} \S+$/;

describe("rkt list", () => {
  test("a row an app; what is the pod's stands in the first", () => {
    const uuid = podIn("exited-garbage", "front", "back");
    const short = rkt.run(["list"]);
    expect([short.status, short.stderr]).toEqual([0, ""]);
    expect(short.stdout.split("\n")[0]).toBe("UUID\t\tAPP\tIMAGE NAME\t\tSTATE\t\tCREATED\tSTARTED\tNETWORKS");
    expect(rows(short.stdout).slice(1)).toEqual([
      [uuid.slice(0, 8), "front", "example.com/app:1.2", "exited garbage", expect.any(String), expect.any(String), ""],
      ["", "back", "example.com/app:1.2", ""],
    ]);
    expect(rkt.ok(["list", "--no-legend"])).toBe(short.stdout.split("\n").slice(1).join("\n"));
    const full = rows(rkt.ok(["list", "--full"]));
    expect(full[0]).toEqual(["UUID", "APP", "IMAGE NAME", "IMAGE ID", "STATE", "CREATED", "STARTED", "NETWORKS"]);
    const time = expect.stringMatching(TIME);
    expect(full[1]).toEqual([
      uuid,
      "front",
      "example.com/app:1.2",
      "sha512-abababababab",
      "exited garbage",
      time,
      time,
      "",
    ]);
  });

  test("every state but those of pods that are not yet, or never were", async () => {
    const [preparing, deleting] = [podIn("prepare", "a"), podIn("exited-garbage", "a")];
    await locked("prepare", preparing);
    await locked("exited-garbage", deleting);
    const states = new Map([
      [preparing, "preparing"],
      [deleting, "exited deleting"],
      [podIn("prepare", "a"), "aborted prepare"],
      [podIn("prepared", "a"), "prepared"],
      [podIn("run", "a"), "exited"],
      [podIn("exited-garbage", "a"), "exited garbage"],
    ]);
    for (const place of ["embryo", "garbage"] as const) podIn(place, "a");
    const pods: { name: string; state: string }[] = JSON.parse(rkt.ok(["list", "--format=json"]));
    expect(pods.map(({ name }) => name)).toEqual([...states.keys()].sort());
    for (const { name, state } of pods) expect([name, state]).toEqual([name, states.get(name) ?? ""]);
  });

  test("JSON: rkt's keys, seconds of a pod and nanoseconds of its apps; null for no pods", () => {
    mkdirSync(join(rkt.dataDir, "pods/run"), { recursive: true });
    expect(rkt.ok(["list", "--format=json"])).toBe("null\n");
    const before = Math.floor(Date.now() / 1000);
    const uuid = podIn("run", "web");
    const text = rkt.ok(["list", "--format=json"]);
    expect(text).toMatch(/^\[\{[^\n]*\}\]\n$/);
    const [pod] = JSON.parse(text);
    expect(Object.keys(pod)).toEqual([
      ...["name", "state", "app_names", "apps", "created_at", "started_at", "user_annotations", "exit_code"],
    ]);
    expect(pod).toMatchObject({ name: uuid, state: "exited", app_names: ["web"], user_annotations: { owner: "me" } });
    expect(pod.created_at).toBeWithin(before, before + 300);
    const [app] = pod.apps;
    expect(app).toEqual({
      ...{ name: "web", state: "exited", exit_code: 0, image_id: IMAGE_ID },
      ...{ created_at: expect.any(Number), started_at: expect.any(Number), finished_at: expect.any(Number) },
      mounts: [{ name: "data", container_path: "/data", host_path: "/srv", read_only: true }],
      user_labels: { tier: "front" },
    });
    expect(Math.floor(app.created_at / 1e9)).toBe(pod.created_at);
    // Nanoseconds are more than JSON.parse keeps.
    const withoutTimes = (json: string) => json.replace(/(_at": ?)\d+/g, "$10");
    const pretty = JSON.stringify(JSON.parse(withoutTimes(text)), undefined, "\t");
    expect(withoutTimes(rkt.ok(["list", "--format=json-pretty"]))).toBe(`${pretty}\n`);
  });

  test("what cannot be read is told after the table, and is no failure", () => {
    const [nameless, broken] = [podIn("exited-garbage", "a"), podIn("exited-garbage", "a")];
    writeFileSync(join(rkt.dataDir, "pods/exited-garbage", nameless, "appsinfo/a/manifest"), "{");
    writeFileSync(join(rkt.dataDir, "pods/exited-garbage", broken, "pod"), "{");
    const { status, stdout, stderr } = rkt.run(["list", "--no-legend"]);
    expect(status).toBe(0);
    const row = (uuid: string) => rows(stdout).find(([id]) => id === uuid.slice(0, 8));
    expect(row(nameless)?.slice(1, 4)).toEqual(["a", "--", "exited garbage"]);
    expect(row(broken)?.slice(1, 4)).toEqual(["-", "-", "exited garbage"]);
    expect(stderr).toStartWith("list: 2 error(s) encountered when listing pods:\nlist: ------");
    expect(stderr).toContain(`list: Unable to read pod ${broken} manifest:\n`);
  });
});

describe("rkt status", () => {
  const names = (text: string) =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => line.split("=")[0]);

  test("rkt's lines, in their order", () => {
    const prepared = rkt.ok(["status", podIn("prepared", "a")]);
    expect(names(prepared)).toEqual(["state", "created"]);
    expect(prepared).toMatch(/^state=prepared\ncreated=\d/);
    const over = rkt.ok(["status", podIn("exited-garbage", "a", "b")]);
    expect(names(over)).toEqual(["state", "created", "started", "pid", "exited", "app-a", "app-b"]);
    expect(over).toEndWith("pid=4242\nexited=true\napp-a=0\napp-b=1\n");
    expect(names(rkt.ok(["status", podIn("run", "a")]))).toEqual([
      ...["state", "created", "started", "networks", "pid", "exited", "app-a"],
    ]);
    for (const line of over.split("\n").filter((one) => /^(created|started)=/.test(one)))
      expect(line.slice(line.indexOf("=") + 1)).toMatch(TIME);
  });

  test("of a pod that is not there, or not the only one: 254; with a file that is not there: 1", () => {
    const refused = (status: number, stderr: string) => ({ status, stdout: "", stderr });
    mkdirSync(join(rkt.dataDir, "pods/run"), { recursive: true });
    expect(rkt.run(["status", "ABCD"])).toEqual(
      refused(254, 'status: problem retrieving pod: no matches found for "abcd"\n'),
    );
    const file = join(rkt.dir, "none");
    expect(rkt.run(["status", `--uuid-file=${file}`])).toEqual(
      refused(1, "status: unable to resolve UUID from file: no such file or directory\n"),
    );
    expect(rkt.run(["status"]).status).toBe(254);
    expect(rkt.run(["status", "--wait=soon", podIn("prepared", "a")]).status).toBe(254);
    expect(rkt.run(["status", "--wait=50ms", podIn("prepared", "a")])).toEqual(
      refused(254, "status: error waiting for pod to finish: context deadline exceeded\n"),
    );
  });
});

describe("rkt stop", () => {
  test("a pod that is over is stopped already: 0; one that never ran is an error, and does not keep the others", () => {
    const [over, removed, prepared] = [podIn("run", "a"), podIn("garbage", "a"), podIn("prepared", "a")];
    expect(rkt.run(["stop", over, removed])).toEqual({
      status: 0,
      stdout: `pod "${over}" is already stopped\npod "${removed}" is already stopped\n`,
      stderr: "",
    });
    expect(rkt.run(["stop", prepared, over])).toEqual({
      status: 254,
      stdout: `pod "${over}" is already stopped\n`,
      stderr: `stop: pod "${prepared}" is not running\nstop: failed to stop 1 pod(s)\n`,
    });
    const file = join(rkt.dir, "uuid");
    expect(rkt.run(["stop", `--uuid-file=${file}`]).status).toBe(1);
    writeFileSync(file, `${over}\n`);
    expect(rkt.ok(["stop", `--uuid-file=${file}`])).toBe(`pod "${over}" is already stopped\n`);
    expect(rkt.run(["stop"]).status).toBe(254);
  });
});

describe("rkt rm", () => {
  test("removes what is over or will never run, with its UUID in quotes", () => {
    const [aborted, prepared, garbage] = [podIn("prepare", "a"), podIn("prepared", "a"), podIn("garbage", "a")];
    expect(rkt.run(["rm", aborted, prepared, garbage])).toEqual({
      status: 0,
      stdout: `"${aborted}"\n"${prepared}"\n"${garbage}"\n`,
      stderr: `rm: moving failed prepare "${aborted}" to garbage\nrm: moving expired prepared pod "${prepared}" to garbage\n`,
    });
    expect(rkt.pods()).toEqual([]);
  });

  test("refuses what others work on, and goes on with the rest", async () => {
    const [preparing, deleting, garbage] = [podIn("prepare", "a"), podIn("garbage", "a"), podIn("garbage", "a")];
    await locked("prepare", preparing);
    await locked("garbage", deleting);
    expect(rkt.run(["rm", preparing, deleting, "ffff", garbage])).toEqual({
      status: 254,
      stdout: `"${garbage}"\n`,
      stderr: [
        `rm: pod "${preparing}" is currently being prepared`,
        `rm: pod "${deleting}" is currently being deleted`,
        'rm: cannot get pod: no matches found for "ffff"',
        "rm: failed to remove one or more pods\n",
      ].join("\n"),
    });
    expect(rkt.run(["rm", `--uuid-file=${join(rkt.dir, "none")}`])).toEqual({
      status: 254,
      stdout: "",
      stderr:
        "rm: unable to resolve UUID from file: no such file or directory\nrm: failed to remove one or more pods\n",
    });
  });
});

describe("rkt gc", () => {
  test("marks, waits out the grace period, and says on stdout what it removes", () => {
    const [aborted, prepared, garbage] = [podIn("prepare", "a"), podIn("prepared", "a"), podIn("garbage", "a")];
    expect(rkt.run(["gc", "--mark-only"])).toEqual({
      status: 0,
      stdout: "",
      stderr: `gc: moving failed prepare "${aborted}" to garbage\n`,
    });
    const { status, stdout, stderr } = rkt.run(["gc"]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout.split("\n").sort()).toEqual(
      ["", ...[aborted, garbage].map((uuid) => `Garbage collecting pod "${uuid}"`)].sort(),
    );
    expect(rkt.run(["gc", "--expire-prepared=0"])).toEqual({
      status: 0,
      stdout: `Garbage collecting pod "${prepared}"\n`,
      stderr: `gc: moving expired prepared pod "${prepared}" to garbage\n`,
    });
    expect(rkt.pods()).toEqual([]);
    const over = podIn("exited-garbage", "a");
    expect(rkt.run(["gc", "--grace-period=1h"]).stderr).toBe(
      `gc: pod "${over}" not removed: still within grace period (1h0m0s)\n`,
    );
  });
});

describe("commands on one pod", () => {
  test("say that it is not there, or not in a state for them", () => {
    const [prepared, over] = [podIn("prepared", "a"), podIn("run", "a", "b")];
    const cases: [string[], number, string][] = [
      [["cat-manifest", "ffff"], 254, "problem retrieving pod: no matches found for"],
      [["enter", "ffff"], 254, "problem retrieving pod: no matches found for"],
      [["attach", "ffff"], 254, "problem retrieving pod: no matches found for"],
      [["export", "ffff", "x.aci"], 254, "problem retrieving pod: no matches found for"],
      [["run-prepared", "ffff"], 254, "problem retrieving pod: no matches found for"],
      [["app", "start", "ffff", "--app=a"], 254, "problem retrieving pod: no matches found for"],
      [["app", "stop", "ffff", "--app=a"], 254, "problem retrieving pod: no matches found for"],
      [["app", "list", "ffff"], 1, "error listing apps: no matches found for"],
      [["app", "status", "ffff", "--app=a"], 1, "error getting app status: no matches found for"],
      [["enter", prepared], 254, `pod "${prepared}" isn't currently running`],
      [["attach", over], 254, `pod "${over}" isn't currently running`],
      [["run-prepared", over], 254, `pod "${over}" is not prepared`],
      [["export", prepared, "x.aci"], 254, "pod is not exited. Only exited pods can be exported"],
      [["export", over, "x.aci"], 254, 'specify app using "rkt export --app= ..."'],
    ];
    for (const [words, status, text] of cases) {
      const result = rkt.run(words);
      expect({ words, status: result.status, stdout: result.stdout }).toEqual({ words, status, stdout: "" });
      expect(result.stderr).toContain(`${words[0] === "app" ? words[1] : words[0]}: ${text}`);
    }
    expect(rkt.run(["app", "stop", over, "--app=a"])).toMatchObject({
      status: 0,
      stdout: `pod "${over}" is already stopped\n`,
    });
    const manifest = readFileSync(join(rkt.dataDir, "pods/run", over, "pod"), "utf8");
    expect(JSON.parse(rkt.ok(["cat-manifest", over]))).toMatchObject({ apps: JSON.parse(manifest).apps });
    expect(rkt.ok(["cat-manifest", "--pretty-print=false", over])).toMatch(/^\{[^\n]+\}\n$/);
  });

  test("are root's where rkt 1.x's were", () => {
    const commands = ["run x", "prepare x", "run-prepared x", "enter x", "rm x", "gc", "attach x", "app exec x"];
    for (const words of commands.map((line) => line.split(" "))) {
      const command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", RKT, ...words];
      const { exitCode, stderr } = Bun.spawnSync(command, { cwd: "/" });
      const name = words[0] === "app" ? words[1] : words[0];
      expect([exitCode, stderr.toString()]).toEqual([254, `${name}: cannot run as unprivileged user\n`]);
    }
  });
});

test("--uuid-file-save: 36 bytes, mode 0644, also of a pod that comes to nothing", () => {
  const aci = join(rkt.dir, "app.aci");
  buildAci(aci, {}, {});
  const file = join(rkt.dir, "uuid");
  const run = [
    "--insecure-options=image",
    "run",
    "--stage1-name=coreos.com/rkt/stage1-fly",
    `--uuid-file-save=${file}`,
  ];
  const saved = () => ({ text: readFileSync(file, "utf8"), mode: statSync(file).mode & 0o777 });
  const expected = { text: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/), mode: 0o644 };
  rkt.ok([...run, aci, "--exec=/bin/true"]);
  expect(saved()).toEqual(expected);
  const first = saved().text;
  expect(rkt.run([...run, aci, "--exec=/none"]).status).toBe(254);
  expect(saved()).toEqual(expected);
  expect(saved().text).not.toBe(first);
});
