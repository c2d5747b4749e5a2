/**
 * Transport, through the built program: what an unchanged image costs, downloads that are killed and go on, a full disk, progress for programs and for a service
 * manager. Needs root, docker-registry, skopeo, openssl, busybox (httpd), python3.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { type AppcSite, discoveryPage, startAppcSite } from "../harness/appc-site.ts";
import { countingProxy } from "../harness/counting-proxy.ts";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { randomNumbers, seedFrom } from "../harness/random.ts";
import { freePort, startRegistry, type TestRegistry } from "../harness/registry.ts";
import { type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { signedImage } from "../harness/signed-image.ts";
import { killAtEnd, runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(110_000);

const SOAK = process.env.SOAK !== undefined;
/** Bytes of each of four layers. */
const LAYER = (SOAK ? 75 : 15) * 1_000_000;
const KILLS = SOAK ? 50 : 8;
const INSECURE = "--insecure-options=image,http";

let dir: TemporaryDirectory;
let registry: TestRegistry;
let site: AppcSite;
/** SHA-256 of the large image's files. */
const contents = new Map<string, string>();
let imageSize = 0;

beforeAll(async () => {
  dir = temporaryDirectory("transport");
  const layout = join(dir.path, "layout");
  const layers = [1, 2, 3, 4].map((n) => {
    const content = randomBytes(LAYER);
    contents.set(`data/${n}`, createHash("sha256").update(content).digest("hex"));
    return { [`data/${n}`]: content };
  });
  const image = buildBusyboxOci(layout, { layers, tag: "large", busybox: false });
  imageSize = image.layers.reduce((sum, { size }) => sum + size, 0);
  buildBusyboxOci(layout, { layers: [{ "etc/small": "small" }], tag: "small", busybox: false });
  registry = await startRegistry();
  for (const tag of ["large", "small"]) registry.push(layout, tag, `app:${tag}`);
  site = await startAppcSite(dir.path);
}, 110_000);

afterAll(() => {
  site?.stop();
  registry?.stop();
  dir?.[Symbol.dispose]();
});

function fetchApp(rkt: TestRkt, host: string, tag: string, ...args: string[]) {
  return rkt.start([INSECURE, "fetch", "--full", ...args, `docker://${host}/app:${tag}`], { env: site.env });
}

/** The rendered files of the large image are those that went into it. */
function expectRight(rkt: TestRkt, id: string): void {
  const output = join(rkt.dir, "tree");
  rkt.ok(["image", "render", "--rootfs-only", "--overwrite", id, output]);
  for (const [path, digest] of contents)
    expect(
      createHash("sha256")
        .update(readFileSync(join(output, path)))
        .digest("hex"),
    ).toBe(digest);
}

