/**
 * No code from the current directory or the environment: rkt runs as root where others may write, and in environments that others set. A trap lies wherever the
 * runtime, or a part of it, is known to look; it must never spring, in rkt, its workers or a stage1's own program. Needs root.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { RKT, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let trap: string;
let sprung: string;
let aci: string;
let foreign: string;

beforeAll(() => {
  rkt = testRkt();
  trap = join(rkt.dir, "trap");
  sprung = join(rkt.dir, "sprung");
  const evil = `require("node:fs").appendFileSync(${JSON.stringify(sprung)}, process.argv.join(" ") + "\\n");\n`;
  mkdirSync(join(trap, "node_modules/valibot"), { recursive: true });
  const files: Record<string, string> = {
    "evil.js": evil,
    "index.js": evil,
    "node_modules/valibot/index.js": evil,
    "bunfig.toml": 'preload = ["./evil.js"]\n',
    ".bunfig.toml": 'preload = ["./evil.js"]\n',
    ".env": `BUN_OPTIONS=--preload=${trap}/evil.js\nNODE_OPTIONS=--require=${trap}/evil.js\nRKT_TEST=from-dot-env\n`,
    "package.json": JSON.stringify({
      main: "evil.js",
      imports: { "#x": "./evil.js" },
      scripts: { version: `echo x >> ${sprung}` },
    }),
    "tsconfig.json": JSON.stringify({ compilerOptions: { paths: { "node:fs": ["./evil.js"] }, jsx: "react" } }),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(trap, name), text);
  aci = join(rkt.dir, "app.aci");
  buildAci(aci);
  foreign = foreignStage1(join(rkt.dir, "stage1.aci"));
});
afterAll(() => rkt[Symbol.dispose]());

/** The fly image under another id: its entrypoints run as the image's own program, not in rkt's process. */
function foreignStage1(path: string): string {
  const unpacked = join(rkt.dir, "stage1");
  mkdirSync(unpacked);
  runProgram(["tar", "--extract", "--file", join(RKT, "../stage1-fly.aci"), "--directory", unpacked]);
  writeFileSync(join(unpacked, "rootfs/usr/lib/rkt/changed"), "");
  runProgram(["tar", "--create", "--gzip", "--file", path, "--directory", unpacked, "manifest", "rootfs"]);
  return path;
}

/** Everything by which somebody who sets the environment could bring in code, but for what the dynamic loader itself looks at. */
const environment = (): Record<string, string> => ({
  BUN_OPTIONS: `--preload=${trap}/evil.js`,
  BUN_BE_BUN: "1",
  BUN_INSPECT: "ws+unix:///nowhere/socket",
  BUN_INSPECT_PRELOAD: `${trap}/evil.js`,
  BUN_CONFIG: `${trap}/bunfig.toml`,
  BUN_CONFIG_VERBOSE_FETCH: "curl",
  BUN_RUNTIME_TRANSPILER_CACHE_PATH: trap,
  BUN_INSTALL: trap,
  NODE_OPTIONS: `--require=${trap}/evil.js`,
  NODE_PATH: trap,
  NODE_TLS_REJECT_UNAUTHORIZED: "0",
  HOME: trap,
  XDG_CONFIG_HOME: trap,
});

function expectNothing(): void {
  expect(existsSync(sprung) ? readFileSync(sprung, "utf8") : "").toBe("");
  expect(readdirSync(trap).sort()).toEqual(
    [
      "evil.js",
      "index.js",
      "node_modules",
      "bunfig.toml",
      ".bunfig.toml",
      ".env",
      "package.json",
      "tsconfig.json",
    ].sort(),
  );
}

test("the traps work: with the plain runtime they spring", () => {
  const bun = process.execPath;
  const env = { PATH: "/usr/bin:/bin", HOME: trap };
  for (const [args, more] of [
    [["-e", "1"], {}],
    [["--config=/dev/null", "-e", "1"], { BUN_OPTIONS: `--preload=${trap}/evil.js` }],
  ] as const) {
    runProgram([bun, ...args], { cwd: trap, env: { ...env, ...more } });
    expect(existsSync(sprung)).toBe(true);
    rmSync(sprung);
  }
});

