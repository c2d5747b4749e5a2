/**
 * A stage1 that somebody else wrote, of shell scripts: how each of its entrypoints is called, by its interface version. Who brings a stage1 of their own relies on every word of it
 * (docs/stage1-contract.md). Needs root, busybox-static.
 */

import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { childrenOf } from "../../src/host/child-processes.ts";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { buildAci } from "../harness/images.ts";
import { type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image = "";
let log = "";
const INSECURE = "--insecure-options=image";
const ENTRYPOINTS = ["run", "enter", "gc", "stop", "attach", "app/add", "app/rm", "app/start", "app/stop"];

beforeAll(() => {
  rkt = testRkt();
  log = join(rkt.dir, "calls");
  image = fetchedAci(rkt, { name: "example.com/app" });
  buildStage1("old", ["run", "enter", "gc", "stop"], undefined);
  buildStage1("new", ENTRYPOINTS, "6");
});
afterAll(() => rkt[Symbol.dispose]());
beforeEach(() => rmSync(log, { force: true }));

/** Every entrypoint notes its name, arguments and directory; `run` holds the pod until it is told to end, with the status 7. */
function buildStage1(name: string, entrypoints: readonly string[], version: string | undefined): void {
  const file = (entrypoint: string) => `bin/${entrypoint.replace("/", "-")}`;
  const annotation = (key: string, value: string) => ({ name: `coreos.com/rkt/stage1/${key}`, value });
  const acts: Readonly<Record<string, string>> = {
    run: `note "lock=$(readlink /proc/$$/fd/$RKT_LOCK_FD)"
echo $$ > ppid
mkdir -p stage1/rootfs/rkt/status && ln -s ready stage1/rootfs/rkt/supervisor-status
sleep 1234567 & child=$!
trap 'kill $child; echo 3 > stage1/rootfs/rkt/status/app; exit 7' TERM
note up
wait`,
    stop: `pid=$(cat ppid)
if [ "$1" = --force ]; then kill -9 $(cat /proc/$pid/task/$pid/children) $pid; else kill $pid; fi`,
    enter: "exit 5",
    "app/add": 'note "tree=$(ls stage1/rootfs/opt/stage2/app/rootfs | tr "\\n" " ")"',
    "app/stop": "exit 5",
  };
  buildAci(
    join(rkt.dir, `${name}.aci`),
    {
      name: `example.com/stage1-${name}`,
      app: null,
      annotations: [
        ...entrypoints.map((entrypoint) => annotation(entrypoint, `/${file(entrypoint)}`)),
        ...(version === undefined ? [] : [annotation("interface-version", version)]),
      ],
    },
    Object.fromEntries(
      entrypoints.map((entrypoint) => [
        file(entrypoint),
        `#!/bin/sh
note() { echo "$*" >> ${log}; }
note "${entrypoint} $*"
note "in=$PWD"
env | sed -n 's/^RKT_STAGE1_ENTER/&/p' | sort >> ${log}
${acts[entrypoint] ?? ""}
`,
      ]),
    ),
    { busybox: false },
  );
}

const calls = (): string[] => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []);

/** What was called since the last look. */
function newCalls(): string[] {
  const lines = calls();
  rmSync(log, { force: true });
  return lines;
}

async function start(stage1: string, globals: readonly string[], words: readonly string[]) {
  const file = join(rkt.dir, "uuid");
  rmSync(file, { force: true });
  const [command = "", ...rest] = words;
  const flags = [`--stage1-path=${join(rkt.dir, `${stage1}.aci`)}`, `--uuid-file-save=${file}`];
  const running = rkt.start([...globals, ...command.split(" "), ...flags, ...rest]);
  let over = false;
  running.ended.then(() => {
    over = true;
  });
  await until("the stage1", () => calls().includes("up") || over);
  if (over) throw new Error(running.stderr());
  const uuid = readFileSync(file, "utf8");
  return { running, uuid, dir: join(rkt.dataDir, "pods/run", uuid) };
}

