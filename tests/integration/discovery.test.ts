/** Images by name: discovery over TLS, keys by discovery, dependencies. The built program against sites of the test. Needs root, openssl, gpg, gpgv, busybox-static. */

import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AppcSite, discoveryPage, startAppcSite } from "../harness/appc-site.ts";
import { type AciManifest, buildAci, type Files, makeSigner, type Signer } from "../harness/images.ts";
import { type Result, type TestRkt, testRkt } from "../harness/rkt.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

const ARCH = process.arch === "arm64" ? "aarch64" : "amd64";
const TEMPLATE = "https://images.example.com/{name}-{version}-{os}-{arch}.{ext}";

let dir: TemporaryDirectory;
let site: AppcSite;
let signer: Signer;

beforeAll(async () => {
  dir = temporaryDirectory("discovery");
  signer = makeSigner("Signer <signer@example.com>");
  site = await startAppcSite(dir.path);
});

afterAll(() => {
  site?.stop();
  signer?.[Symbol.dispose]();
  dir?.[Symbol.dispose]();
});

beforeEach(() => {
  site.pages.clear();
  site.requests.length = 0;
  site.authorizations.clear();
  site.pages.set("https://example.com/key.asc", { body: signer.publicKey });
});

function labels(version: string, arch = ARCH) {
  return [
    { name: "version", value: version },
    { name: "os", value: "linux" },
    { name: "arch", value: arch },
  ];
}

let built = 0;

/** Publishes an image and its signature where the template leads; returns its id. */
function publish(name: string, version: string, more: AciManifest = {}, files: Files = {}, at = version): string {
  built += 1;
  const path = join(dir.path, `${built}.aci`);
  const manifest = { name, labels: labels(version), ...more };
  const hash = buildAci(path, manifest, { "etc/image": `${name} ${version} ${built}`, ...files }, { busybox: false });
  const url = `images.example.com/${name}-${at}-linux-${ARCH}.aci`;
  site.pages.set(url, { body: readFileSync(path), headers: { etag: `"${built}"` } });
  site.pages.set(`${url}.asc`, { body: readFileSync(signer.sign(path)) });
  return `sha512-${hash.slice(0, 64)}`;
}

/** The site says where images and keys of a prefix are. */
function announce(place: string, prefix = "example.com"): void {
  const keys = ["ac-discovery-pubkeys", prefix, "https://example.com/key.asc"] as const;
  site.pages.set(place, discoveryPage(["ac-discovery", prefix, TEMPLATE], keys));
}

function trust(rkt: TestRkt, prefix = "example.com"): void {
  const file = join(rkt.dir, "key.asc");
  writeFileSync(file, signer.publicKey);
  rkt.ok(["trust", `--prefix=${prefix}`, "--skip-fingerprint-review", file]);
}

/** Started, not run: the sites live in this process. */
function rktFetch(rkt: TestRkt, ...args: string[]): Promise<Result> {
  return rkt.start(["fetch", "--full", ...args], { env: site.env }).ended;
}

