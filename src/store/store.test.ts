import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DataDir } from "../core/data-dir.ts";
import { formatDigest, imageIdFromSha512, parseImageId } from "../core/digest.ts";
import type { AciDownload, BlobRef, ImageReference, OciDownload, Verification } from "../core/spine.ts";
import { linux } from "../host/mod.ts";
import {
  collectImages,
  findImage,
  findImageById,
  findImageByName,
  imageManifestText,
  initDataDir,
  listImages,
  missingBlobs,
  putImage,
  removeImage,
  storedDownload,
  touchImage,
} from "./mod.ts";

let dataDir: DataDir;
beforeEach(() => {
  dataDir = new DataDir(mkdtempSync(join(tmpdir(), "rkt-store-")));
  initDataDir(dataDir, linux);
});
afterEach(() => rmSync(dataDir.root, { recursive: true }));

const SIGNED: Verification = { kind: "openpgp", fingerprint: "8b86de38890ddb7291867b025210bd8888182190" };
const INSECURE: Verification = { kind: "insecure" };

function blob(content: string, algorithm: "sha256" | "sha512" = "sha256"): BlobRef {
  const digest = { algorithm, hex: createHash(algorithm).update(content).digest("hex") };
  mkdirSync(dirname(dataDir.blob(digest)), { recursive: true });
  writeFileSync(dataDir.blob(digest), content);
  return { digest, size: Buffer.byteLength(content), mediaType: "application/octet-stream" };
}

function aci(content: string, name = "example.com/app", version = "v1"): AciDownload {
  return {
    format: "aci",
    id: imageIdFromSha512(createHash("sha512").update(`tar of ${content}`).digest("hex")),
    archive: blob(content, "sha512"),
    uncompressedSize: 4711,
    signature: Buffer.from("signature"),
    manifest: Buffer.from(`{"name":"${name}"}`),
    name,
    labels: [
      { name: "version", value: version },
      { name: "os", value: "linux" },
    ],
    origin: "https://example.com/app.aci",
  };
}

function oci(tag: string, layers: string[]): OciDownload {
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: { Cmd: [`/${tag}`] },
    rootfs: { type: "layers", diff_ids: [] },
  });
  const manifest = `manifest of ${tag} with ${layers.join()}`;
  return {
    format: "oci",
    id: imageIdFromSha512(createHash("sha512").update(manifest).digest("hex")),
    manifest: blob(manifest),
    config: blob(config),
    layers: layers.map((layer) => ({ ...blob(layer), diffId: blob(layer).digest })),
    source: { registry: "localhost:5000", repository: "app", reference: tag },
    name: "localhost_5000/app",
    labels: [{ name: "version", value: tag }],
    origin: `docker://localhost:5000/app:${tag}`,
  };
}

const docker = (tag: string): ImageReference => ({
  kind: "docker",
  registry: "localhost:5000",
  repository: "app",
  tag,
  digest: undefined,
  text: `docker://localhost:5000/app:${tag}`,
});

