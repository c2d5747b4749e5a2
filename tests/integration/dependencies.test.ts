/** App Container images that depend on others: fetched with them, verified each, put together, and kept while they are needed. Needs root, openssl, gpg, gpgv, busybox-static. */

import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AppcSite, discoveryPage, startAppcSite } from "../harness/appc-site.ts";
import { type AciManifest, buildAci, type Files, makeSigner, type Signer } from "../harness/images.ts";
import { type Result, type TestRkt, testRkt } from "../harness/rkt.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

const ARCH = process.arch === "arm64" ? "aarch64" : "amd64";

let dir: TemporaryDirectory;
let site: AppcSite;
let signer: Signer;
let stranger: Signer;

beforeAll(async () => {
  dir = temporaryDirectory("dependencies");
  signer = makeSigner("Signer <signer@example.com>");
  stranger = makeSigner("Stranger <stranger@example.com>", "ed25519");
  site = await startAppcSite(dir.path);
});

afterAll(() => {
  site?.stop();
  signer?.[Symbol.dispose]();
  stranger?.[Symbol.dispose]();
  dir?.[Symbol.dispose]();
});

beforeEach(() => {
  site.pages.clear();
  site.requests.length = 0;
  const template = "https://images.example.com/{name}-{version}-{os}-{arch}.{ext}";
  site.pages.set("https://example.com", discoveryPage(["ac-discovery", "example.com", template]));
});

let built = 0;

/** Builds an image; returns its id and its file. */
function build(name: string, version: string, more: AciManifest, files: Files) {
  built += 1;
  const path = join(dir.path, `${built}.aci`);
  const labels = [
    { name: "version", value: version },
    { name: "os", value: "linux" },
    { name: "arch", value: ARCH },
  ];
  const hash = buildAci(path, { name, labels, ...more }, files, { busybox: false });
  return { id: `sha512-${hash.slice(0, 64)}`, path };
}

/** Builds an image and puts it, signed, where discovery leads, also as the latest version. */
function publish(name: string, version: string, more: AciManifest = {}, files: Files = {}, by = signer) {
  const image = build(name, version, more, files);
  const signature = readFileSync(by.sign(image.path));
  for (const at of [version, "latest"]) {
    const url = `images.example.com/${name}-${at}-linux-${ARCH}.aci`;
    site.pages.set(url, { body: readFileSync(image.path), headers: { etag: `"${built}"` } });
    site.pages.set(`${url}.asc`, { body: signature });
  }
  return image;
}

function trusting(): TestRkt {
  const rkt = testRkt();
  const file = join(rkt.dir, "key.asc");
  writeFileSync(file, signer.publicKey);
  rkt.ok(["trust", "--prefix=example.com", "--skip-fingerprint-review", file]);
  return rkt;
}

/** Started, not run: the site lives in this process. */
function start(rkt: TestRkt, ...args: string[]): Promise<Result> {
  return rkt.start(args, { env: site.env }).ended;
}

/** Files of the rendered image by path, with their content. */
function rendered(rkt: TestRkt, id: string): Record<string, string> {
  const output = join(rkt.dir, "rendered");
  rkt.ok(["image", "render", "--overwrite", "--rootfs-only", id, output]);
  const files = readdirSync(output, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(paths.sort().map((path) => [path.slice(output.length), readFileSync(path, "utf8")]));
}

function stored(rkt: TestRkt): string[] {
  return rkt
    .ok(["image", "list", "--no-legend", "--fields=name"])
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean)
    .sort();
}

