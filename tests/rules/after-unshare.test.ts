/**
 * Between the first change of namespace or root and execve only the main thread works: threads that were started before keep the old namespaces, and what they write
 * lands in the host. And the built-in stage1 runs in rkt's own process: one program start, not two. Needs root and strace.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { parseTrace, type SystemCall, threadsOf, traceRkt } from "../harness/strace.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

/** Whatever touches a file, by name or by descriptor, and what tells threads and namespaces apart. */
const FILE_CALLS =
  "%file,write,pwrite64,writev,pwritev,ftruncate,fchmod,fchown,fsync,fdatasync,copy_file_range,sendfile";
const TRACE = `${FILE_CALLS},clone,clone3,unshare,setns`;

let rkt: TestRkt;
let aci: string;
let layout: string;

beforeAll(() => {
  rkt = testRkt();
  aci = join(rkt.dir, "app.aci");
  layout = join(rkt.dir, "layout");
  buildAci(aci);
  buildBusyboxOci(layout, { layers: [{ one: "1" }, { two: "2" }] });
});
afterAll(() => rkt[Symbol.dispose]());

/** What the other threads of rkt did with files while it was between two worlds; each stretch ends with setns back or execve. */
function strayCalls(main: number, calls: readonly SystemCall[]): { stretches: number; stray: SystemCall[] } {
  const threads = threadsOf(main, calls);
  let between = false;
  let stretches = 0;
  const stray: SystemCall[] = [];
  for (const call of calls) {
    if (call.tid === main) {
      const leaves = ["unshare", "chroot", "pivot_root"].includes(call.name) && call.result === "0";
      if (leaves && !between) stretches += 1;
      if (leaves) between = true;
      // Back in the network namespace that it came from.
      else if (call.name === "setns" && call.args.includes("<net:[")) between = false;
      else if (call.name === "execve" && call.result === "0") between = false;
    } else if (between && threads.has(call.tid) && !/^\d+<anon_inode:/.test(call.args)) stray.push(call);
  }
  return { stretches, stray };
}

/** Libraries and databases that the main thread opened after it had left the host's root: they would be the image's, loaded as root (CVE-2019-14271). */
function loadedAfterwards(main: number, calls: readonly SystemCall[]): SystemCall[] {
  const own = calls.filter((call) => call.tid === main);
  const from = own.findIndex((call) => call.name === "unshare" && call.args.includes("CLONE_NEWNS"));
  const to = own.findIndex((call, index) => index > from && call.name === "execve");
  const names = /\.so\b|nsswitch|locale|gconv|\/etc\/(passwd|group)/;
  return own.slice(from, to).filter((call) => call.name.startsWith("open") && names.test(call.args));
}

const program = (call: SystemCall) => /^"([^"]*)"/.exec(call.args)?.[1] ?? "";

const shell = ["--exec=/bin/sh", "--", "-c", "exit 4"];

describe("after a change of namespace or root, no thread but the main one touches a file", () => {
  // The first run of each image fetches, verifies and unpacks it: everything that could start threads and leave work for them has happened in this process.
  const FLY = "--stage1-name=coreos.com/rkt/stage1-fly";
  for (const [name, flags, image, least] of [
    ["fly, with the image fetched just before", [FLY], () => `oci:${layout}`, 1],
    ["nspawn with a network, with the image fetched just before", [], () => aci, 2],
    ["nspawn with --no-overlay, which copies", ["--net=none", "--no-overlay"], () => aci, 2],
  ] as const) {
    test(name, () => {
      const args = ["--insecure-options=image", "run", ...flags, image(), ...shell];
      const { result, main, calls } = traceRkt(rkt, args, TRACE);
      expect(result.status).toBe(4);
      const { stretches, stray } = strayCalls(main, calls);
      expect(stretches).toBeGreaterThanOrEqual(least);
      expect(threadsOf(main, calls).size).toBeGreaterThan(2);
      expect(stray).toEqual([]);
      expect(loadedAfterwards(main, calls)).toEqual([]);
    });
  }

  test("the danger is real, and this is how it would look", () => {
    const host = join(rkt.dir, "seen-by-the-host");
    mkdirSync(host);
    const program = join(rkt.dir, "careless.ts");
    writeFileSync(
      program,
      `import { promises, writeFileSync } from "node:fs";
       import { linux, CLONE, MS } from ${JSON.stringify(resolve("src/host/mod.ts"))};
       // Threads of the pool, started while the host's namespaces are this process's.
       await Promise.all(Array.from({ length: 64 }, () => promises.stat("/")));
       linux.unshare(CLONE.NEWNS);
       linux.mount(null, "/", null, MS.REC | MS.PRIVATE, null);
       linux.mount("tmpfs", ${JSON.stringify(host)}, "tmpfs", 0, null);
       writeFileSync(${JSON.stringify(join(host, "sync"))}, "");
       await promises.writeFile(${JSON.stringify(join(host, "async"))}, "");
       process.exit(0);`,
    );
    const output = join(rkt.dir, "careless.strace");
    const options = [
      "--follow-forks",
      "--quiet=all",
      "--decode-fds=path",
      `--output=${output}`,
      "-e",
      `trace=${TRACE}`,
    ];
    runProgram(["strace", ...options, process.execPath, program]);
    expect(existsSync(join(host, "sync"))).toBe(false);
    expect(existsSync(join(host, "async"))).toBe(true);
    const calls = parseTrace(readFileSync(output, "utf8"));
    const { stretches, stray } = strayCalls(calls[0]?.tid ?? -1, calls);
    expect(stretches).toBe(1);
    expect(stray.filter(({ args }) => args.includes("seen-by-the-host/async")).length).toBeGreaterThan(0);
  });
});

describe("the built-in stage1 runs in rkt's own process", () => {
  for (const [flavor, supervisor] of [
    ["fly", "/bin/sh"],
    ["nspawn", "/stage1/rootfs/usr/lib/rkt/loader"],
  ] as const) {
    test(`${flavor}: from the store to the pod there is one program start, and rkt starts nothing besides`, () => {
      const stage1 = `--stage1-name=coreos.com/rkt/stage1-${flavor}`;
      const args = ["--insecure-options=image", "run", stage1, "--net=none", aci, ...shell];
      rkt.run(args);
      const id = rkt.ok(["image", "list", "--no-legend", "--full", "--fields=id,name"]).split("\n");
      const [image = ""] = id.find((line) => line.includes("example.com/busybox"))?.split(/\s/) ?? [];
      const { result, main, calls } = traceRkt(
        rkt,
        ["--insecure-options=image", "run", stage1, "--net=none", image, ...shell],
        "execve,execveat,clone,clone3,vfork,fork",
      );
      expect(result.status).toBe(4);
      const handOver = calls.findIndex(
        (call) => call.tid === main && call.name === "execve" && program(call).endsWith(supervisor),
      );
      expect(handOver).toBeGreaterThan(0);
      const before = calls.slice(0, handOver);
      expect(before.filter((call) => call.name.startsWith("execve")).length).toBe(1);
      const processes = before.filter((call) => call.name !== "execve" && !call.args.includes("CLONE_THREAD"));
      expect(processes).toEqual([]);
    });
  }
});
