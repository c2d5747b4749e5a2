/**
 * nginx, redis and a Python program from Debian packages: pushed to a registry, fetched, run, reached from the host and from each other, stopped in order.
 * Needs root, docker-registry, skopeo, umoci, CNI plugins, iptables, and the packages that tools/test-packages.sh downloads.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEBIAN_TAG, debianImage } from "../harness/debian-images.ts";
import { freePort, startRegistry, type TestRegistry } from "../harness/registry.ts";
import { mountsBelow, type TestRkt, testRkt } from "../harness/rkt.ts";
import { askRedis, type ServerPod, startServerPod, stopServerPod } from "../harness/server-pods.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

/** The built-in default network's gateway: an address of the host that is not loopback, wherever the test runs. */
const HOST_ADDRESS = "172.16.28.1";
const REDIS = 999;
const FLY = "--stage1-name=coreos.com/rkt/stage1-fly";

let rkt: TestRkt;
let registry: TestRegistry;
const insecure = "--insecure-options=image,http";
const image = (name: string) => `docker://${registry.host}/${name}`;

beforeAll(async () => {
  rkt = testRkt();
  registry = await startRegistry();
  for (const name of ["nginx", "redis", "python"] as const) {
    registry.push(debianImage(name), DEBIAN_TAG, `${name}:latest`);
    expect(rkt.ok([insecure, "fetch", image(name)])).toMatch(/^sha512-[0-9a-f]{32}\n$/);
  }
});
afterAll(() => {
  registry?.[Symbol.dispose]();
  rkt?.[Symbol.dispose]();
});

const start = (...args: string[]) => startServerPod(rkt, [insecure], args, args.includes(FLY) ? /^pid=/m : undefined);
const stop = (pod: ServerPod) => stopServerPod(rkt, pod);

async function get(address: string): Promise<string> {
  let failure: unknown;
  for (let tries = 0; tries < 600; tries += 1) {
    try {
      const answer = await fetch(`http://${address}`);
      expect(answer.status).toBe(200);
      return await answer.text();
    } catch (error) {
      failure = error;
      await Bun.sleep(50);
    }
  }
  throw new Error(`no answer from ${address}`, { cause: failure });
}

/** Sends redis' inline commands and gives back all that it answers. */
async function redis(host: string, port: number, ...commands: string[]): Promise<string> {
  let failure: unknown;
  for (let tries = 0; tries < 600; tries += 1) {
    try {
      return await askRedis(host, port, commands, 10_000);
    } catch (error) {
      failure = error;
      await Bun.sleep(50);
    }
  }
  throw new Error(`no answer from redis at ${host}:${port}`, { cause: failure });
}

function redisData(): string {
  const data = mkdtempSync(join(rkt.dir, "redis-"));
  chownSync(data, REDIS, REDIS);
  return data;
}

/** The image's own app, in a pod whose apps write to the journal, as they do on every host that runs systemd. */
function journalManifest(name: string, user?: string): string {
  const [id = ""] =
    rkt
      .ok(["image", "list", "--full", "--no-legend"])
      .split("\n")
      .find((line) => line.includes(`/${name}:`))
      ?.split("\t") ?? [];
  const { app } = JSON.parse(rkt.ok(["image", "cat-manifest", id]));
  const file = join(rkt.dir, `${name}-manifest`);
  const apps = [{ name, image: { id }, app: user === undefined ? app : { ...app, user, group: user } }];
  const annotations = [{ name: "coreos.com/rkt/stage1/journal", value: "true" }];
  writeFileSync(file, JSON.stringify({ acVersion: "0.8.11", acKind: "PodManifest", apps, annotations }));
  return file;
}

describe("nginx", () => {
  test("answers on the pod's address and on the forwarded port, logs to its descriptors, ends in order", async () => {
    const port = await freePort();
    const pod = await start(`--port=80-tcp:${port}`, image("nginx"));
    for (const address of [`${pod.ip}:80`, `${HOST_ADDRESS}:${port}`, `127.0.0.1:${port}`]) {
      expect(await get(`${address}/`)).toContain("Welcome to nginx!");
      expect(await get(`${address}/big`)).toHaveLength(3_000_000);
    }
    const workers = runProgram(["ps", "-o", "user=,args=", "-C", "nginx"]);
    expect(workers).toMatch(/^www-data\s+nginx: worker process/m);
    const ended = await stop(pod);
    expect(ended.status).toBe(0);
    expect(ended.stdout).toContain("entrypoint: starting nginx");
    expect(ended.stdout.match(/"GET \/ HTTP\/1\.1" 200/g)).toHaveLength(3);
    expect(rkt.ok(["status", pod.uuid])).toContain("app-nginx=0");
  });

  test("finds /dev/stdout and /dev/stderr also where apps write to a journal", async () => {
    const pod = await start(`--pod-manifest=${journalManifest("nginx")}`);
    expect(await get(`${pod.ip}:80/`)).toContain("Welcome to nginx!");
    expect(await get(`${pod.ip}:80/`)).toContain("Welcome to nginx!");
    const ended = await stop(pod);
    expect(ended.stdout).toContain('"GET / HTTP/1.1" 200');
    expect(ended.stdout).toMatch(/nginx\[\d+\]: entrypoint: starting nginx/);
  });
});