describe("an unchanged image", () => {
  test("of a registry costs a few kilobytes, and layers are not read again", async () => {
    using rkt = testRkt();
    using proxy = await countingProxy(registry.port);
    const first = await fetchApp(rkt, proxy.host, "large").ended;
    expect(first).toMatchObject({ status: 0 });
    expect(proxy.bytes()).toBeGreaterThan(imageSize);
    expect(proxy.bytes()).toBeLessThan(imageSize * 1.05);
    const before = proxy.bytes();
    const second = await fetchApp(rkt, proxy.host, "large", "--pull-policy=update", "--debug").ended;
    expect(second.stdout).toBe(first.stdout);
    expect(second.stderr).toContain("has not changed, not fetching.");
    expect(proxy.bytes() - before).toBeLessThan(10_000);
    expectRight(rkt, first.stdout.trim());
  });

  test("with a signature: that is checked again, and no record is written again", async () => {
    using rkt = testRkt();
    const place = join(dir.path, "signed");
    mkdirSync(place);
    using image = await signedImage(place, [{ "etc/motd": "hello" }]);
    using proxy = await countingProxy(image.registry.port);
    image.trustedBy(rkt, proxy.host);
    const fetch = () => rkt.start([...image.flags, "fetch", "--full", image.reference(proxy.host)]).ended;
    const first = await fetch();
    expect(first).toMatchObject({ status: 0, stderr: expect.stringContaining("signature verified") });
    const record = join(rkt.dataDir, "cas/verified", `${first.stdout.trim()}.json`);
    const written = lstatSync(record).ino;
    const before = proxy.bytes();
    const second = await fetch();
    expect(second).toMatchObject({ ...first, stderr: expect.stringContaining("signature verified") });
    expect(proxy.bytes() - before).toBeLessThan(10_000);
    expect(lstatSync(record).ino).toBe(written);
    // What was found before counts for nothing when the key is not trusted any more.
    rmSync(join(rkt.configDir, "trustedkeys"), { recursive: true });
    expect(await fetch()).toMatchObject({ status: 254, stdout: "", stderr: expect.stringContaining("trust") });
  });

  test("by name: 304, and while the server's max-age lasts no request for it at all", async () => {
    using rkt = testRkt();
    const path = join(dir.path, "named.aci");
    buildAci(path, { name: "example.com/named" }, { big: randomBytes(3_000_000) }, { busybox: false });
    const content = readFileSync(path);
    let maxAge = 0;
    site.pages.clear();
    site.pages.set(
      "https://example.com/named",
      discoveryPage(["ac-discovery", "example.com", "https://images.example.com/{name}.{ext}"]),
    );
    site.pages.set("https://images.example.com/example.com/named.aci", (request) => {
      const headers = { etag: '"v1"', "cache-control": `max-age=${maxAge}` };
      return request.headers.get("if-none-match") === '"v1"'
        ? { status: 304, headers }
        : { status: 200, headers, body: content };
    });
    const fetchNamed = () =>
      rkt.start(["--insecure-options=image", "fetch", "--full", "--debug", "example.com/named"], { env: site.env })
        .ended;
    const first = await fetchNamed();
    expect(first.status).toBe(0);
    expect(site.bytes()).toBeGreaterThan(content.length);
    maxAge = 3600;
    const second = await fetchNamed();
    expect(second.stdout).toBe(first.stdout);
    expect(second.stderr).toContain("has not changed, not fetching.");
    expect(site.bytes()).toBeLessThan(10_000);
    site.requests.length = 0;
    const third = await fetchNamed();
    expect(third.stdout).toBe(first.stdout);
    expect(third.stderr).toContain("image: image for https://images.example.com/example.com/named.aci isn't expired");
    expect(third.stderr).toContain("image: fetching image from https://images.example.com/example.com/named.aci\n");
    expect(site.requests).toEqual(["GET https://example.com/named?ac-discovery=1"]);
  });
});

describe("kill -9", () => {
  test(`at ${KILLS} moments of a download: it goes on, and moves at most 1.2 times the image`, async () => {
    const seed = seedFrom("KILL_SEED");
    const random = randomNumbers(seed);
    using rkt = testRkt();
    using proxy = await countingProxy(registry.port, 6_000_000);
    let kills = 0;
    while (kills < KILLS) {
      const running = fetchApp(rkt, proxy.host, "large");
      const mark = proxy.bytes() + (imageSize / (KILLS + 2)) * (0.3 + random());
      const ended = await Promise.race([running.ended.then(() => true), proxy.reached(mark).then(() => false)]);
      if (ended) throw new Error(`seed ${seed}: a fetch ended by itself\n${running.stderr()}`);
      running.kill("SIGKILL");
      await running.ended;
      kills += 1;
    }
    const last = await fetchApp(rkt, proxy.host, "large", "--debug").ended;
    expect({ seed, status: last.status }).toEqual({ seed, status: 0 });
    expect(last.stderr).toMatch(/resuming layer .* at byte \d+|is in the store/);
    expect(proxy.bytes()).toBeLessThan(imageSize * 1.2);
    expectRight(rkt, last.stdout.trim());
    expect(readdirSync(join(rkt.dataDir, "cas/tmp")).filter((name) => name.endsWith(".part"))).toEqual([]);
  }, 600_000);

  test("of an ACI from a plain web server, and the file is another one afterwards", async () => {
    using rkt = testRkt();
    const www = join(rkt.dir, "www");
    mkdirSync(www);
    const file = join(www, "app.aci");
    buildAci(
      file,
      { name: "example.com/app" },
      { big: randomBytes(12_000_000) },
      { compression: "none", busybox: false },
    );
    const port = await freePort();
    const server = spawn("/bin/busybox", ["httpd", "-f", "-p", `127.0.0.1:${port}`, "-h", www], { stdio: "ignore" });
    const stop = killAtEnd(server);
    try {
      using proxy = await countingProxy(port, 4_000_000);
      const size = readFileSync(file).length;
      const start = () => rkt.start([INSECURE, "fetch", "--full", "--debug", `http://${proxy.host}/app.aci`]);
      await Bun.sleep(200);
      for (const part of [0.3, 0.6]) {
        const running = start();
        await proxy.reached(size * part);
        running.kill("SIGKILL");
        await running.ended;
      }
      const last = await start().ended;
      expect(last.status).toBe(0);
      expect(last.stderr).toMatch(/resuming http:.* at byte \d+/);
      expect(proxy.bytes()).toBeLessThan(size * 1.2);
      // Killed once more, and the beginning belongs to a file that is gone: its digest is what counts.
      rkt.ok(["image", "rm", last.stdout.trim()]);
      const running = start();
      await proxy.reached(proxy.bytes() + size * 0.4);
      running.kill("SIGKILL");
      await running.ended;
      const sha512 = buildAci(
        file,
        { name: "example.com/app" },
        { big: randomBytes(12_000_000), more: "x" },
        { compression: "none", busybox: false },
      );
      const other = await start().ended;
      expect(other).toMatchObject({ status: 0, stdout: `sha512-${sha512.slice(0, 64)}\n` });
    } finally {
      stop();
    }
  });
});

