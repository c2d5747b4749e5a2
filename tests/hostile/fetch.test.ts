/** Servers, layouts and archives that lie. Each test says what must not happen. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { blobsOf, fetching } from "../harness/fetching.ts";
import { type BuiltOci, blobPath, buildBusyboxOci, packOciArchive } from "../harness/images.ts";
import { type RawAnswer, type RawRequest, rawServer } from "../harness/raw-server.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

let dir: TemporaryDirectory;
let layout = "";
let image: BuiltOci;

beforeAll(() => {
  dir = temporaryDirectory("hostile");
  layout = join(dir.path, "layout");
  image = buildBusyboxOci(layout, { busybox: false, layers: [{ "a/b": "first" }, { big: randomBytes(400_000) }] });
});
afterAll(() => dir?.[Symbol.dispose]());

function store(options: { idleTimeout?: number } = {}) {
  const own = temporaryDirectory("store");
  return { ...fetching(own.path, options), dir: own.path, [Symbol.dispose]: own[Symbol.dispose] };
}

/** Serves the layout as a registry; `twist` may answer first. */
function registryAnswer(
  request: RawRequest,
  twist: (kind: string, digest: string) => RawAnswer | undefined,
): RawAnswer {
  const [, kind = "", reference = ""] = /^\/v2\/app\/(manifests|blobs)\/(.+)$/.exec(request.path) ?? [];
  if (kind === "") return { status: 200 };
  const digest = reference === "latest" ? image.manifestDigest : reference;
  const twisted = twist(kind, digest);
  if (twisted !== undefined) return twisted;
  const body = readFileSync(blobPath(layout, digest));
  const headers: Record<string, string> =
    kind === "manifests" ? { "content-type": "application/vnd.oci.image.manifest.v1+json" } : {};
  const start = Number(/bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
  if (start === 0) return { status: 200, headers, body };
  return {
    status: 206,
    headers: { "content-range": `bytes ${start}-${body.length - 1}/${body.length}` },
    body: body.subarray(start),
  };
}

const layer = (at: number) => image.layers[at] ?? { digest: "", size: 0, diffId: "" };
const bytesOf = (digest: string) => readFileSync(blobPath(layout, digest));

describe("a registry that lies about content", () => {
  test("another layer than the manifest names never gets into the store", async () => {
    using to = store();
    using server = await rawServer((request) =>
      registryAnswer(request, (_, digest) =>
        digest === layer(1).digest ? { status: 200, body: randomBytes(layer(1).size) } : undefined,
      ),
    );
    await expect(to.fetch(`docker://${server.host}/app`)).rejects.toMatchObject({ code: "DIGEST_MISMATCH" });
    expect(to.leftovers()).toEqual([]);
    expect(runProgram(["find", to.dir, "-name", "*-*", "-size", "+300k", "-type", "f"])).toBe("");
  });

  test("a body without end is cut at the stated size", async () => {
    using to = store();
    const endless: RawAnswer = {
      status: 200,
      body: Buffer.alloc(65536, 1),
      endless: true,
      headers: { "content-length": "" },
    };
    using server = await rawServer((request) =>
      registryAnswer(request, (_, digest) => (digest === layer(1).digest ? endless : undefined)),
    );
    await expect(to.fetch(`docker://${server.host}/app`)).rejects.toThrow(
      `longer than the stated ${layer(1).size} bytes`,
    );
    expect(to.leftovers()).toEqual([]);
    using documents = await rawServer((request) =>
      registryAnswer(request, (kind) => (kind === "manifests" ? endless : undefined)),
    );
    await expect(to.fetch(`docker://${documents.host}/app`)).rejects.toThrow("longer than 4194304 bytes");
  });

  test("a manifest under another digest is refused, asked by digest or claimed by header", async () => {
    using to = store();
    const other = Buffer.from(`${bytesOf(image.manifestDigest)} `);
    using server = await rawServer((request) =>
      registryAnswer(request, (kind) => (kind === "manifests" ? { status: 200, body: other } : undefined)),
    );
    await expect(to.fetch(`docker://${server.host}/app@${image.manifestDigest}`)).rejects.toMatchObject({
      code: "DIGEST_MISMATCH",
    });
    using claiming = await rawServer((request) =>
      registryAnswer(request, (kind) =>
        kind === "manifests"
          ? { status: 200, body: other, headers: { "docker-content-digest": image.manifestDigest } }
          : undefined,
      ),
    );
    await expect(to.fetch(`docker://${claiming.host}/app`)).rejects.toMatchObject({ code: "DIGEST_MISMATCH" });
  });

  test("a layer whose content has another diff id than the configuration says is refused", async () => {
    using to = store();
    const wrong = join(dir.path, "wrong-diff-id");
    mkdirSync(join(wrong, "blobs/sha256"), { recursive: true });
    const put = (content: Buffer | string) => {
      const hex = createHash("sha256").update(content).digest("hex");
      writeFileSync(join(wrong, "blobs/sha256", hex), content);
      return { digest: `sha256:${hex}`, size: Buffer.from(content).length };
    };
    const layers = [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...put(gzipSync(Buffer.alloc(1024))) }];
    const diff = { type: "layers", diff_ids: [`sha256:${"0".repeat(64)}`] };
    const config = put(JSON.stringify({ os: "linux", architecture: "amd64", rootfs: diff }));
    const manifest = put(
      JSON.stringify({
        schemaVersion: 2,
        config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
        layers,
      }),
    );
    const index = {
      schemaVersion: 2,
      manifests: [{ mediaType: "application/vnd.oci.image.manifest.v1+json", ...manifest }],
    };
    writeFileSync(join(wrong, "index.json"), JSON.stringify(index));
    writeFileSync(join(wrong, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    await expect(to.fetch(`oci:${wrong}`)).rejects.toThrow("has the diff id");
    expect(to.leftovers()).toEqual([]);
  });

  test("a document that is index and manifest at once is malicious", async () => {
    using to = store();
    const both = JSON.stringify({ ...JSON.parse(bytesOf(image.manifestDigest).toString()), manifests: [] });
    using server = await rawServer((request) =>
      registryAnswer(request, (kind) => (kind === "manifests" ? { status: 200, body: both } : undefined)),
    );
    await expect(to.fetch(`docker://${server.host}/app`)).rejects.toMatchObject({ code: "MALICIOUS" });
  });

  test("a Content-Encoding header does not change what is hashed", async () => {
    using to = store();
    using server = await rawServer((request) => {
      const answer = registryAnswer(request, () => undefined);
      return { ...answer, headers: { ...answer.headers, "content-encoding": "gzip" } };
    });
    const download = await to.fetch(`docker://${server.host}/app`);
    expect(blobsOf(download).every(to.holds)).toBe(true);
  });
});

describe("a bad line", () => {
  test("a transfer that breaks off again and again goes on each time", async () => {
    using to = store();
    using server = await rawServer((request) => {
      const answer = registryAnswer(request, () => undefined);
      const body = Buffer.from(answer.body ?? "");
      // Never more than 60 kB at once, though the whole is promised.
      return body.length < 60_000 ? answer : { ...answer, body: body.subarray(0, 60_000), length: body.length };
    });
    const download = await to.fetch(`docker://${server.host}/app`);
    expect(blobsOf(download).every(to.holds)).toBe(true);
    expect(server.requests.filter((request) => request.headers.has("range")).length).toBeGreaterThan(5);
  });

  test("a server that knows no ranges is asked for the whole again", async () => {
    using to = store();
    let cuts = 0;
    using server = await rawServer((request) => {
      const { headers } = request;
      const answer = registryAnswer(
        { ...request, headers: new Map([...headers].filter(([name]) => name !== "range")) },
        () => undefined,
      );
      const body = Buffer.from(answer.body ?? "");
      return body.length > 60_000 && cuts++ < 2
        ? { ...answer, body: body.subarray(0, 60_000 * cuts), length: body.length }
        : answer;
    });
    const download = await to.fetch(`docker://${server.host}/app`);
    expect(blobsOf(download).every(to.holds)).toBe(true);
  });

  test("one that gives nothing more ends with an error, and the next fetch uses what came", async () => {
    using to = store();
    let dead = true;
    using server = await rawServer((request) =>
      registryAnswer(request, (_, digest) => {
        if (!dead || digest !== layer(1).digest) return undefined;
        const start = /bytes=/.test(request.headers.get("range") ?? "");
        return start
          ? { status: 503 }
          : { status: 200, body: bytesOf(digest).subarray(0, 100_000), length: layer(1).size };
      }),
    );
    await expect(to.fetch(`docker://${server.host}/app`)).rejects.toMatchObject({ code: "HTTP_STATUS" });
    expect(to.leftovers().length).toBe(1);
    dead = false;
    const download = await to.fetch(`docker://${server.host}/app`);
    expect(to.log()).toContain("at byte 100000");
    expect(blobsOf(download).every(to.holds)).toBe(true);
    expect(to.leftovers()).toEqual([]);
  });

  test("temporary refusals are retried, silence is not waited for without end", async () => {
    using to = store({ idleTimeout: 300 });
    let busy = 2;
    using server = await rawServer((request) => {
      if (request.path.includes("/manifests/") && busy-- > 0) return { status: 429, headers: { "retry-after": "1" } };
      return registryAnswer(request, () => undefined);
    });
    expect((await to.fetch(`docker://${server.host}/app`)).format).toBe("oci");
    using other = store({ idleTimeout: 300 });
    using silent = await rawServer((request) =>
      registryAnswer(request, (_, digest) =>
        digest === layer(1).digest ? { status: 200, body: "x", length: layer(1).size, hold: true } : undefined,
      ),
    );
    await expect(other.fetch(`docker://${silent.host}/app`)).rejects.toMatchObject({ code: "NETWORK" });
  });

  test("an ACI in chunks that break off is not taken for whole", async () => {
    using to = store();
    const body = `8000\r\n${"x".repeat(0x8000)}\r\n`;
    using server = await rawServer(() => ({
      status: 200,
      body,
      headers: { "content-length": "", "transfer-encoding": "chunked" },
    }));
    await expect(to.fetch(`${server.url}/a.aci`)).rejects.toMatchObject({ code: "NETWORK" });
    expect(to.leftovers()).toEqual([]);
  });
});

describe("secrets", () => {
  const basic = { user: "u", password: "secret" };
  const withToken = (request: RawRequest, realm: string): RawAnswer | undefined =>
    request.headers.get("authorization") === "Bearer t0ken"
      ? undefined
      : {
          status: 401,
          headers: { "www-authenticate": `Bearer realm="${realm}",service="s",scope="repository:other:push"` },
        };

  test("a token is fetched with our own scope, and does not follow redirects to another host", async () => {
    using to = store();
    using elsewhere = await rawServer(({ path }) => ({ status: 200, body: bytesOf(path.slice(1)) }));
    using server = await rawServer((request) => {
      if (request.path.startsWith("/token")) return { status: 200, body: '{"token":"t0ken"}' };
      const refusal = withToken(request, `http://${request.headers.get("host")}/token`);
      if (refusal !== undefined) return refusal;
      return registryAnswer(request, (kind, digest) =>
        kind === "blobs" ? { status: 307, headers: { location: `${elsewhere.url}/${digest}` } } : undefined,
      );
    });
    const download = await to.fetch(`docker://${server.host}/app`, { credentials: { basic } });
    expect(blobsOf(download).every(to.holds)).toBe(true);
    expect(elsewhere.requests.length).toBeGreaterThan(0);
    expect(elsewhere.requests.some((request) => request.headers.has("authorization"))).toBe(false);
    const tokens = server.requests.filter((request) => request.path.startsWith("/token"));
    expect(tokens.map((request) => new URL(request.path, server.url).searchParams.get("scope"))).toEqual([
      "repository:app:pull",
    ]);
    expect(tokens[0]?.headers.get("authorization")).toBe(`Basic ${btoa("u:secret")}`);
    expect(JSON.stringify(to.events)).not.toMatch(/secret|t0ken/);
  });

  test("another host's 401 behind a redirect gets no credentials", async () => {
    using to = store();
    using thief = await rawServer(() => ({ status: 401, headers: { "www-authenticate": 'Basic realm="x"' } }));
    using server = await rawServer((request) =>
      registryAnswer(request, (kind, digest) =>
        kind === "blobs" ? { status: 302, headers: { location: `${thief.url}/${digest}` } } : undefined,
      ),
    );
    await expect(to.fetch(`docker://${server.host}/app`, { credentials: { basic } })).rejects.toMatchObject({
      code: "HTTP_STATUS",
    });
    expect(thief.requests.some((request) => request.headers.has("authorization"))).toBe(false);
  });

  test("an identity token stays with the token server, wherever that one redirects", async () => {
    using to = store();
    using thief = await rawServer(() => ({ status: 200, body: JSON.stringify({ token: "x" }) }));
    for (const status of [301, 302, 307, 308]) {
      using server = await rawServer((request) =>
        request.path.startsWith("/token")
          ? { status, headers: { location: `${thief.url}/token` } }
          : {
              status: 401,
              headers: { "www-authenticate": `Bearer realm="http://${request.headers.get("host")}/token"` },
            },
      );
      const credentials = { refreshToken: "identity-t0ken" };
      await expect(to.fetch(`docker://${server.host}/app`, { credentials })).rejects.toMatchObject({
        code: "HTTP_STATUS",
      });
      expect(server.requests.some(({ path }) => path === "/token")).toBe(true);
    }
    expect(thief.requests).toEqual([]);
    expect(JSON.stringify(to.events)).not.toContain("identity-t0ken");
  });

  test("a server cannot make the token's line into two", async () => {
    using to = store();
    using server = await rawServer((request) =>
      request.path.startsWith("/token")
        ? { status: 200, body: JSON.stringify({ token: "a\r\nX-Evil: b" }) }
        : {
            status: 401,
            headers: { "www-authenticate": `Bearer realm="http://${request.headers.get("host")}/token"` },
          },
    );
    await expect(to.fetch(`docker://${server.host}/app`)).rejects.toMatchObject({ code: "AUTHENTICATION" });
  });

  test("headers for an ACI's host stay with that host", async () => {
    using to = store();
    using elsewhere = await rawServer(() => ({ status: 404 }));
    using server = await rawServer(() => ({
      status: 302,
      headers: { location: `http://localhost:${elsewhere.host.split(":")[1]}/x` },
    }));
    await expect(
      to.fetch(`${server.url}/a.aci`, { headers: { Authorization: "Basic c2VjcmV0" } }),
    ).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(server.requests[0]?.headers.get("authorization")).toBe("Basic c2VjcmV0");
    expect(elsewhere.requests.map((request) => request.headers.has("authorization"))).toEqual([false]);
  });

  test("redirects end, and do not lead out of the web", async () => {
    using to = store();
    using loop = await rawServer(({ headers }) => ({
      status: 302,
      headers: { location: `http://${headers.get("host")}/again` },
    }));
    await expect(to.fetch(`${loop.url}/a.aci`)).rejects.toThrow("too many redirects");
    expect(loop.requests.length).toBe(11);
    using file = await rawServer(() => ({ status: 302, headers: { location: "file:///etc/passwd" } }));
    await expect(to.fetch(`${file.url}/a.aci`)).rejects.toThrow("expected an https URL");
  });
});

describe("layouts and archives that lie", () => {
  test("links and special files of a layout lead nowhere", async () => {
    using to = store();
    const evil = join(dir.path, "links");
    runProgram(["cp", "-r", layout, evil]);
    runProgram(["rm", blobPath(evil, layer(1).digest)]);
    symlinkSync("/etc/passwd", blobPath(evil, layer(1).digest));
    await expect(to.fetch(`oci:${evil}`)).rejects.toMatchObject({ code: "MALICIOUS" });
    runProgram(["rm", blobPath(evil, layer(1).digest)]);
    runProgram(["mkfifo", blobPath(evil, layer(1).digest)]);
    await expect(to.fetch(`oci:${evil}`)).rejects.toThrow("not a regular file");
  });

  test("a cut archive, a damaged header and garbage are errors that say so", async () => {
    using to = store();
    const archive = join(dir.path, "cut.tar");
    packOciArchive(layout, archive);
    truncateSync(archive, statSync(archive).size - 200_000);
    await expect(to.fetch(`oci-archive:${archive}`)).rejects.toMatchObject({ code: "INVALID_INPUT" });
    writeFileSync(archive, randomBytes(100_000));
    await expect(to.fetch(`docker-archive:${archive}`)).rejects.toMatchObject({ code: "INVALID_INPUT" });
    writeFileSync(archive, gzipSync(randomBytes(1000)).subarray(0, 500));
    await expect(to.fetch(`oci-archive:${archive}`)).rejects.toThrow("Cannot decompress");
    expect(to.leftovers()).toEqual([]);
  });

  test("links in a circle end, and names with dots find nothing", async () => {
    using to = store();
    const tree = join(dir.path, "circle");
    mkdirSync(tree);
    symlinkSync("b.tar", join(tree, "a.tar"));
    symlinkSync("a.tar", join(tree, "b.tar"));
    const diff = { type: "layers", diff_ids: [`sha256:${"0".repeat(64)}`] };
    writeFileSync(join(tree, "config.json"), JSON.stringify({ os: "linux", architecture: "amd64", rootfs: diff }));
    for (const name of ["a.tar", "../../../etc/passwd", "/etc/passwd"]) {
      writeFileSync(
        join(tree, "manifest.json"),
        JSON.stringify([{ Config: "config.json", RepoTags: null, Layers: [name] }]),
      );
      const archive = join(dir.path, "circle.tar");
      runProgram(["tar", "-cf", archive, "-C", tree, "."]);
      await expect(to.fetch(`docker-archive:${archive}`)).rejects.toThrow("holds no layer");
    }
  });

  test("an ACI cut off, of garbage, or without a manifest leaves nothing behind", async () => {
    using to = store();
    const path = join(dir.path, "bad.aci");
    for (const content of [
      randomBytes(5000),
      gzipSync(Buffer.alloc(20_000)).subarray(0, 30),
      gzipSync(Buffer.alloc(20_000)),
      Buffer.alloc(0),
    ]) {
      writeFileSync(path, content);
      await expect(to.fetch(path)).rejects.toMatchObject({ code: "INVALID_INPUT" });
    }
    expect(to.leftovers()).toEqual([]);
  });
});