describe("of the oldest interface", () => {
  test("gets no flag that it does not know; its status is rkt's, and what it wrote is the apps'", async () => {
    const words = ["run", "--net=host", "--hostname=front", "--dns=host", image, "--name=app"];
    const globals = [`${INSECURE},capabilities,paths,seccomp`];
    const { running, uuid, dir } = await start("old", globals, words);
    const local = `--local-config=${rkt.configDir}`;
    expect(newCalls()).toEqual([`run --net=host ${local} ${uuid}`, `in=${dir}`, `lock=${dir}`, "up"]);
    expect(rkt.ok(["list", "--no-legend"])).toContain("running");
    rkt.ok(["stop", uuid]);
    expect((await running.ended).status).toBe(7);
    expect(newCalls()).toEqual([`stop ${uuid}`, `in=${dir}`]);
    expect(rkt.ok(["status", uuid])).toContain("app-app=3\n");
    rkt.ok(["gc", "--grace-period=0s"]);
    expect(newCalls()).toEqual([`gc ${uuid}`, `in=${dir.replace("/run/", "/exited-garbage/")}`]);
    expect(rkt.pods()).toEqual([]);
  });

  test("is not given a pod that it could not run as asked", () => {
    const stage1 = `--stage1-path=${join(rkt.dir, "old.aci")}`;
    for (const [words, text] of [
      [["run", stage1, "--net=host", "--ipc=private", image], "does not know --ipc (interface version 1"],
      [["app", "sandbox", stage1], "does not support it"],
    ] as const) {
      expect(rkt.run([INSECURE, ...words]).stderr).toContain(text);
      expect(rkt.pods()).toEqual([]);
    }
    expect(calls().filter((line) => line.startsWith("run"))).toEqual([]);
  });
});

describe("of interface 6", () => {
  test("gets every flag; enter runs from its own tree, stop --force and gc in the pod's directory", async () => {
    const words = ["run", "--net=host", "--hostname=front", "--dns=host", "--ipc=private", image, "--name=app"];
    const globals = ["--debug", `${INSECURE},capabilities,paths,seccomp`];
    const { running, uuid, dir } = await start("new", globals, words);
    const [call] = newCalls();
    expect(call).toBe(
      `run --debug --net=host --local-config=${rkt.configDir} --hostname=front --disable-capabilities-restriction --disable-paths --disable-seccomp --dns-conf-mode=resolv=host,hosts=default --ipc=private ${uuid}`,
    );
    const entered = rkt.run(["enter", uuid, "/bin/ls", "-l"]);
    expect(entered.status).toBe(5);
    const [enter, at] = newCalls();
    expect(enter).toMatch(/^enter --pid=\d+ --appname=app -- \/bin\/ls -l$/);
    expect(at).toMatch(/^in=.*\/cas\/layer\/.*\/rootfs$/);
    rkt.ok(["stop", "--force", uuid]);
    await running.ended;
    expect(newCalls()).toEqual([`stop --force ${uuid}`, `in=${dir}`]);
    rkt.ok(["--debug", "gc", "--grace-period=0s"]);
    expect(newCalls()[0]).toBe(`gc --debug --local-config ${rkt.configDir} ${uuid}`);
    expect(rkt.pods()).toEqual([]);
  });

  test("may have pods whose apps come and go: its entrypoints find their way in by the environment", async () => {
    const { running, uuid, dir } = await start("new", [INSECURE], ["app sandbox", "--net=host"]);
    expect(newCalls()[0]).toContain(` --mutable ${uuid}`);
    const [pid] = childrenOf(running.pid);
    const crossing = (call: string, ...more: string[]) => {
      const lines = newCalls();
      expect(lines[0]).toBe(call);
      expect(lines[1]).toBe(`in=${dir}`);
      expect(lines[2]).toMatch(/^RKT_STAGE1_ENTERCMD=.*\/cas\/layer\/.*\/rootfs\/bin\/enter$/);
      expect(lines.slice(3)).toEqual([`RKT_STAGE1_ENTERPID=${pid}`, ...more]);
    };
    rkt.ok([INSECURE, "app", "add", uuid, image, "--name=app"]);
    crossing(`app/add --debug=false --uuid=${uuid} --app=app`, expect.stringMatching(/^tree=bin .*tmp /));
    rkt.ok(["app", "start", uuid, "--app=app"]);
    crossing("app/start --debug=false --app=app");
    rkt.ok(["app", "stop", uuid, "--app=app"]); // 5: systemctl's word for an app that does not run.
    crossing("app/stop --debug=false --app=app");
    rkt.ok(["attach", "--mode=list", uuid]);
    crossing("attach --action=list --app=app --debug=false");
    rkt.ok(["attach", "--mode=stdin,stdout", uuid]);
    crossing(
      "attach --action=custom-attach --tty-in=false --tty-out=false --stdin=true --stdout=true --stderr=false --app=app --debug=false",
    );
    rkt.ok(["app", "rm", uuid, "--app=app"]);
    crossing("app/rm --debug=false --app=app");
    rkt.ok(["stop", "--force", uuid]);
    await running.ended;
    rkt.ok(["gc", "--grace-period=0s"]);
    expect(rkt.pods()).toEqual([]);
  });
});