describe("discovery", () => {
  test("walks up to the page that knows the name, and checks what it gets", async () => {
    using rkt = testRkt();
    trust(rkt);
    announce("https://example.com");
    site.pages.set("https://example.com/team", { body: "<html><head><title>Nothing of interest" });
    const id = publish("example.com/team/app", "1.0");
    const result = await rktFetch(rkt, "--debug", "example.com/team/app:1.0");
    expect(result).toMatchObject({ status: 0, stdout: `${id}\n` });
    expect(site.requests).toEqual([
      "GET https://example.com/team/app?ac-discovery=1",
      "GET https://example.com/team?ac-discovery=1",
      "GET https://example.com/?ac-discovery=1",
      `GET https://images.example.com/example.com/team/app-1.0-linux-${ARCH}.aci.asc`,
      `GET https://images.example.com/example.com/team/app-1.0-linux-${ARCH}.aci`,
    ]);
    expect(result.stderr).toContain("image: searching for app image example.com/team/app\n");
    expect(result.stderr).toContain("image: signature verified:\n  Signer <signer@example.com>");
  });

  test("without a version it asks for latest, and later prefers what it got", async () => {
    using rkt = testRkt();
    trust(rkt);
    announce("https://example.com/app", "example.com/app");
    const id = publish("example.com/app", "2.0", {}, {}, "latest");
    const older = publish("example.com/app", "1.0");
    expect((await rktFetch(rkt, "example.com/app")).stdout).toBe(`${id}\n`);
    expect((await rktFetch(rkt, "example.com/app:1.0")).stdout).toBe(`${older}\n`);
    site.requests.length = 0;
    const stored = await rktFetch(rkt, "--pull-policy=new", "--debug", "example.com/app");
    expect(stored.stdout).toBe(`${id}\n`);
    expect(stored.stderr).toContain("image: using image from local store for image name example.com/app");
    expect(site.requests).toEqual([]);
  });

  test("every endpoint is tried in order, each with the signature beside it", async () => {
    using rkt = testRkt();
    trust(rkt);
    const id = publish("example.com/app", "1.0");
    const unsigned = join(dir.path, "unsigned.aci");
    buildAci(unsigned, { name: "example.com/app", labels: labels("1.0") }, {}, { busybox: false });
    site.pages.set("unsigned.example.com/example.com/app.aci", { body: readFileSync(unsigned) });
    site.pages.set("https://example.com/app", {
      ...discoveryPage(
        ["ac-discovery", "example.com/other", "https://wrong.example.com/{name}.{ext}"],
        ["ac-discovery", "example.com", "https://gone.example.com/{name}-{flavor}.{ext}"],
        ["ac-discovery", "example.com", "https://gone.example.com/{name}.{ext}"],
        ["ac-discovery", "example.com", "https://unsigned.example.com/{name}.{ext}"],
        ["ac-discovery", "example.com", TEMPLATE],
        ["ac-discovery", "example.com", "https://late.example.com/{name}.{ext}"],
      ),
    });
    const result = await rktFetch(rkt, "--debug", "example.com/app:1.0");
    expect(result.stdout).toBe(`${id}\n`);
    expect(site.requests.slice(1)).toEqual([
      "GET https://gone.example.com/example.com/app.aci.asc",
      "GET https://unsigned.example.com/example.com/app.aci.asc",
      `GET https://images.example.com/example.com/app-1.0-linux-${ARCH}.aci.asc`,
      `GET https://images.example.com/example.com/app-1.0-linux-${ARCH}.aci`,
    ]);
    expect(result.stderr).toContain("trying the next endpoint");
  });

  test.each([
    [
      "example.com/app:1.0",
      { name: "example.com/wrong" },
      'error when reading the app name: "example.com/app" expected but "example.com/wrong" found',
    ],
    [
      "example.com/app:1.0",
      { labels: labels("0.9") },
      'requested value for label "version": "1.0" differs from fetched aci label value: "0.9"',
    ],
    [
      "example.com/app:1.0",
      { labels: labels("1.0").filter(({ name }) => name !== "arch") },
      'requested label "arch" not provided by the image manifest',
    ],
    ["example.com/app:1.0,channel=beta", {}, 'requested label "channel" not provided by the image manifest'],
  ])("%s: an image that is another one is refused, signed or not", async (app, manifest, message) => {
    using rkt = testRkt();
    trust(rkt);
    announce("https://example.com");
    publish("example.com/app", "1.0", manifest);
    // At the address of the right one.
    for (const options of [[], ["--insecure-options=image"]]) {
      const result = await rktFetch(rkt, ...options, app);
      expect(result.status).toBe(254);
      expect(result.stderr).toContain(`: ${message}\n`);
    }
    expect(rkt.ok(["image", "list", "--no-legend"]).trim()).toBe("");
  });

  test("what is not found, not reachable, not for this machine says so", async () => {
    using rkt = testRkt();
    const result = await rktFetch(rkt, "--insecure-options=image", "example.com/none");
    expect(result.status).toBe(254);
    expect(result.stderr).toContain('fetch: discovery failed for "example.com/none');
    expect(result.stderr).toContain("no endpoints discovered");
    const unknown = await rktFetch(rkt, "--insecure-options=image", "unknown.net/app");
    expect(unknown.stderr).toContain("its certificate is not trusted");
    const foreign = await rktFetch(rkt, "example.com/app,os=freebsd");
    expect(foreign.stderr).toContain('bad os "freebsd" (must be one of: [linux])');
    const never = await rktFetch(rkt, "--pull-policy=never", "example.com/app");
    expect(never.stderr).toContain('fetch: unable to fetch image from image name "example.com/app');
    expect(never.stderr).toContain("either image was not found in the store or store was disabled");
  });

  test("a page that is no page, and one without end", async () => {
    using rkt = testRkt();
    trust(rkt);
    const id = publish("example.com/a/app", "1.0");
    announce("https://example.com");
    site.pages.set("https://example.com/a/app", { body: Buffer.alloc(3_000_000, "<meta ") });
    site.pages.set("https://example.com/a", { status: 500 });
    const result = await rktFetch(rkt, "--debug", "example.com/a/app:1.0");
    expect(result.stdout).toBe(`${id}\n`);
    expect(result.stderr).toContain("it is longer than 1048576 bytes");
  });
});