describe("putImage and look-up by id", () => {
  test("an image is found by its id, any unique prefix of it, and the digest of its content", () => {
    const stored = putImage(dataDir, { download: aci("a"), verification: SIGNED }, []);
    expect(stored.verification).toEqual(SIGNED);
    expect(stored.size).toBe(1);
    expect(findImageById(dataDir, stored.id)).toEqual(stored);
    expect(findImageById(dataDir, stored.id.slice(0, 12))?.id).toBe(stored.id);
    expect(findImageById(dataDir, stored.id + "0".repeat(64))?.id).toBe(stored.id);
    const [archive] = stored.layers;
    expect(findImageById(dataDir, archive === undefined ? "" : formatDigest(archive.digest))?.id).toBe(stored.id);
  });

  test("rkt's words for ids that name nothing", () => {
    putImage(dataDir, { download: aci("a"), verification: SIGNED }, []);
    expect(() => findImageById(dataDir, "sha256-aa")).toThrow("wrong key prefix");
    expect(() => findImageById(dataDir, "sha512-a")).toThrow("image ID too short");
    expect(findImageById(dataDir, `sha512-${"0".repeat(64)}`)).toBeUndefined();
    for (const digit of ["0", "1"])
      writeFileSync(dataDir.imageRecord(parseImageId(`sha512-ab${digit.repeat(62)}`)), "");
    expect(() => findImageById(dataDir, "sha512-ab")).toThrow('ambiguous image ID: "sha512-ab"');
  });

  test("refuses to record an image without its blobs, and leaves nothing that can be found", () => {
    const download = aci("a");
    rmSync(dataDir.blob(download.archive.digest));
    expect(() => putImage(dataDir, { download, verification: SIGNED }, [])).toThrow("1 of its blobs");
    expect(findImageById(dataDir, download.id)).toBeUndefined();
  });

  test("modes: group rkt shares records, the verdict is the caller's alone", () => {
    const { id } = putImage(dataDir, { download: aci("a"), verification: SIGNED }, ["https://example.com/app.aci"]);
    expect(statSync(dataDir.imageRecord(id)).mode & 0o777).toBe(0o660);
    expect(statSync(dataDir.verifiedRecord(id)).mode & 0o777).toBe(0o600);
  });

  test("secrets in a URL do not lie in the store", () => {
    putImage(dataDir, { download: aci("a"), verification: SIGNED }, ["https://example.com/app.aci?token=hunter2"]);
    const grep = Bun.spawnSync(["grep", "-r", "hunter2", dataDir.root]);
    expect(grep.exitCode).toBe(1);
  });
});

describe("look-up by name", () => {
  const query = (version?: string) => ({
    name: "example.com/app",
    labels: version === undefined ? [] : [{ name: "version", value: version }],
  });

  test("all labels must match; without a version the image fetched as latest comes first, then the newest", async () => {
    const first = putImage(dataDir, { download: aci("1", "example.com/app", "v1"), verification: SIGNED }, [], {
      latest: true,
    });
    await Bun.sleep(2);
    const second = putImage(dataDir, { download: aci("2", "example.com/app", "v2"), verification: SIGNED }, []);
    expect(findImageByName(dataDir, query())?.id).toBe(first.id);
    expect(findImageByName(dataDir, query("v2"))?.id).toBe(second.id);
    expect(findImageByName(dataDir, query("v3"))).toBeUndefined();
    await Bun.sleep(2);
    putImage(dataDir, { download: aci("1", "example.com/app", "v1"), verification: SIGNED }, []);
    await Bun.sleep(2);
    putImage(dataDir, { download: aci("2", "example.com/app", "v2"), verification: SIGNED }, []);
    expect(findImageByName(dataDir, query())?.id).toBe(second.id);
  });

  test("a name that an unsigned image gives itself does not count, unless asked for; a name it was fetched by does", () => {
    const { id } = putImage(dataDir, { download: aci("evil"), verification: INSECURE }, []);
    expect(findImageByName(dataDir, query())).toBeUndefined();
    expect(findImageByName(dataDir, query(), { claimedNames: true })?.id).toBe(id);
    putImage(dataDir, { download: aci("evil"), verification: INSECURE }, ["example.com/app"]);
    expect(findImageByName(dataDir, query())?.id).toBe(id);
  });

  test("a reference is found again, and follows a tag that moved", () => {
    const name = "docker://localhost:5000/app:1";
    const old = putImage(dataDir, { download: oci("1", ["base", "old"]), verification: INSECURE }, [name]);
    expect(findImage(dataDir, docker("1"))?.id).toBe(old.id);
    const moved = putImage(dataDir, { download: oci("1", ["base", "new"]), verification: INSECURE }, [name]);
    expect(findImage(dataDir, docker("1"))?.id).toBe(moved.id);
    removeImage(dataDir, old);
    expect(findImage(dataDir, docker("1"))?.id).toBe(moved.id);
    expect(findImage(dataDir, docker("2"))).toBeUndefined();
  });
});

