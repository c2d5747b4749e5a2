/** The store under kill -9 and on a full disk: whatever was cut off, the next command understands what is there. The second part needs root (a small tmpfs). */

import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DataDir } from "../../src/core/data-dir.ts";
import { linux } from "../../src/host/mod.ts";
import { collectImages, findImage, initDataDir, listImages, missingBlobs, removeImage } from "../../src/store/mod.ts";
import { buildAci } from "../harness/images.ts";
import { testRkt } from "../harness/rkt.ts";
import { runProgram, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

/** Puts and removes images for ever. */
const CHURN = `
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { DataDir } from "${join(import.meta.dir, "../../src/core/data-dir.ts")}";
import { imageIdFromSha512 } from "${join(import.meta.dir, "../../src/core/digest.ts")}";
import { putImage, removeImage } from "${join(import.meta.dir, "../../src/store/mod.ts")}";
const dataDir = new DataDir(process.argv[1]);
const blob = (text) => {
  const digest = { algorithm: "sha512", hex: createHash("sha512").update(text).digest("hex") };
  const path = dataDir.blob(digest);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path + process.pid, text);
  renameSync(path + process.pid, path);
  return { digest, size: text.length, mediaType: "application/x-tar" };
};
for (let round = 0; ; round++) {
  const text = "image " + (round % 3);
  const archive = blob(text);
  const download = { format: "aci", id: imageIdFromSha512(archive.digest.hex), archive, uncompressedSize: 1, signature: Buffer.from("s"),
    manifest: Buffer.from("{}"), name: "example.com/app", labels: [], origin: "test" };
  try {
    const stored = putImage(dataDir, { download, verification: { kind: "insecure" } }, ["https://example.com/" + (round % 3)]);
    if (round % 2 === 0) removeImage(dataDir, stored);
  } catch (error) {
    if (error.code !== "CONFLICT") throw error;
  }
}
`;

test("killed at any moment, by two writers at once", async () => {
  using dir = temporaryDirectory("crash");
  const dataDir = new DataDir(join(dir.path, "data"));
  initDataDir(dataDir, linux);
  const warnings: unknown[] = [];
  const emit = (event: unknown) => void warnings.push(event);
  for (let round = 0; round < 25; round++) {
    const writers = [0, 1].map(() => Bun.spawn([process.execPath, "-e", CHURN, dataDir.root], { stderr: "pipe" }));
    await Bun.sleep(150 + Math.random() * 150);
    for (const writer of writers) writer.kill("SIGKILL");
    for (const writer of writers) {
      expect(await new Response(writer.stderr).text()).toBe("");
      await writer.exited;
    }
    for (const image of listImages(dataDir, { emit })) expect(missingBlobs(dataDir, image)).toEqual([]);
    findImage(dataDir, { kind: "aci-url", url: "https://example.com/1" }, { emit });
    expect(warnings).toEqual([]);
  }
  for (const image of listImages(dataDir)) removeImage(dataDir, image);
  runProgram(["find", dataDir.cas, "-type", "f", "-exec", "touch", "-d", "2 days ago", "{}", "+"]);
  expect(collectImages(dataDir, { grace: 0, inUse: new Set(), emit }).stale).toEqual([]);
  // What is left: the parts of blobs that the test itself names in its own way, and the lock that fetches hold.
  const kept = ["-not", "-path", "*/blob/*", "-not", "-path", "*/imagelocks/fetch"];
  const left = runProgram(["find", dataDir.cas, "-type", "f", ...kept]);
  expect(left).toBe("");
});

test("a full disk: fetching fails with a clear line, listing works, removing frees the space", () => {
  using rkt = testRkt();
  mkdirSync(rkt.dataDir);
  runProgram(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0755", "tmpfs", rkt.dataDir]);
  const image = join(rkt.dir, "app.aci");
  buildAci(image, { name: "example.com/app" });
  rkt.ok(["--insecure-options=image", "fetch", image]);
  const filler = join(rkt.dataDir, "filler");
  expect(() => runProgram(["dd", "if=/dev/zero", `of=${filler}`, "bs=64k"])).toThrow("No space left");
  const second = join(rkt.dir, "second.aci");
  buildAci(second, { name: "example.com/second" }, { data: "x".repeat(200_000) });
  const failed = rkt.run(["--insecure-options=image", "fetch", second]);
  expect(failed.status).toBe(254);
  expect(failed.stderr).toMatch(/space/i);
  expect(rkt.ok(["image", "list", "--no-legend", "--fields=name"])).toBe("example.com/app:1.0.0\n");
  expect(rkt.run(["image", "rm", "example.com/app"]).status).toBe(0);
  expect(rkt.run(["image", "gc", "--grace-period=0s"]).status).toBe(0);
  writeFileSync(join(rkt.dataDir, "fits"), "x".repeat(500_000));
});