describe("insecure options", () => {
  /** A site over plain http only, with the image on the same site. */
  function plainSite(): string {
    const id = publish("plain.net/app", "1.0");
    const image = `images.example.com/plain.net/app-1.0-linux-${ARCH}.aci`;
    for (const file of [image, `${image}.asc`]) site.pages.set(file, site.pages.get(file) ?? {});
    site.pages.set(
      "http://plain.net/app",
      discoveryPage(["ac-discovery", "plain.net", TEMPLATE.replace("https:", "http:")]),
    );
    return id;
  }

  test("http allows a plain site, but no unsigned image; all-fetch allows both", async () => {
    using rkt = testRkt();
    const id = plainSite();
    expect((await rktFetch(rkt, "plain.net/app:1.0")).status).toBe(254);
    const plain = await rktFetch(rkt, "--insecure-options=http", "plain.net/app:1.0");
    expect(plain.stderr).toContain("signature made by unknown entity");
    // tls takes a certificate for another name, and still speaks no plain http.
    const tls = await rktFetch(rkt, "--insecure-options=tls,image", "plain.net/app:1.0");
    expect(tls.stderr).toContain("no endpoints discovered");
    expect(site.requests.filter((line) => line.startsWith("GET http:")).length).toBeGreaterThan(0);
    expect((await rktFetch(rkt, "--insecure-options=all-fetch", "plain.net/app:1.0")).stdout).toBe(`${id}\n`);
  });

  test("tls takes any certificate", async () => {
    using rkt = testRkt();
    const id = publish("nobody.net/app", "1.0");
    site.pages.set("https://nobody.net/app", discoveryPage(["ac-discovery", "nobody.net", TEMPLATE]));
    expect((await rktFetch(rkt, "--insecure-options=image", "nobody.net/app:1.0")).stderr).toContain("certificate");
    expect((await rktFetch(rkt, "--insecure-options=image,tls", "nobody.net/app:1.0")).stdout).toBe(`${id}\n`);
  });

  test("credentials of the host go to its pages and to the images on it, over https only", async () => {
    using rkt = testRkt();
    mkdirSync(join(rkt.configDir, "auth.d"));
    writeFileSync(
      join(rkt.configDir, "auth.d/a.json"),
      JSON.stringify({
        rktKind: "auth",
        rktVersion: "v1",
        domains: ["example.com", "images.example.com", "plain.net"],
        type: "oauth",
        credentials: { token: "secret-token" },
      }),
    );
    announce("https://example.com");
    publish("example.com/app", "1.0");
    const result = await rktFetch(rkt, "--insecure-options=image", "--debug", "example.com/app:1.0");
    expect(result.status).toBe(0);
    expect(site.authorizations.get("https://example.com/?ac-discovery=1")).toBe("Bearer secret-token");
    const image = `https://images.example.com/example.com/app-1.0-linux-${ARCH}.aci`;
    expect(site.authorizations.get(image)).toBe("Bearer secret-token");
    expect(result.stderr).not.toContain("secret-token");
    site.authorizations.clear();
    plainSite();
    expect((await rktFetch(rkt, "--insecure-options=image,http", "plain.net/app:1.0")).status).toBe(0);
    expect([...site.authorizations.keys()].filter((url) => url.startsWith("http:"))).toEqual([]);
  });
});