describe("what others wrote is not believed", () => {
  test("a record without a verdict is an image to verify first", () => {
    const { id } = putImage(dataDir, { download: aci("a"), verification: SIGNED }, []);
    rmSync(dataDir.verifiedRecord(id));
    expect(findImageById(dataDir, id)?.verification).toBeUndefined();
    // By name it is offered only because its signature is there to be checked.
    expect(findImageByName(dataDir, { name: "example.com/app", labels: [] })?.verification).toBeUndefined();
    rmSync(dataDir.imageSignature(id));
    expect(findImageByName(dataDir, { name: "example.com/app", labels: [] })).toBeUndefined();
  });

  test("a changed shared record changes nothing for the caller who verified", () => {
    const stored = putImage(dataDir, { download: aci("a"), verification: SIGNED }, []);
    writeFileSync(dataDir.imageRecord(stored.id), JSON.stringify({ id: stored.id, name: "evil.com/other" }));
    expect(findImageById(dataDir, stored.id)?.name).toBe("example.com/app");
  });

  test("a verdict in a shared record is ignored, and so is a verified directory that others may write to", () => {
    const { id } = putImage(dataDir, { download: aci("a"), verification: SIGNED }, []);
    Bun.spawnSync(["cp", dataDir.verifiedRecord(id), dataDir.imageRecord(id)]);
    rmSync(dataDir.verifiedRecord(id));
    expect(findImageById(dataDir, id)?.verification).toBeUndefined();
    putImage(dataDir, { download: aci("a"), verification: SIGNED }, []);
    Bun.spawnSync(["chmod", "0770", dataDir.verified]);
    expect(findImageById(dataDir, id)?.verification).toBeUndefined();
    // A backup that was copied back, say: readers do no harm.
    Bun.spawnSync(["chmod", "0755", dataDir.verified]);
    expect(findImageById(dataDir, id)?.verification).toBeDefined();
  });

  test("broken records are reported with their path and count as absent", () => {
    const warnings: string[] = [];
    const emit = (event: { kind: string; text?: string }) => void warnings.push(event.text ?? "");
    const good = putImage(dataDir, { download: aci("good"), verification: SIGNED }, []);
    const bad = `sha512-${"b".repeat(64)}`;
    writeFileSync(join(dataDir.imageRecords, `${bad}.json`), "{");
    symlinkSync("/etc/passwd", join(dataDir.imageRecords, `sha512-${"c".repeat(64)}.json`));
    expect(listImages(dataDir, { emit }).map(({ id }) => id)).toEqual([good.id]);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`${bad}.json`);
  });
});

