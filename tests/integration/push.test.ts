/** `rkt image push` and `rkt image tag`, through the built program and into Debian's docker-registry. Needs root, docker-registry, skopeo, openssl, busybox-static. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type BuiltOci, buildAci, buildBusyboxOci } from "../harness/images.ts";
import { makeCertificate, startRegistry, type TestRegistry } from "../harness/registry.ts";
import { type Result, type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";
import { startTokenServer } from "../harness/token-server.ts";

setDefaultTimeout(300_000);

const account = { user: "u", password: "push-Geheimnis" };
let dir: TemporaryDirectory;
let layout = "";
let image: BuiltOci;
let certificate = "";
let registry: TestRegistry;

beforeAll(async () => {
  dir = temporaryDirectory("push");
  layout = join(dir.path, "layout");
  image = buildBusyboxOci(layout, { tag: "v1", layers: [{ "etc/motd": "hello" }, { data: randomBytes(9_000_000) }] });
  certificate = makeCertificate(dir.path);
  registry = await startRegistry({ tls: certificate, account });
});
afterAll(() => {
  registry?.stop();
  dir?.[Symbol.dispose]();
});

function configure(rkt: TestRkt, directory: string, name: string, content: object): void {
  mkdirSync(join(rkt.configDir, directory), { recursive: true, mode: 0o750 });
  writeFileSync(join(rkt.configDir, directory, `${name}.json`), JSON.stringify({ rktVersion: "v1", ...content }));
}

/** An rkt with the image in its store, and the right to push. */
function prepared(to: TestRegistry = registry): TestRkt {
  const rkt = testRkt();
  configure(rkt, "registries.d", "ca", { rktKind: "registries", caFiles: [certificate] });
  configure(rkt, "auth.d", "d", { rktKind: "dockerAuth", registries: [to.host], credentials: account });
  rkt.ok(["--insecure-options=image", "fetch", `oci:${layout}:v1`]);
  return rkt;
}

function allowPlain(rkt: TestRkt, prefix: string): void {
  configure(rkt, "registries.d", "plain", { rktKind: "registries", registries: [{ prefix, insecure: true }] });
}

const push = (rkt: TestRkt, source: string, target: string): Promise<Result> =>
  rkt.start(["--debug", "image", "push", source, `docker://${target}`]).ended;

/** What the registry holds under that name. */
function inspected(target: string): { digest: string; raw: string } {
  const skopeo = ["skopeo", "inspect", "--tls-verify=false", `--creds=${account.user}:${account.password}`];
  const digest = runProgram([...skopeo, "--format={{.Digest}}", `docker://${target}`]).trim();
  return { digest, raw: runProgram([...skopeo, "--raw", `docker://${target}`]) };
}

