/**
 * nginx and redis from Debian packages in virtual machines: reached over the pod network and by forwarded ports, logs, export, and what gc leaves: nothing.
 * `make test-kvm`. Needs root, QEMU, iproute2, CNI plugins, iptables, umoci, and the packages that tools/test-packages.sh downloads.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEBIAN_TAG, debianImage } from "../harness/debian-images.ts";
import { buildAci } from "../harness/images.ts";
import { censusScope, leftBehind, takeCensus } from "../harness/leaks.ts";
import { freePort, startRegistry, type TestRegistry } from "../harness/registry.ts";
import { type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { askRedis, type ServerPod, startServerPod, stopServerPod } from "../harness/server-pods.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(600_000);

const REDIS = 999;
const insecure = "--insecure-options=image,http";
const KVM = "--stage1-name=coreos.com/rkt/stage1-kvm";
let rkt: TestRkt;
let registry: TestRegistry;
let busybox = "";
const servers = new Map<string, string>();

beforeAll(async () => {
  rkt = testRkt();
  const ports = [{ name: "p", protocol: "tcp", port: 80 }];
  const app = { exec: ["/bin/sh"], user: "0", group: "0", ports };
  buildAci(join(rkt.dir, "app.aci"), { name: "example.com/app", app }, {});
  busybox = rkt.ok([insecure, "fetch", "--full", join(rkt.dir, "app.aci")]).trim();
  registry = await startRegistry();
  for (const name of ["nginx", "redis"] as const) {
    registry.push(debianImage(name), DEBIAN_TAG, `${name}:latest`);
    servers.set(name, rkt.ok([insecure, "fetch", "--full", `docker://${registry.host}/${name}`]).trim());
  }
});
afterAll(() => {
  registry?.[Symbol.dispose]();
  rkt?.[Symbol.dispose]();
});

const start = (...args: string[]) => startServerPod(rkt, [insecure], [KVM, ...args]);
const stop = (pod: ServerPod) => stopServerPod(rkt, pod);

/** Asks until the server is up: a machine takes seconds to start. */
async function patiently<T>(what: string, ask: () => Promise<T>): Promise<T> {
  for (const deadline = performance.now() + 120_000; ; await Bun.sleep(200)) {
    try {
      return await ask();
    } catch (cause) {
      if (performance.now() > deadline) throw new Error(`no answer from ${what}`, { cause });
    }
  }
}

const get = (address: string) =>
  patiently(address, async () => {
    const answer = await fetch(`http://${address}`, { signal: AbortSignal.timeout(20_000) });
    expect(answer.status).toBe(200);
    return answer.text();
  });

const redis = (host: string, port: number, ...commands: string[]) =>
  patiently(`redis at ${host}:${port}`, () => askRedis(host, port, commands, 20_000));