test("a full disk is called so, and everything else still works on it", async () => {
  using rkt = testRkt();
  mkdirSync(rkt.dataDir);
  runProgram(["mount", "-t", "tmpfs", "-o", "size=40m,mode=0755", "tmpfs", rkt.dataDir]);
  const small = await fetchApp(rkt, registry.host, "small").ended;
  expect(small.status).toBe(0);
  const full = await fetchApp(rkt, registry.host, "large").ended;
  expect(full.status).toBe(254);
  expect(full.stderr).toContain("Cannot store the image: no space left in the data directory");
  expect(full.stderr).toContain("hint: free some with `rkt gc` and `rkt image gc`");
  // To the last byte.
  runProgram(["sh", "-c", `dd if=/dev/zero of=${join(rkt.dataDir, "ballast")} bs=4k 2>/dev/null || true`]);
  expect(statfsSync(rkt.dataDir).bavail).toBe(0);
  expect(rkt.ok(["image", "list", "--no-legend", "--full", "--fields=id"])).toContain(small.stdout.trim());
  rkt.ok(["image", "rm", small.stdout.trim()]);
  rkt.ok(["image", "gc", "--grace-period=0s"]);
  runProgram(["rm", join(rkt.dataDir, "ballast")]);
  const { blocks, bfree, bsize } = statfsSync(rkt.dataDir);
  expect((blocks - bfree) * bsize).toBeLessThan(1_000_000);
  expect((await fetchApp(rkt, registry.host, "small").ended).status).toBe(0);
});

test("--progress=json is one object a line; plain lines are plain; another word is refused", async () => {
  using rkt = testRkt();
  const json = await fetchApp(rkt, registry.host, "large", "--progress=json").ended;
  const events = json.stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
  const ends = events.filter(({ done, total }) => done === total).map(({ total }) => total);
  expect(events.every(({ event, label }) => event === "progress" && typeof label === "string")).toBe(true);
  expect(ends.reduce((sum, total) => sum + total, 0)).toBe(imageSize);
  const plain = await fetchApp(rkt, registry.host, "small", "--progress=plain").ended;
  expect(plain.stderr).toMatch(/^Downloading [0-9a-f]{12}: \d+ B\/\d+ B$/m);
  const bad = rkt.run(["fetch", "--progress=loud", "example.com/app"]);
  expect(bad.status).toBe(254);
  expect(bad.stderr).toContain('invalid argument "loud" for "--progress" flag');
});

test("a service manager is asked for more time while a download moves", async () => {
  using rkt = testRkt();
  const socket = join(rkt.dir, "notify");
  const script = [
    "import socket,sys",
    "s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1]); print('ready',flush=True)",
    "while True: print(s.recv(4096).decode(),flush=True)",
  ].join("\n");
  const receiver = spawn("python3", ["-c", script, socket], { stdio: ["ignore", "pipe", "inherit"] });
  const stop = killAtEnd(receiver);
  try {
    let received = "";
    receiver.stdout.on("data", (chunk) => {
      received += String(chunk);
    });
    await until("the socket", () => existsSync(socket));
    using proxy = await countingProxy(registry.port, 20_000_000);
    const args = [INSECURE, "fetch", `docker://${proxy.host}/app:large`];
    expect((await rkt.start(args, { env: { NOTIFY_SOCKET: socket } }).ended).status).toBe(0);
    await until("the messages", () => received.split("EXTEND_TIMEOUT_USEC=90000000").length > 2);
  } finally {
    stop();
  }
});