describe("rkt image push", () => {
  test("an image arrives with the bytes it came with; what is there is not sent again, or mounted", async () => {
    using rkt = prepared();
    const first = await push(rkt, image.manifestDigest, `${registry.host}/team/app:v1`);
    expect(first.stderr).not.toContain("Cannot");
    expect(first.stdout).toBe(`docker://${registry.host}/team/app@${image.manifestDigest}\n`);
    const { digest, raw } = inspected(`${registry.host}/team/app:v1`);
    expect(digest).toBe(image.manifestDigest);
    expect(Bun.SHA256.hash(raw, "hex")).toBe(image.manifestDigest.slice("sha256:".length));

    const again = await push(rkt, image.manifestDigest, `${registry.host}/team/app:v2`);
    expect(again.stderr.split("is in the registry").length - 1).toBe(4);
    expect(again.stderr).not.toContain("Downloading");

    // Fetched from there, the store knows a repository that has the blobs.
    using other = testRkt();
    for (const [name, content] of [
      ["ca", { rktKind: "registries", caFiles: [certificate] }],
      ["d", { rktKind: "dockerAuth", registries: [registry.host], credentials: account }],
    ] as const)
      configure(other, name === "ca" ? "registries.d" : "auth.d", name, content);
    other.ok(["--insecure-options=image", "fetch", `docker://${registry.host}/team/app:v1`]);
    const mounted = await push(other, `docker://${registry.host}/team/app:v1`, `${registry.host}/moved/app`);
    expect(mounted.status).toBe(0);
    expect(mounted.stderr.split("was mounted from team/app").length - 1).toBe(4);
    expect(inspected(`${registry.host}/moved/app:latest`).digest).toBe(image.manifestDigest);
    for (const { stdout, stderr } of [first, again, mounted]) expect(stdout + stderr).not.toContain(account.password);
  });

  test("a token is asked for pushing to one repository and nothing more", async () => {
    using tokens = startTokenServer(certificate, [`basic ${account.user}:${account.password}`]);
    using secured = await startRegistry({ tls: certificate, token: tokens });
    using rkt = prepared(secured);
    expect((await push(rkt, image.manifestDigest, `${secured.host}/a/b:v1`)).status).toBe(0);
    expect(new Set(tokens.requests.map(({ scopes }) => scopes.join(" ")))).toEqual(
      new Set(["repository:a/b:pull,push"]),
    );
  });

  test("an upload that breaks off is done again where the registry cannot continue it, and nothing else is", async () => {
    using plain = await startRegistry();
    using line = await breakingLine(plain.port, 4_000_000);
    using rkt = prepared();
    allowPlain(rkt, line.host);
    const { status, stderr } = await push(rkt, image.manifestDigest, `${line.host}/app:v1`);
    expect(stderr).toMatch(/image: continuing blob sha256:[0-9a-f]{64} at byte 0/);
    expect(status).toBe(0);
    expect(line.breaks()).toBe(1);
    const copy = join(dir.path, "copy");
    const source = `docker://${plain.host}/app:v1`;
    runProgram(["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", source, `oci:${copy}:v1`]);
  });

  test("a registry that can continue an upload gets the rest of it", async () => {
    using server = continuingRegistry();
    using line = await breakingLine(server.port, 4_000_000);
    using rkt = prepared();
    allowPlain(rkt, line.host);
    const { status, stderr } = await push(rkt, image.manifestDigest, `${line.host}/app:v1`);
    expect(stderr).toMatch(/image: continuing blob sha256:[0-9a-f]{64} at byte [1-9]/);
    expect(status).toBe(0);
    expect(line.breaks()).toBe(1);
    expect(server.digests()).toContain(image.manifestDigest);
    // What was on the way when it broke is sent twice, what had arrived is not.
    expect(line.bytes()).toBeLessThan(server.size() + 3_500_000);
  });

  test("an upload that the registry wants elsewhere goes there without credentials", async () => {
    const seen: { at: string; authorization: string | null }[] = [];
    const serve = (at: string, answer: (request: Request) => Response) =>
      Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        async fetch(request) {
          seen.push({ at, authorization: request.headers.get("authorization") });
          await request.arrayBuffer();
          return answer(request);
        },
      });
    const storage = serve("storage", ({ method, url }) =>
      method === "PUT"
        ? new Response(null, { status: 201 })
        : new Response(null, { status: 202, headers: { Location: url } }),
    );
    const front = serve("front", ({ method, headers }) => {
      if (headers.get("authorization") === null)
        return new Response(null, { status: 401, headers: { "WWW-Authenticate": 'Basic realm="x"' } });
      const Location = `http://127.0.0.1:${storage.port}/upload`;
      if (method === "POST") return new Response(null, { status: 202, headers: { Location } });
      return new Response(null, { status: method === "PUT" ? 201 : 404 });
    });
    try {
      const host = `127.0.0.1:${front.port}`;
      using rkt = prepared();
      configure(rkt, "auth.d", "d", { rktKind: "dockerAuth", registries: [host], credentials: account });
      const rules = [host, `127.0.0.1:${storage.port}`].map((prefix) => ({ prefix, insecure: true }));
      configure(rkt, "registries.d", "plain", { rktKind: "registries", registries: rules });
      const { status, stderr } = await push(rkt, image.manifestDigest, `${host}/app:v1`);
      expect(stderr).not.toContain("Cannot push");
      expect(status).toBe(0);
      const at = (place: string) => seen.filter((one) => one.at === place).map(({ authorization }) => authorization);
      expect(new Set(at("storage"))).toEqual(new Set([null]));
      expect(new Set(at("front").filter((one) => one !== null)).size).toBe(1);
    } finally {
      await Promise.all([front.stop(true), storage.stop(true)]);
    }
  });

  test("refused: without credentials, to a blocked place, a damaged blob, an App Container image, another digest", async () => {
    using rkt = prepared();
    const aci = join(dir.path, "app.aci");
    buildAci(aci, { name: "example.com/app" });
    const aciId = rkt.ok(["--insecure-options=image", "fetch", aci]).trim();
    expect((await push(rkt, aciId, `${registry.host}/app`)).stderr).toContain("expected an OCI image");
    const pinned = await push(rkt, image.manifestDigest, `${registry.host}/app@sha256:${"0".repeat(64)}`);
    expect(pinned.stderr).toContain(`its manifest is ${image.manifestDigest}`);
    configure(rkt, "registries.d", "b", { rktKind: "registries", registries: [{ prefix: "bad.test", blocked: true }] });
    expect((await push(rkt, image.manifestDigest, "bad.test/app")).stderr).toContain("is blocked");
    expect((await push(rkt, `sha256:${"1".repeat(64)}`, `${registry.host}/app`)).status).toBe(254);

    const blobs = join(rkt.dataDir, "cas/blob/sha256");
    const largest = readdirSync(blobs, { recursive: true, encoding: "utf8" })
      .map((name) => join(blobs, name))
      .filter((path) => /sha256-/.test(path))
      .sort((a, b) => Bun.file(b).size - Bun.file(a).size)[0];
    const content = readFileSync(largest ?? "");
    content[100] = (content[100] ?? 0) ^ 1;
    writeFileSync(largest ?? "", content);
    const damaged = await push(rkt, image.manifestDigest, `${registry.host}/damaged/app`);
    expect(damaged.status).toBe(254);
    expect(damaged.stderr).toContain("in the store is damaged");
    truncateSync(largest ?? "", 10);
    expect((await push(rkt, image.manifestDigest, `${registry.host}/damaged/app`)).stderr).toContain(
      "is not in the store",
    );
    configure(rkt, "auth.d", "d", { rktKind: "dockerAuth", registries: ["other.test"], credentials: account });
    const anonymous = await push(rkt, image.manifestDigest, `${registry.host}/app`);
    expect(anonymous.stderr).toContain("there are none that fit");
  });
});