describe("servers in virtual machines", () => {
  test("nginx answers on the pod's address and on the forwarded port; its logs, its status, and what it changed", async () => {
    const port = await freePort();
    const script = 'echo "entrypoint: starting"; echo changed > /changed; exec nginx -g "daemon off;"';
    const pod = await start(`--port=80-tcp:${port}`, servers.get("nginx") ?? "", "--exec=/bin/sh", "--", "-c", script);
    for (const address of [`${pod.ip}:80`, `127.0.0.1:${port}`]) {
      expect(await get(`${address}/`)).toContain("Welcome to nginx!");
      expect(await get(`${address}/big`)).toHaveLength(3_000_000);
    }
    // Nothing of the pod runs on the host.
    expect(spawnSync("ps", ["-C", "nginx", "-o", "pid="]).stdout.toString().trim()).toBe("");
    const entered = rkt.run(["enter", pod.uuid, "/bin/sh", "-c", "cat /changed; id -u; exit 3"]);
    expect(entered).toMatchObject({ status: 3, stdout: "changed\n0\n" });
    const ended = await stop(pod);
    expect(ended.status).toBe(0);
    expect(ended.stdout).toContain("entrypoint: starting");
    expect(ended.stdout.match(/"GET \/ HTTP\/1\.1" 200/g)).toHaveLength(2);
    expect(rkt.ok(["status", pod.uuid])).toContain("app-nginx=0");
    const aci = join(rkt.dir, "exported.aci");
    rkt.ok(["export", pod.uuid, aci]);
    expect(runProgram(["tar", "-xOf", aci, "rootfs/changed"])).toBe("changed\n");
  });

  test("redis: its data are on a volume of the host's, with their owner, and there for the next pod", async () => {
    const data = join(rkt.dir, "redis");
    mkdirSync(data);
    chownSync(data, REDIS, REDIS);
    const port = await freePort();
    const args = [
      ...[`--port=6379-tcp:${port}`, `--volume=volume-data,kind=host,source=${data}`],
      ...[servers.get("redis") ?? "", "--user=redis", "--group=redis"],
    ];
    const first = await start(...args);
    expect(await redis(first.ip, 6379, "PING", "SET pod first", "GET pod")).toBe("+PONG\n+OK\n$5\nfirst\n+OK\n");
    expect(await redis("127.0.0.1", port, "GET pod")).toBe("$5\nfirst\n+OK\n");
    const ended = await stop(first);
    expect(ended.stdout).toContain("DB saved on disk");
    expect(ended.status).toBe(0);
    expect(runProgram(["stat", "-c", "%u %g", join(data, "dump.rdb")])).toBe(`${REDIS} ${REDIS}\n`);
    const second = await start(...args);
    expect(await redis(second.ip, 6379, "GET pod")).toBe("$5\nfirst\n+OK\n");
    await stop(second);
  });

  test("two pods in machines of their own reach each other, and each sees the other's address", async () => {
    const nginx = await start(servers.get("nginx") ?? "");
    await get(`${nginx.ip}:80/`);
    const words = ["--exec=/bin/sh", "--", "-c", `wget -q -O - http://${nginx.ip}/`];
    const other = rkt.run([insecure, "run", KVM, "--net=default", busybox, ...words]);
    expect(other.stdout).toContain("Welcome to nginx!");
    const ended = await stop(nginx);
    expect(ended.stdout).toMatch(/^172\.16\.28\.\d+ - - \[/m);
  });
});

test("logs of an app, while it runs and afterwards", async () => {
  const script = "echo to-stdout; echo to-stderr >&2; sleep 1000";
  const uuid = rkt
    .ok([insecure, "run", KVM, "--detach", "--net=none", busybox, "--exec=/bin/sh", "--", "-c", script])
    .trim();
  await until("its output", () => rkt.run(["logs", uuid]).stdout.includes("to-stderr"));
  expect(rkt.ok(["logs", uuid])).toContain("to-stdout");
  rkt.ok(["stop", uuid]);
  await until("its end", () => rkt.ok(["status", uuid]).includes("state=exited"));
  expect(rkt.ok(["logs", uuid])).toContain("to-stdout");
});

test("twenty pods, started, ended and collected, leave no tap, share, process, lease, mount or rule", async () => {
  using scope = censusScope([join(rkt.dataDir, "pods")]);
  rkt.run(["gc", "--grace-period=0s"]);
  const before = takeCensus(scope);
  const source = join(rkt.dir, "shared");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "");
  const port = await freePort();
  for (let round = 0; round < 20; round += 1) {
    const result = rkt.run([
      ...[insecure, "run", KVM, "--net=default", `--port=p:${port}`, `--volume=v,kind=host,source=${source}`],
      ...[busybox, "--exec=/bin/sh", "--mount=volume=v,target=/v", "--", "-c", `ls /v; exit ${round}`],
    ]);
    // A console has \r\n.
    expect({ ...result, stdout: result.stdout.replaceAll("\r", "") }).toMatchObject({
      status: round,
      stdout: "file\n",
    });
    rkt.ok(["gc", "--grace-period=0s"]);
  }
  expect(await leftBehind(scope, before)).toEqual([]);
});
