/** The fetch step against a real registry, layouts and archives made by skopeo, and ACIs behind a web server. Needs docker-registry, skopeo, busybox-static, xz, bzip2. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AciDownload, OciDownload } from "../../src/core/spine.ts";
import { blobsOf, fetching } from "../harness/fetching.ts";
import {
  addOciIndex,
  type BuiltOci,
  buildAci,
  buildBusyboxOci,
  packDockerArchive,
  packOciArchive,
} from "../harness/images.ts";
import { rawServer } from "../harness/raw-server.ts";
import { startRegistry, type TestRegistry } from "../harness/registry.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

let dir: TemporaryDirectory;
let layout = "";
let image: BuiltOci;
let registry: TestRegistry;

beforeAll(async () => {
  dir = temporaryDirectory("fetch");
  layout = join(dir.path, "layout");
  const layers = [1, 2, 3, 4, 5].map((n) => ({ [`data/${n}`]: randomBytes(300_000) }));
  image = buildBusyboxOci(layout, { layers, tag: "v1" });
  const other = buildBusyboxOci(layout, { architecture: "s390x", tag: "other", compression: "zstd" });
  addOciIndex(layout, "multi", { "linux/s390x": other, "linux/amd64": image, "linux/arm64": image });
  buildBusyboxOci(layout, { tag: "plain", compression: "none", layers: [{ "a/b": "c" }] });
  registry = await startRegistry();
  registry.push(layout, "v1", "app:v1");
  registry.push(layout, "v1", "app:docker", { format: "v2s2" });
  registry.push(layout, "multi", "deep/er/multi:latest", { all: true });
  registry.push(layout, "other", "app:zstd");
  registry.push(layout, "plain", "app:plain");
}, 60_000);

afterAll(() => {
  registry?.stop();
  dir?.[Symbol.dispose]();
});

function store() {
  const own = temporaryDirectory("store");
  return { ...fetching(own.path), dir: own.path, [Symbol.dispose]: own[Symbol.dispose] };
}

describe("a registry", () => {
  test.each(["app:v1", "app:docker", "app:zstd", "app:plain", "deep/er/multi"])("%s arrives whole", async (name) => {
    using to = store();
    const download = (await to.fetch(`docker://${registry.host}/${name}`)) as OciDownload;
    expect(blobsOf(download).every(to.holds)).toBe(true);
    expect(download.id).toBe(sha512Id(readFileSync(to.path(download.manifest))) as never);
    expect(to.leftovers()).toEqual([]);
    expect(download.name).toBe(`127.0.0.1_${registry.port}/${name.split(":")[0]}`);
  });

  test("an index leads to this machine's image, a digest to that very manifest", async () => {
    using to = store();
    const viaIndex = (await to.fetch(`docker://${registry.host}/deep/er/multi`)) as OciDownload;
    expect(`sha256:${viaIndex.manifest.digest.hex}`).toBe(image.manifestDigest);
    const other = (await to.fetch(`docker://${registry.host}/deep/er/multi`, {
      platform: { os: "linux", architecture: "s390x" },
    })) as OciDownload;
    expect(other.labels).toContainEqual({ name: "arch", value: "s390x" });
    const pinned = (await to.fetch(`docker://${registry.host}/app@${image.manifestDigest}`)) as OciDownload;
    expect(pinned.id).toBe(viaIndex.id);
    expect(pinned.labels).toContainEqual({ name: "version", value: image.manifestDigest });
  });

  test("a second fetch transfers nothing, and a damaged layer is fetched again", async () => {
    using to = store();
    const name = `docker://${registry.host}/app:v1`;
    const download = (await to.fetch(name)) as OciDownload;
    to.events.length = 0;
    await to.fetch(name);
    expect(to.events.filter((event) => event.kind === "progress")).toEqual([]);
    const layer = download.layers[2];
    if (layer === undefined) throw new Error("no layer");
    rmSync(to.path(layer));
    writeFileSync(to.path(layer), Buffer.alloc(layer.size, 7));
    await to.fetch(name);
    expect(to.holds(layer)).toBe(true);
    expect(to.log()).toContain("is damaged; fetching it again");
  });

  test("what is not there is named", async () => {
    using to = store();
    await expect(to.fetch(`docker://${registry.host}/app:none`)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(to.fetch(`docker://${registry.host}/app:v1`, { insecureHttp: false })).rejects.toMatchObject({
      code: "NETWORK",
    });
    await expect(
      to.fetch(`docker://${registry.host}/deep/er/multi`, { platform: { os: "plan9", architecture: "amd64" } }),
    ).rejects.toThrow("the index offers linux/s390x, linux/amd64, linux/arm64");
  });

  test("ten fetches at once share one download", async () => {
    using to = store();
    const all = await Promise.all(Array.from({ length: 10 }, () => to.fetch(`docker://${registry.host}/app:v1`)));
    expect(new Set(all.map((download) => download.id)).size).toBe(1);
    expect(all.flatMap(blobsOf).every(to.holds)).toBe(true);
    expect(to.leftovers()).toEqual([]);
    expect(to.log()).toContain("another rkt instance is downloading layer");
  });

  test("an interrupted layer goes on where it stopped; a wrong beginning is thrown away", async () => {
    using to = store();
    const [, wanted, second] = image.layers;
    const part = (digest: string) => join(to.dir, "tmp", `${digest.replace(":", "-")}.part`);
    const content = readFileSync(join(layout, "blobs", (wanted?.digest ?? "").replace(":", "/")));
    writeFileSync(part(wanted?.digest ?? ""), content.subarray(0, 100_000));
    writeFileSync(part(second?.digest ?? ""), Buffer.alloc(1000, 1));
    const download = await to.fetch(`docker://${registry.host}/app:v1`);
    expect(to.log()).toContain("at byte 100000");
    expect(blobsOf(download).every(to.holds)).toBe(true);
    expect(to.leftovers()).toEqual([]);
  });

  test("basic authentication: right, wrong and without", async () => {
    using closed = await startRegistry({ account: { user: "u", password: "pässword" } });
    closed.push(layout, "v1", "app:v1");
    using to = store();
    const name = `docker://${closed.host}/app:v1`;
    await expect(to.fetch(name)).rejects.toMatchObject({ code: "AUTHENTICATION" });
    await expect(to.fetch(name, { credentials: { basic: { user: "u", password: "x" } } })).rejects.toMatchObject({
      code: "AUTHENTICATION",
    });
    const download = await to.fetch(name, { credentials: { basic: { user: "u", password: "pässword" } } });
    expect(blobsOf(download).every(to.holds)).toBe(true);
    expect(JSON.stringify(to.events)).not.toContain("ssword");
  });

  test("https: refused without its authority, good with it, and with --insecure-options=tls", async () => {
    using secure = await startRegistry({ tls: true });
    secure.push(layout, "v1", "app:v1");
    using to = store();
    const name = `docker://${secure.host}/app:v1`;
    await expect(to.fetch(name, { insecureHttp: false })).rejects.toThrow("certificate is not trusted");
    const certificates = { bundle: readFileSync(secure.certificate ?? "", "utf8"), extra: "" };
    expect((await to.fetch(name, { insecureHttp: false, certificates })).format).toBe("oci");
    expect((await to.fetch(name, { insecureHttp: false, insecureTls: true })).format).toBe("oci");
  });
});

describe("layouts and archives", () => {
  test("a layout, its tar file and its gzipped tar file give the image of the registry", async () => {
    using to = store();
    const archive = join(dir.path, "layout.tar");
    packOciArchive(layout, archive);
    runProgram(["gzip", "--keep", "--force", archive]);
    const fromRegistry = await to.fetch(`docker://${registry.host}/app:v1`);
    for (const name of [
      `oci:${layout}:v1`,
      `oci-archive:${archive}:v1`,
      `oci-archive:${archive}.gz:v1`,
      `oci:${layout}:multi`,
    ]) {
      using own = store();
      const download = await own.fetch(name);
      expect(download.id).toBe(fromRegistry.id);
      expect(blobsOf(download).every(own.holds)).toBe(true);
      expect(own.leftovers()).toEqual([]);
    }
  });

  test("what the layout does not say is asked for", async () => {
    using to = store();
    await expect(to.fetch(`oci:${layout}`)).rejects.toMatchObject({ code: "AMBIGUOUS" });
    await expect(to.fetch(`oci:${layout}:none`)).rejects.toMatchObject({
      code: "NOT_FOUND",
      hint: expect.stringContaining('"multi"'),
    });
    await expect(to.fetch(`oci:${dir.path}`)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("docker save, and the same compressed by the loader", async () => {
    const archive = join(dir.path, "docker.tar");
    packDockerArchive(layout, "v1", archive, "example.com/busybox:7");
    using to = store();
    const download = (await to.fetch(`docker-archive:${archive}`)) as OciDownload;
    expect(download.name).toBe("example.com/busybox");
    expect(download.labels).toContainEqual({ name: "version", value: "7" });
    expect(download.layers.map((layer) => `sha256:${layer.diffId.hex}`)).toEqual(
      image.layers.map((layer) => layer.diffId),
    );
    expect(blobsOf(download).every(to.holds)).toBe(true);
    const again = await to.fetch(`docker-archive:${archive}:example.com/busybox:7`);
    expect(again.id).toBe(download.id);
    await expect(to.fetch(`docker-archive:${archive}:busybox`)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

describe("App Container images", () => {
  test.each(["gzip", "bzip2", "xz", "none"] as const)("a file compressed by %s", async (compression) => {
    using to = store();
    const path = join(dir.path, `${compression}.aci`);
    const sha512 = buildAci(path, { name: "example.com/app" }, {}, { compression });
    const download = (await to.fetch(path)) as AciDownload;
    expect(download.id as string).toBe(`sha512-${sha512.slice(0, 64)}`);
    expect(download.name).toBe("example.com/app");
    expect(JSON.parse(Buffer.from(download.manifest).toString()).acKind).toBe("ImageManifest");
    expect(to.holds(download.archive)).toBe(true);
    expect(to.leftovers()).toEqual([]);
  });

  test("a URL: signature first, deferred signature, validators, resume", async () => {
    using to = store();
    const path = join(dir.path, "url.aci");
    buildAci(path, {}, { big: randomBytes(2_000_000) });
    const content = readFileSync(path);
    const seen: string[] = [];
    let signatures = 0;
    using server = await rawServer((request) => {
      const range = request.headers.get("range");
      seen.push(`${request.path}${range === undefined ? "" : ` ${range}`}`);
      if (request.path.endsWith(".asc"))
        return signatures++ === 0 ? { status: 202 } : { status: 200, body: "signature" };
      if (request.headers.get("if-none-match") === '"v1"') return { status: 304 };
      const headers = { etag: '"v1"', "cache-control": "max-age=0" };
      const start = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
      if (start > 0) {
        expect(request.headers.get("if-range")).toBe('"v1"');
        const partial = { ...headers, "content-range": `bytes ${start}-${content.length - 1}/${content.length}` };
        return { status: 206, headers: partial, body: content.subarray(start) };
      }
      // A length that is promised and not kept.
      return { status: 200, headers, body: content.subarray(0, 1_000_000), length: content.length };
    });
    const url = `${server.url}/a.aci`;
    const signature = { url: `${url}.asc`, headers: {} };
    const download = (await to.fetch(url, { signature })) as AciDownload;
    expect(Buffer.from(download.signature ?? "").toString()).toBe("signature");
    expect(to.holds(download.archive)).toBe(true);
    expect(download.archive.digest.hex).toBe(createHash("sha512").update(content).digest("hex"));
    expect(seen[0]).toBe("/a.aci.asc");
    expect(seen.some((line) => /^\/a\.aci bytes=\d+-$/.test(line))).toBe(true);
    expect(to.log()).toContain("server requested deferring the signature download");
    expect(to.log()).toContain(`remote fetching from URL "${url}"`);
    const again = (await to.fetch(url)) as AciDownload;
    expect(again.id).toBe(download.id);
    expect(to.log()).toContain("has not changed");
    expect(to.leftovers()).toEqual([]);
  });

  test("a proxy of the environment is used, and a host that nobody knows is called so", async () => {
    using to = store();
    const path = join(dir.path, "proxied.aci");
    buildAci(path);
    using proxy = await rawServer(() => ({ status: 200, body: readFileSync(path) }));
    const proxies = { http: proxy.url, https: undefined, none: undefined };
    const download = (await to.fetch("http://images.invalid/a.aci", { proxies })) as AciDownload;
    expect(to.holds(download.archive)).toBe(true);
    expect(proxy.requests.map((request) => request.path)).toEqual(["http://images.invalid/a.aci"]);
    const none = { ...proxies, none: ".invalid" };
    await expect(to.fetch("http://images.invalid/b.aci", { proxies: none })).rejects.toThrow(
      /no address is known for the host|the name server does not answer/,
    );
  });

  test("a URL without a signature ends before the image is downloaded", async () => {
    using to = store();
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("no", { status: 404 }) });
    const url = `http://127.0.0.1:${server.port}/a.aci`;
    await expect(to.fetch(url, { signature: { url: `${url}.asc`, headers: {} } })).rejects.toMatchObject({
      code: "NOT_TRUSTED",
    });
    await expect(to.fetch(url)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(to.fetch(url, { insecureHttp: false })).rejects.toThrow("plain http is not allowed");
  });
});

function sha512Id(content: Uint8Array): string {
  return `sha512-${createHash("sha512").update(content).digest("hex").slice(0, 64)}`;
}