test("rkt image tag: a name to run, push and list by, until it is taken away", async () => {
  using rkt = prepared();
  const name = `docker://${registry.host}/tagged/app:v7`;
  rkt.ok(["image", "tag", image.manifestDigest, name]);
  rkt.ok(["image", "tag", name, "my.org/app:v7"]);
  const id = rkt.ok(["fetch", "--full", "--pull-policy=never", name]).trim();
  expect(rkt.ok(["fetch", "--full", "--pull-policy=never", "my.org/app:v7"]).trim()).toBe(id);
  expect(rkt.ok(["image", "tag", "--list", "--no-legend", "--full"]).split(/\s+/).slice(0, 4)).toEqual([
    name,
    id,
    "my.org/app:v7",
    id,
  ]);
  expect((await push(rkt, "my.org/app:v7", `${registry.host}/tagged/app:v7`)).status).toBe(0);
  rkt.ok(["image", "tag", "--remove", name, "my.org/app:v7"]);
  expect(rkt.run(["fetch", "--pull-policy=never", "my.org/app:v7"]).status).toBe(254);
  expect(rkt.run(["image", "tag", "--remove", name]).stderr).toContain("no image was given it");
  expect(rkt.run(["image", "tag", id, `${name}@${image.manifestDigest}`]).stderr).toContain(
    "Cannot give an image the name",
  );
});

/** As much of a registry as a push needs, keeping what arrived of a broken upload, as distribution-spec describes it ("Pushing a blob in chunks"). */
function continuingRegistry() {
  const uploads = new Map<string, Uint8Array[]>();
  const blobs = new Map<string, number>();
  const received = (id: string) => Buffer.concat(uploads.get(id) ?? []);
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    maxRequestBodySize: 1024 ** 3,
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      const id = /\/uploads\/(.+)$/.exec(pathname)?.[1];
      if (request.method === "HEAD")
        return new Response(null, { status: blobs.has(pathname.split("/").at(-1) ?? "") ? 200 : 404 });
      if (request.method === "POST") {
        const fresh = crypto.randomUUID();
        uploads.set(fresh, []);
        return new Response(null, { status: 202, headers: { Location: `/v2/app/blobs/uploads/${fresh}` } });
      }
      if (id === undefined) {
        const manifest = Buffer.from(await request.arrayBuffer());
        blobs.set(`sha256:${Bun.SHA256.hash(manifest, "hex")}`, manifest.length);
        return new Response(null, { status: 201 });
      }
      const size = received(id).length;
      if (request.method === "GET")
        return new Response(null, { status: 204, headers: { Range: `0-${Math.max(size - 1, 0)}` } });
      if (size > 0 && request.method === "PATCH" && !request.headers.get("content-range")?.startsWith(`${size}-`))
        return new Response(null, { status: 416 });
      for await (const chunk of request.body ?? []) uploads.get(id)?.push(chunk);
      if (request.method === "PATCH") return new Response(null, { status: 202, headers: { Location: pathname } });
      const digest = searchParams.get("digest") ?? "";
      if (digest !== `sha256:${Bun.SHA256.hash(received(id), "hex")}`) return new Response(null, { status: 400 });
      blobs.set(digest, received(id).length);
      return new Response(null, { status: 201 });
    },
  });
  return {
    port: server.port ?? 0,
    digests: () => [...blobs.keys()],
    size: () => [...blobs.values()].reduce((sum, size) => sum + size, 0),
    [Symbol.dispose]: () => void server.stop(true),
  };
}

/** A line to `port` that breaks once, after so many bytes towards the server. */
async function breakingLine(port: number, after: number) {
  let [bytes, breaks] = [0, 0];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };
  const server = createServer((client) => {
    let head = true;
    const upstream = connect(port, "127.0.0.1");
    keep(client);
    keep(upstream);
    client.on("data", (chunk: Buffer) => {
      // A client that tries TLS first.
      if (head && chunk[0] === 0x16) return void client.destroy();
      head = false;
      bytes += chunk.length;
      if (breaks === 0 && bytes > after) {
        breaks += 1;
        client.destroy();
        return void upstream.end();
      }
      if (!upstream.write(chunk)) {
        client.pause();
        upstream.once("drain", () => client.resume());
      }
    });
    client.on("close", () => upstream.end());
    upstream.pipe(client);
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  return {
    host: `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    bytes: () => bytes,
    breaks: () => breaks,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