describe("keys by discovery", () => {
  test("--trust-keys-from-https takes what the site publishes; without it nobody can be asked", async () => {
    using rkt = testRkt();
    announce("https://example.com");
    const id = publish("example.com/app", "1.0");
    const asked = await rktFetch(rkt, "example.com/app:1.0");
    expect(asked.status).toBe(254);
    expect(asked.stderr).toContain('pubkey: To trust the key for "example.com/app", do one of the following:');
    expect(asked.stderr).toContain("openpgp: signature made by unknown entity");
    const result = await rktFetch(rkt, "--trust-keys-from-https", "example.com/app:1.0");
    expect(result.stdout).toContain(`${id}\n`);
    expect(result.stdout).toContain('for prefix "example.com/app" without fingerprint review.');
    const again = await rktFetch(rkt, "--trust-keys-from-https", "--debug", "example.com/app:1.0");
    expect(again.stderr).toContain('keys already exist for prefix "example.com/app", not fetching again');
    expect(again.stdout).toBe(`${id}\n`);
  });

  test("not over a connection that nobody vouches for", async () => {
    using rkt = testRkt();
    announce("https://example.com");
    publish("example.com/app", "1.0");
    const result = await rktFetch(rkt, "--trust-keys-from-https", "--insecure-options=tls", "example.com/app:1.0");
    expect(result.status).toBe(254);
    expect(result.stderr).toContain("image: warning: TLS verification has been disabled\n");
    expect(result.stderr).toContain("signature made by unknown entity");
    expect(site.requests.filter((request) => request.includes("key.asc"))).toEqual([]);
    // With the word for keys they are looked for, and shown to whoever can be asked.
    const asked = await rktFetch(
      rkt,
      "--trust-keys-from-https",
      "--insecure-options=tls,pubkey",
      "example.com/app:1.0",
    );
    expect(asked.stderr).toContain('pubkey: To trust the key for "example.com/app", do one of the following:');
    expect(asked.status).toBe(254);
  });

  test("over plain http only with a word for it and one for keys", async () => {
    using rkt = testRkt();
    publish("plain.net/app", "1.0");
    const tags = [
      ["ac-discovery", "plain.net", TEMPLATE],
      ["ac-discovery-pubkeys", "plain.net", "http://plain.net/key.asc"],
    ] as const;
    site.pages.set("http://plain.net", discoveryPage(...tags));
    site.pages.set("http://plain.net/key.asc", { body: signer.publicKey });
    const keys = () => site.requests.filter((request) => request.includes("key.asc"));
    for (const option of ["http", "pubkey"]) {
      expect((await rktFetch(rkt, `--insecure-options=${option}`, "plain.net/app:1.0")).status).toBe(254);
      expect(keys()).toEqual([]);
    }
    const asked = await rktFetch(rkt, "--insecure-options=http,pubkey", "plain.net/app:1.0");
    expect(keys()).toEqual(["GET http://plain.net/key.asc"]);
    expect(asked.stderr).toContain('To trust the key for "plain.net/app"');
  });

  test("rkt trust --prefix finds them too", async () => {
    using rkt = testRkt();
    announce("https://example.com");
    const args = ["trust", "--prefix=example.com/app", "--trust-keys-from-https"];
    const result = await rkt.start(args, { env: site.env }).ended;
    expect(result.stdout).toContain('Added key for prefix "example.com/app"');
    const id = publish("example.com/app", "1.0");
    expect((await rktFetch(rkt, "example.com/app:1.0")).stdout).toBe(`${id}\n`);
  });
});