describe("removal and collection", () => {
  const age = (path: string, seconds: number) => utimesSync(path, new Date(), new Date(Date.now() - seconds * 1000));
  const collect = (grace: number, inUse: Parameters<typeof collectImages>[1]["inUse"] = new Set()) =>
    collectImages(dataDir, { grace, inUse });

  test("blobs that another image needs stay", () => {
    const one = putImage(dataDir, { download: oci("1", ["base", "one"]), verification: INSECURE }, [
      "docker://x/one:1",
    ]);
    const two = putImage(dataDir, { download: oci("2", ["base", "two"]), verification: INSECURE }, []);
    expect(removeImage(dataDir, one).stale).toEqual([]);
    expect(missingBlobs(dataDir, two)).toEqual([]);
    expect(missingBlobs(dataDir, one)).toHaveLength(3); // manifest, layer "one", its configuration
    expect(readdirSync(dataDir.refs)).toEqual([]);
    expect(readdirSync(dataDir.verified).sort()).toEqual(["refs", `${two.id}.json`]);
    removeImage(dataDir, two);
    expect(Bun.spawnSync(["find", dataDir.blobs, "-type", "f"]).stdout.toString()).toBe("");
  });

  test("use keeps an image: by time, and by a running pod", () => {
    const put = (name: string) => putImage(dataDir, { download: aci(name), verification: SIGNED }, []);
    const [a, b, c] = [put("a"), put("b"), put("c")];
    for (const { id } of [a, b, c]) age(dataDir.imageRecord(id), 7200);
    touchImage(dataDir, b);
    expect(collect(3600_000, new Set([c.id])).images).toBe(1);
    expect(listImages(dataDir).map(({ id }) => id)).toEqual([b.id, c.id].sort());
    expect(findImageById(dataDir, a.id)).toBeUndefined();
  });

  test("leftovers of killed processes go when they are old; the store of rkt 1.x stays", () => {
    const { id } = putImage(dataDir, { download: aci("a"), verification: SIGNED }, ["https://example.com/a.aci"]);
    rmSync(dataDir.imageRecord(id)); // killed between the record and the rest
    const old = join(dataDir.blobs, "sha512/ab", `sha512-ab${"0".repeat(62)}`);
    mkdirSync(dirname(old), { recursive: true });
    writeFileSync(old, "rkt 1.x");
    writeFileSync(join(dataDir.downloads, "partial"), "");
    writeFileSync(join(dataDir.imageRecords, ".new-1"), "");
    expect(collect(50_000_000)).toEqual({ images: 0, leftovers: 0, stale: [] });
    const files = Bun.spawnSync(["find", dataDir.cas, "-type", "f"]).stdout.toString().trim().split("\n");
    for (const file of files) age(file, 100_000);
    // blob, manifest, signature, verdict, two names, download, unfinished record
    expect(collect(50_000_000).leftovers).toBe(8);
    const left = Bun.spawnSync([
      "find",
      dataDir.blobs,
      dataDir.imageRecords,
      dataDir.refs,
      dataDir.verified,
      "-type",
      "f",
    ]);
    expect(left.stdout.toString().trim()).toBe(old);
  });

  test("a download under its lock is left, whatever its age", async () => {
    const path = join(dataDir.downloads, "partial");
    writeFileSync(path, "");
    age(path, 100_000);
    const holder = Bun.spawn(["flock", "--no-fork", path, "sh", "-c", "echo held; exec sleep 300"], { stdout: "pipe" });
    await holder.stdout.getReader().read();
    const { leftovers } = collect(0);
    holder.kill();
    expect(leftovers).toBe(0);
    expect(existsSync(path)).toBe(true);
  });
});

describe("manifests", () => {
  test("an ACI's as it came, an OCI image's converted, with its digest checked", () => {
    const a = putImage(dataDir, { download: aci("a"), verification: SIGNED }, []);
    expect(imageManifestText(dataDir, a)).toBe('{"name":"example.com/app"}');
    const o = putImage(dataDir, { download: oci("1", ["base"]), verification: INSECURE }, []);
    const manifest = JSON.parse(imageManifestText(dataDir, o));
    expect(manifest.name).toBe("localhost_5000/app");
    expect(manifest.app.exec).toEqual(["/1"]);
    expect(manifest.annotations).toContainEqual({ name: "appc.io/docker/registryurl", value: "localhost:5000" });
    const config = o.config;
    if (config === undefined) throw new Error("unreachable");
    writeFileSync(dataDir.blob(config.digest), "x".repeat(config.size));
    expect(() => imageManifestText(dataDir, o)).toThrow("its content has");
  });

  test("a stored image goes back to what was downloaded", () => {
    const download = aci("a");
    const stored = putImage(dataDir, { download, verification: SIGNED }, []);
    expect(storedDownload(dataDir, stored)).toEqual(download);
    const second = oci("1", ["base", "top"]);
    expect(storedDownload(dataDir, putImage(dataDir, { download: second, verification: INSECURE }, []))).toEqual(
      second,
    );
  });
});
