/** Attack: a member of group rkt, who owns the files of the store, changes an image's content after it was verified. Needs root. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(120_000);

const CHANGES: [what: string, change: (path: string) => void, words: RegExp][] = [
  ["a bit", (path) => writeFileSync(path, flipped(readFileSync(path))), /its content has sha/],
  [
    "the end",
    (path) => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from("more")])),
    /bytes, expected|another size/,
  ],
  [
    "the file for a link to another",
    (path) => {
      rmSync(path);
      symlinkSync("/etc/passwd", path);
    },
    /missing or has another size|symbolic link|ELOOP/,
  ],
  [
    "the file for a pipe",
    (path) => {
      rmSync(path);
      runProgram(["mkfifo", path]);
    },
    /missing or has another size|no plain file|not a regular file/,
  ],
];

test.each(CHANGES)(
  "changing %s of a layer or archive is found before anything of it is used",
  (_what, change, words) => {
    using dir = temporaryDirectory("tampered");
    using rkt = testRkt();
    const [layout, aci] = [join(dir.path, "layout"), join(dir.path, "app.aci")];
    buildBusyboxOci(layout, {});
    buildAci(aci);
    for (const reference of [`oci:${layout}:latest`, aci]) {
      const id = rkt.ok(["--insecure-options=image", "fetch", "--full", reference]).trim();
      for (const name of readdirSync(join(rkt.dataDir, "cas/layer")))
        rmSync(join(rkt.dataDir, "cas/layer", name), { recursive: true });
      change(largestBlob(rkt));
      const { status, stderr } = rkt.run(["--insecure-options=image", "prepare", "--quiet", id]);
      expect(stderr).toMatch(words);
      expect(status).toBe(254);
      expect(readdirSync(join(rkt.dataDir, "cas/layer"))).toEqual([]);
      expect(rkt.pods()).toEqual([]);
      rkt.ok(["image", "rm", id]);
      rkt.ok(["image", "gc", "--grace-period=0s"]);
    }
  },
);

function largestBlob(rkt: TestRkt): string {
  const list = runProgram(["find", join(rkt.dataDir, "cas/blob"), "-type", "f", "-printf", "%s %p\n"])
    .trim()
    .split("\n");
  const [largest = ""] = list.toSorted((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10));
  return largest.slice(largest.indexOf(" ") + 1);
}

function flipped(bytes: Buffer): Buffer {
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  return bytes;
}
