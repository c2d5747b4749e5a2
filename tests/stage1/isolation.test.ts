/** What keeps a pod apart: what is said of it, what is required, which flavor is picked. Needs root. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image: string;
const FLY = "--stage1-name=coreos.com/rkt/stage1-fly";
const uuid = () => readFileSync(join(rkt.dir, "uuid"), "utf8");
const words = (flags: readonly string[], script: string) => [
  ...["--insecure-options=image", "run", "--net=none", `--uuid-file-save=${join(rkt.dir, "uuid")}`, ...flags],
  ...[image, "--exec=/bin/sh", "--", "-c", script],
];
const isolation = (id: string) => JSON.parse(rkt.ok(["status", "--format=json", id])).isolation;

beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(rkt);
});
afterAll(() => rkt[Symbol.dispose]());

describe("status", () => {
  const ALL = { mount: true, pid: true, ipc: true, uts: true, network: true, cgroup: true };
  const RIGHTS = { capabilities: true, seccomp: true, devices: true };

  test("says what a running pod has, and still says it when the pod has ended", async () => {
    const running = rkt.start(words(["--private-users", "--ipc=parent"], "echo up; sleep 1000"));
    await until("the app's first line", () => running.stdout().includes("up"));
    const { ipc: _, ...rest } = ALL;
    const range = readFileSync(join(rkt.dataDir, "pods/run", uuid(), "private-users-prepared"), "utf8");
    expect(isolation(uuid())).toEqual({ ...rest, userns: range, ...RIGHTS });
    expect(rkt.ok(["status", uuid()])).toContain(
      `\nisolation=mount,pid,uts,network,cgroup,userns(${range}),capabilities,`,
    );
    running.kill("SIGTERM");
    await running.ended;
    expect(isolation(uuid())).toEqual({ ...rest, userns: range, ...RIGHTS });
  });

  test("believes the kernel more than the record", async () => {
    const running = rkt.start(words([FLY], "echo up; exec sleep 1000"));
    await until("the app's first line", () => running.stdout().includes("up"));
    expect(isolation(uuid())).toEqual({ mount: true });
    writeFileSync(join(rkt.dataDir, "pods/run", uuid(), "isolation"), "mount\npid\nuserns=1:2\nseccomp\n");
    expect(isolation(uuid())).toEqual({ mount: true, seccomp: true });
    running.kill("SIGKILL");
    await running.ended;
  });
});

describe("--require", () => {
  const refused = (flags: readonly string[], missing: string) => {
    const before = rkt.pods();
    const result = rkt.run(words(flags, "echo started"));
    expect(result).toMatchObject({ status: 254, stdout: "" });
    expect(result.stderr).toContain(`would not have ${missing}, which --require asks for`);
    expect(rkt.pods()).toEqual(before);
  };

  test("refuses what the pod would lack, before anything is made", () => {
    refused(["--require=userns"], '"userns"');
    refused(["--require=mount,seccomp,vm", "--private-users"], '"vm"');
    refused(["--require=userns,selinux"], '"userns", "selinux"');
    refused([FLY, "--require=mount,pid"], '"pid"');
    refused(["--require=ipc", "--ipc=parent"], '"ipc"');
    expect(rkt.run(words(["--require=usrns"], "true")).stderr).toContain('Cannot use "usrns" for --require');
  });

  test("lets a pod run that has it", () => {
    const all = "--require=mount,pid,ipc,uts,network,cgroup,userns,capabilities,seccomp,devices";
    expect(rkt.run(words(["--private-users", all], "exit 3")).status).toBe(3);
    expect(rkt.run(words([FLY, "--require=mount"], "exit 4")).status).toBe(4);
  });

  test("holds for a prepared pod, which stays prepared", () => {
    const prepare = (...flags: string[]) =>
      rkt.ok(["--insecure-options=image", "prepare", "--quiet", ...flags, image, "--exec=/bin/true"]).trim();
    const id = prepare();
    const result = rkt.run(["run-prepared", "--net=none", "--require=userns", id]);
    expect(result.stderr).toContain('would not have "userns"');
    expect(rkt.ok(["status", id])).toStartWith("state=prepared\n");
    expect(rkt.run(["run-prepared", "--net=none", "--require=userns", prepare("--private-users")]).status).toBe(0);
  });
});

describe("the annotation isolation", () => {
  test("picks the flavor, of images and of a manifest", () => {
    expect(rkt.run(words(["--annotation=isolation=fly"], "exit 5")).status).toBe(5);
    expect(isolation(uuid())).toEqual({ mount: true });
    const app = { exec: ["/bin/sh", "-c", "exit 6"], user: "0", group: "0" };
    const manifest = {
      ...{ acKind: "PodManifest", acVersion: "0.8.11", apps: [{ name: "app", image: { id: image }, app }] },
      annotations: [{ name: "isolation", value: "fly" }],
    };
    const file = join(rkt.dir, "pod.json");
    writeFileSync(file, JSON.stringify(manifest));
    const saved = `--uuid-file-save=${join(rkt.dir, "uuid")}`;
    expect(rkt.run(["--insecure-options=image", "run", "--net=none", saved, `--pod-manifest=${file}`]).status).toBe(6);
    expect(isolation(uuid())).toEqual({ mount: true });
  });

  test("must agree with --stage1-name, and be a flavor", () => {
    expect(rkt.run(words(["--annotation=isolation=fly", FLY], "exit 7")).status).toBe(7);
    const other = rkt.run(words(["--annotation=isolation=nspawn", FLY], "echo started"));
    expect(other).toMatchObject({ status: 254, stdout: "" });
    expect(other.stderr).toContain('asks for "nspawn"');
    expect(rkt.run(words(["--annotation=isolation=strong"], "true")).stderr).toContain("expected nspawn, host, fly");
  });
});