describe("in a directory of somebody else, in an environment of somebody else", () => {
  const options = () => ({ cwd: trap, env: environment() });

  test("rkt version is rkt's", () => {
    expect(rkt.ok(["version"], options())).toStartWith("rkt Version: ");
    expectNothing();
  });

  test("fetching, verifying and unpacking", () => {
    const id = rkt.ok(["--insecure-options=image", "fetch", "--full", aci], options()).trim();
    expect(id).toStartWith("sha512-");
    rkt.ok(["--insecure-options=image", "prepare", "--quiet", id], options());
    expect(rkt.ok(["image", "list", "--no-legend", "--fields=name"], options())).toContain("example.com/busybox");
    expectNothing();
  });

  for (const [name, flags] of [
    ["nspawn", ["--net=none"]],
    ["nspawn with the default network", []],
    ["fly", ["--stage1-name=coreos.com/rkt/stage1-fly"]],
    ["a stage1 that is a program of its own", ["foreign"]],
  ] as const) {
    test(`run under ${name}; no variable of the runtime reaches the app`, () => {
      const stage1 = flags.map((flag) => (flag === "foreign" ? `--stage1-path=${foreign}` : flag));
      const result = rkt.run(
        ["--insecure-options=image", "run", ...stage1, aci, "--exec=/bin/sh", "--", "-c", "env; exit 3"],
        options(),
      );
      expect({ status: result.status, stderr: result.stderr.includes("Cannot") }).toEqual({ status: 3, stderr: false });
      expect(result.stdout).toContain("AC_APP_NAME=");
      expect(result.stdout).not.toMatch(/BUN_|NODE_|RKT_|LD_|from-dot-env/);
      expectNothing();
    });
  }

  test("stop, enter, status and gc of a pod whose stage1 is a program of its own", async () => {
    const uuidFile = join(rkt.dir, "uuid");
    const running = rkt.start(
      [
        "--insecure-options=image",
        "run",
        `--stage1-path=${foreign}`,
        `--uuid-file-save=${uuidFile}`,
        aci,
        "--exec=/bin/sh",
      ].concat(["--", "-c", "echo up; exec sleep 60"]),
      { env: environment() },
    );
    await until("the app's first line", () => running.stdout().includes("up"));
    const uuid = readFileSync(uuidFile, "utf8");
    expect(readFileSync(`/proc/${running.pid}/environ`, "latin1")).not.toMatch(/BUN_|NODE_/);
    expect(rkt.run(["enter", uuid, "/bin/sh", "-c", "echo inside; exit 5"], options())).toMatchObject({
      status: 5,
      stdout: "inside\n",
    });
    rkt.ok(["stop", uuid], options());
    expect((await running.ended).status).toBe(128 + 15);
    rkt.ok(["gc", "--grace-period=0s"], options());
    expect(rkt.pods().filter((pod) => pod === uuid)).toEqual([]);
    expectNothing();
  });
});

test("the dynamic loader's variables are the caller's own affair, and end with rkt: no worker and no app sees them", () => {
  // rkt cannot be kept from LD_PRELOAD: the loader acts before any of its code. sudo drops it, as it drops BUN_*.
  const library = "/usr/lib/x86_64-linux-gnu/libm.so.6";
  const result = rkt.run(
    [
      "--insecure-options=image",
      "run",
      "--stage1-name=coreos.com/rkt/stage1-fly",
      aci,
      "--exec=/bin/sh",
      "--",
      "-c",
      "env",
    ],
    { env: { LD_PRELOAD: existsSync(library) ? library : "libm.so.6", LD_LIBRARY_PATH: trap } },
  );
  expect(result.status).toBe(0);
  expect(result.stdout).not.toContain("LD_");
});