describe("redis", () => {
  for (const [how, flags] of [
    ["as its own user from the start", ["--user=redis", "--group=redis"]],
    ["giving up root by itself", []],
  ] as const) {
    test(`${how}: answers, is stopped in order, and its data are there for the next`, async () => {
      const data = redisData();
      const port = await freePort();
      const args = [
        `--port=6379-tcp:${port}`,
        `--volume=volume-data,kind=host,source=${data}`,
        image("redis"),
        ...flags,
      ];
      const first = await start(...args);
      expect(await redis(first.ip, 6379, "PING", "SET pod first", "GET pod")).toBe("+PONG\n+OK\n$5\nfirst\n+OK\n");
      expect(await redis("127.0.0.1", port, "GET pod")).toBe("$5\nfirst\n+OK\n");
      expect(await redis(HOST_ADDRESS, port, "GET pod")).toBe("$5\nfirst\n+OK\n");
      expect(runProgram(["ps", "-o", "uid=", "-C", "redis-server"]).trim()).toBe(String(REDIS));
      const ended = await stop(first);
      expect(ended.stdout).toContain("Received SIGTERM");
      expect(ended.stdout).toContain("DB saved on disk");
      expect(ended.status).toBe(0);
      expect(existsSync(join(data, "dump.rdb"))).toBe(true);

      const second = await start(...args);
      expect(await redis(second.ip, 6379, "GET pod")).toBe("$5\nfirst\n+OK\n");
      await stop(second);
    });
  }

  test("without a volume its /data is writable for its user", async () => {
    const pod = await start(image("redis"), "--user=redis", "--group=redis");
    expect(await redis(pod.ip, 6379, "SET a b", "SAVE")).toBe("+OK\n+OK\n+OK\n");
    await stop(pod);
  });
});

describe("a Python program", () => {
  test("under fly: the host's network, its own user, directory and variables; ends on SIGTERM with its own status", async () => {
    const port = await freePort();
    const pod = await start(FLY, `--set-env=PORT=${port}`, image("python"), "--environment=GREETING=hi");
    expect(JSON.parse(await get(`127.0.0.1:${port}/`))).toEqual({
      greeting: "hi",
      uid: 1500,
      gid: 1500,
      cwd: "/srv/app",
    });
    pod.running.kill("SIGTERM");
    const ended = await pod.running.ended;
    expect(ended).toMatchObject({ status: 0, stdout: "serving\nterminated\n" });
    expect(rkt.ok(["status", pod.uuid])).toContain("state=exited");
  });

  test("under nspawn: two of them in one pod share its network", async () => {
    const app = (name: string, port: number) => [image("python"), `--name=${name}`, `--environment=PORT=${port}`];
    const pod = await start(...app("front", 8000), "---", ...app("back", 8001));
    expect(JSON.parse(await get(`${pod.ip}:8000/get?127.0.0.1:8001/`))).toMatchObject({ greeting: "hello", uid: 1500 });
    const ended = await stop(pod);
    expect(ended.stdout.match(/terminated/g)).toHaveLength(2);
    expect(rkt.ok(["status", pod.uuid])).toMatch(/app-front=0\napp-back=0\n/);
  });

  test("writes to /dev/stdout as a user who is not root, with and without a journal", async () => {
    const script = "import os; open('/dev/stdout', 'w').write('out\\n'); open('/dev/stderr', 'w').write('err\\n')";
    // Also when another app of the pod has ended before.
    const early = [image("python"), "--name=early", "--exec=/bin/true", "---"];
    const late = [image("python"), "--exec=/usr/bin/python3", "--", "-c", `import time; time.sleep(1); ${script}`];
    const plain = rkt.run([insecure, "run", "--net=none", ...early, ...late]);
    expect(plain.status).toBe(0);
    expect(plain.stdout.replaceAll("\r", "")).toContain("out\nerr\n");

    const manifest = JSON.parse(readFileSync(journalManifest("python", "web"), "utf8"));
    manifest.apps[0].app.exec = ["/usr/bin/python3", "-c", script];
    const file = join(rkt.dir, "stdout-manifest");
    writeFileSync(file, JSON.stringify(manifest));
    const journal = rkt.run([insecure, "run", "--net=none", `--pod-manifest=${file}`]);
    expect(journal.status).toBe(0);
    expect(journal.stdout.replaceAll("\r", "")).toContain("out\nerr\n");
  });
});

test("pods reach each other over the pod network, and their forwarded ports through the host's address", async () => {
  const port = await freePort();
  const nginx = await start(`--port=80-tcp:${port}`, image("nginx"));
  const python = await start(image("python"));
  expect(python.ip).not.toBe(nginx.ip);
  await get(`${nginx.ip}:80/`);
  expect(await get(`${python.ip}:8000/get?${nginx.ip}:80/`)).toContain("Welcome to nginx!");
  expect(await get(`${python.ip}:8000/get?${HOST_ADDRESS}:${port}/`)).toContain("Welcome to nginx!");
  await stop(python);
  const ended = await stop(nginx);
  // The neighbour is seen with its own address, not the host's.
  expect(ended.stdout).toContain(`${python.ip} - - [`);
});

test("gc takes every one of them away", () => {
  const gone = rkt.pods();
  expect(gone.length).toBeGreaterThan(5);
  rkt.ok(["gc", "--grace-period=0s"]);
  expect(rkt.pods()).toEqual([]);
  expect(mountsBelow(rkt.dir)).toEqual([]);
  expect(runProgram(["iptables-save"])).not.toMatch(new RegExp(gone.map((uuid) => uuid.slice(0, 8)).join("|")));
  for (const uuid of gone) expect(existsSync(`/run/netns/${uuid}`)).toBe(false);
});
