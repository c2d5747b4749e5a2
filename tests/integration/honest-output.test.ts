/** Output is whole or the command says so: a thousand pods through a slow reader, a reader that goes away, a full disk. Needs root. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DataDir } from "../../src/core/data-dir.ts";
import { linux } from "../../src/host/linux.ts";
import { createPod, movePod } from "../../src/pod/mod.ts";
import { buildAci } from "../harness/images.ts";
import { RKT, type TestRkt, testRkt } from "../harness/rkt.ts";

setDefaultTimeout(600_000);

const PODS = 1000;

let rkt: TestRkt;
let uuid = "";

beforeAll(() => {
  rkt = testRkt();
  const aci = join(rkt.dir, "app.aci");
  buildAci(aci);
  const image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
  // One real pod; the others are its copies, as far as list reads them.
  uuid = rkt.ok(["--insecure-options=image", "prepare", "--quiet", image]).trim();
  const real = join(rkt.dataDir, "pods/prepared", uuid);
  const files = ["pod", "appsinfo/busybox/manifest"].map((name) => [name, readFileSync(join(real, name))] as const);
  const data = new DataDir(rkt.dataDir);
  for (let index = 1; index < PODS; index += 1) {
    const made = createPod(data, linux);
    mkdirSync(join(made.dir, "appsinfo/busybox"), { recursive: true });
    for (const [name, content] of files) writeFileSync(join(made.dir, name), content);
    movePod(data, linux, made, index % 2 === 0 ? "prepared" : "exited-garbage");
    closeSync(made.lockFd);
  }
});
afterAll(() => {
  // A thousand stops would take a minute.
  spawnSync("rm", ["-rf", "--one-file-system", join(rkt.dataDir, "pods")]);
  rkt[Symbol.dispose]();
});

/** Runs a shell line with "$@" standing for `rkt ARGS`. */
function shell(line: string, args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", line, "sh", RKT, ...rkt.globals, ...args], {
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
  return { status, stdout, stderr };
}

const WHOLE = '"$@"; echo "status $?" >&2';

describe("a thousand pods", () => {
  test("through a slow pipe: complete, and the same as without one", () => {
    const args = ["list", "--format=json"];
    const plain = shell(WHOLE, args);
    expect(plain.stderr).toBe("status 0\n");
    expect(plain.stdout.length).toBeGreaterThan(200_000);
    const names = new Set((JSON.parse(plain.stdout) as { name: string }[]).map(({ name }) => name));
    expect(names.size).toBe(PODS);
    // The smallest pipe there is (a page), filled long before it is read, and read in small pieces.
    const slow = `
import fcntl, os, subprocess, sys, time
r, w = os.pipe()
fcntl.fcntl(w, 1031, 4096)
p = subprocess.Popen(sys.argv[1:], stdout=w)
os.close(w)
time.sleep(0.5)
while True:
    b = os.read(r, 3000)
    if not b: break
    os.write(1, b)
    if len(b) == 3000: time.sleep(0.001)
sys.exit(p.wait())`;
    const { status, stdout } = spawnSync("python3", ["-c", slow, RKT, ...rkt.globals, ...args], {
      encoding: "utf8",
      maxBuffer: 64 << 20,
    });
    expect(status).toBe(0);
    expect(stdout).toBe(plain.stdout);
  });

  test("the table as well, line by line", () => {
    const { stdout } = shell('"$@" | { sleep 0.3; cat; }', ["list", "--full", "--no-legend"]);
    expect(stdout.trimEnd().split("\n").length).toBe(PODS);
  });

  test("a reader that has seen enough: silence, and the command's own status", () => {
    for (const format of [[], ["--format=json"], ["--format=json-pretty"]]) {
      const { stdout, stderr } = shell('{ "$@"; echo "status $?" >&2; } | head -n 1', ["list", ...format]);
      expect(stdout.split("\n").length).toBe(2);
      expect(stderr).toBe("status 0\n");
    }
  });
});

describe("commands that print", () => {
  const COMMANDS: readonly [name: string, args: () => string[]][] = [
    ["list", () => ["list"]],
    ["list", () => ["list", "--format=json"]],
    ["list", () => ["image", "list"]],
    ["list", () => ["image", "list", "--format=json"]],
    ["status", () => ["status", uuid]],
    ["status", () => ["status", "--format=json", uuid]],
    ["cat-manifest", () => ["cat-manifest", uuid]],
    ["cat-manifest", () => ["image", "cat-manifest", "example.com/busybox"]],
    ["config", () => ["config"]],
    ["version", () => ["version"]],
    ["help", () => ["help"]],
    ["prepare", () => ["--insecure-options=image", "prepare", "example.com/busybox"]],
  ];
  for (const [name, args] of COMMANDS) {
    test(`${args().join(" ")}: on a full disk one clear line and 254`, () => {
      expect(shell('"$@" > /dev/full', args())).toEqual({
        status: 254,
        stdout: "",
        stderr: `${name}: Cannot write to standard output: no space left on device\n`,
      });
    });
    test(`${args().join(" ")}: nobody reads`, () => {
      const { stderr } = shell('{ sleep 0.1; "$@"; echo "status $?" >&2; } | true', args());
      expect(stderr).toBe("status 0\n");
    });
  }
});