describe("dependencies", () => {
  test("are fetched with their image, with theirs, and put together: upper files win, whitelists filter", async () => {
    using rkt = trusting();
    publish("example.com/base", "1.0", {}, { "etc/who": "base", "etc/base": "base", "etc/hidden": "base" });
    publish(
      "example.com/middle",
      "1.0",
      { dependencies: [{ imageName: "example.com/base" }], pathWhitelist: ["/etc/who", "/etc/middle", "/etc/base"] },
      { "etc/who": "middle", "etc/middle": "middle" },
    );
    const dependencies = [{ imageName: "example.com/middle", labels: [{ name: "version", value: "1.0" }] }];
    const top = publish("example.com/top", "1.0", { dependencies }, { "etc/top": "top" });
    const result = await start(rkt, "fetch", "--full", "--debug", "example.com/top:1.0");
    expect(result).toMatchObject({ status: 0, stdout: `${top.id}\n` });
    expect(stored(rkt)).toEqual(["example.com/base:1.0", "example.com/middle:1.0", "example.com/top:1.0"]);
    expect(result.stderr.match(/signature verified/g)?.length).toBe(3);
    expect(rendered(rkt, top.id)).toEqual({
      "/etc/base": "base",
      "/etc/middle": "middle",
      "/etc/top": "top",
      "/etc/who": "middle",
    });
  });

  test("of a file come from their sites; an unsigned one, or one by a stranger, spoils the whole", async () => {
    using rkt = trusting();
    publish("example.com/base", "1.0", {}, { "etc/base": "base" });
    const top = build("example.com/top", "1.0", { dependencies: [{ imageName: "example.com/base" }] }, {});
    signer.sign(top.path, top.path.replace(/\.aci$/, ".aci.asc"));
    expect((await start(rkt, "fetch", "--full", top.path)).stdout).toBe(`${top.id}\n`);
    expect(rendered(rkt, top.id)["/etc/base"]).toBe("base");

    using other = trusting();
    publish("example.com/base", "1.0", {}, { "etc/base": "bad" }, stranger);
    const refused = await start(other, "fetch", top.path);
    expect(refused.status).toBe(254);
    expect(refused.stderr).toContain("signature made by unknown entity");
    const never = other.run(["fetch", "--pull-policy=never", top.path]);
    expect(never.stderr).toContain("unable to fetch image from image name");
  });

  test("with an id must be that very image, with labels must have them", async () => {
    using rkt = trusting();
    const base = publish("example.com/base", "1.0", {}, { "etc/base": "right" });
    const good = publish("example.com/good", "1.0", {
      dependencies: [{ imageName: "example.com/base", imageID: base.id }],
    });
    expect((await start(rkt, "fetch", "example.com/good:1.0")).status).toBe(0);
    expect(rendered(rkt, good.id)).toEqual({ "/etc/base": "right" });
    // Another image under the same name does not stand in for it.
    publish("example.com/base", "1.1", {}, { "etc/base": "new" });
    publish("example.com/bad", "1.0", {
      dependencies: [{ imageName: "example.com/base", imageID: `sha512-${"ab".repeat(32)}` }],
    });
    const bad = await start(rkt, "fetch", "example.com/bad:1.0");
    expect(bad.stderr).toContain('fetch: Cannot use dependency "example.com/base": the image is sha512-');
    const labels = [{ name: "version", value: "9" }];
    publish("example.com/none", "1.0", { dependencies: [{ imageName: "example.com/base", labels }] });
    const none = await start(rkt, "fetch", "example.com/none:1.0");
    expect(none.status).toBe(254);
    expect(rendered(rkt, good.id)).toEqual({ "/etc/base": "right" });
  });

  test("an updated dependency is in the image at its next start", async () => {
    using rkt = trusting();
    publish("example.com/base", "1.0", {}, { "etc/base": "old" });
    const top = publish("example.com/top", "1.0", { dependencies: [{ imageName: "example.com/base" }] });
    expect((await start(rkt, "fetch", "example.com/top:1.0")).status).toBe(0);
    expect(rendered(rkt, top.id)).toEqual({ "/etc/base": "old" });
    publish("example.com/base", "2.0", {}, { "etc/base": "new" });
    expect((await start(rkt, "fetch", "--pull-policy=new", "example.com/top:1.0")).status).toBe(0);
    expect(rendered(rkt, top.id)).toEqual({ "/etc/base": "old" });
    expect((await start(rkt, "fetch", "--pull-policy=update", "example.com/top:1.0")).status).toBe(0);
    expect(rendered(rkt, top.id)).toEqual({ "/etc/base": "new" });
  });

  test("a circle is refused, and so is a chain without end", async () => {
    using rkt = trusting();
    publish("example.com/a", "1.0", { dependencies: [{ imageName: "example.com/b" }] });
    publish("example.com/b", "1.0", { dependencies: [{ imageName: "example.com/a" }] });
    const circle = await start(rkt, "fetch", "example.com/a:1.0");
    expect(circle.status).toBe(254);
    expect(circle.stderr).toContain("depends on itself");
    // Unsigned, for the sake of time: every name leads to an image that needs the next one.
    for (let depth = 0; depth < 40; depth += 1) {
      const next = `example.com/deep${depth + 1}`;
      const image = build(`example.com/deep${depth}`, "1.0", { dependencies: [{ imageName: next }] }, {});
      const url = `images.example.com/example.com/deep${depth}-latest-linux-${ARCH}.aci`;
      site.pages.set(url, { body: readFileSync(image.path) });
    }
    const deep = await start(rkt, "--insecure-options=image", "fetch", "example.com/deep0");
    expect(deep.status).toBe(254);
    expect(deep.stderr).toContain("dependencies more than 32 levels deep");
  });

  test("are not collected while an image in use depends on them, and go with it", async () => {
    using rkt = trusting();
    publish("example.com/base", "1.0", {}, { "etc/base": "base" });
    const top = publish("example.com/top", "1.0", { dependencies: [{ imageName: "example.com/base" }] });
    expect((await start(rkt, "fetch", "example.com/top:1.0")).status).toBe(0);
    const records = join(rkt.dataDir, "cas/images");
    const age = (skip: string): void => {
      const old = new Date(Date.now() - 48 * 3600 * 1000);
      for (const name of readdirSync(records)) {
        if (name.endsWith(".json") && !name.startsWith(skip)) utimesSync(join(records, name), old, old);
      }
    };
    age(top.id);
    rkt.ok(["image", "gc"]);
    expect(stored(rkt)).toEqual(["example.com/base:1.0", "example.com/top:1.0"]);
    const removed = rkt.run(["image", "rm", "example.com/base"]);
    expect(removed.status).toBe(0);
    expect(removed.stderr).toContain(`is one that image "${top.id}" depends on`);
    // It is fetched again when the image is put together the next time.
    expect((await start(rkt, "fetch", "--pull-policy=new", "example.com/top:1.0")).status).toBe(0);
    expect(stored(rkt)).toEqual(["example.com/base:1.0", "example.com/top:1.0"]);
    age("none");
    rkt.ok(["image", "gc"]);
    expect(stored(rkt)).toEqual([]);
  });
});
