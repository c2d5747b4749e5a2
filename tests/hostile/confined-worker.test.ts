/** Attack: code that a hostile archive or server runs inside a worker looks around on the host. What it can open, reach and use up is what its task needs. Needs Landlock in the kernel. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Confinement } from "../../src/host/confine-words.ts";
import { landlockVersion } from "../../src/host/landlock.ts";
import type { Setup, Try } from "../harness/confine-driver.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(120_000);

let dir: TemporaryDirectory;
let driver = "";
beforeAll(() => {
  dir = temporaryDirectory("confined");
  chmodSync(dir.path, 0o755);
  driver = join(dir.path, "driver");
  const source = join(import.meta.dir, "../harness/confine-driver.ts");
  const flags = ["--compile", "--format=esm", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  runProgram([process.execPath, "build", ...flags, source, "--outfile", driver]);
  for (const name of ["blobs", "downloads", "source", "elsewhere"]) {
    mkdirSync(join(dir.path, name), { mode: 0o777 });
    chmodSync(join(dir.path, name), 0o777);
    writeFileSync(join(dir.path, name, "file"), name);
    chmodSync(join(dir.path, name, "file"), 0o666);
  }
});
afterAll(() => dir?.[Symbol.dispose]());

const FETCH: Confinement = { writable: 2, temporary: false, network: "connect", fileSize: 2 ** 30, time: 60 };
const VERIFY: Confinement = { writable: 0, temporary: true, network: "none", fileSize: 2 ** 20, time: 60 };
const NOBODY = { name: "nobody", uid: 65534, gid: 65534 };
/** Also without another user, as for a member of group rkt: the rules alone must hold. */
const ACCOUNTS = [undefined, NOBODY];

function attempts(confinement: Confinement, account: Setup["account"], tries: readonly Try[]): string[] {
  const directories = ["blobs", "downloads", "source"].map((name) => join(dir.path, name));
  const setup: Setup = { confinement, account, directories, tries };
  // A member of the group has no capabilities. With CAP_PERFMON the kernel lets a process read what others have in /proc, Landlock or not.
  const without = account === undefined ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] : [];
  const [program = driver, ...words] = [...without, driver, JSON.stringify(setup)];
  const { stdout, stderr, status } = spawnSync(program, words, { encoding: "utf8", timeout: 60_000 });
  if (status !== 0) throw new Error(`driver: ${status} ${stderr}`);
  return JSON.parse(stdout);
}

test("the kernel has Landlock, or this file proves nothing", () => {
  expect(landlockVersion()).toBeGreaterThan(0);
});

test.each(ACCOUNTS)("the fetch worker writes to the store's two directories and to nothing else", (account) => {
  const tries: [Try["action"], string, string][] = [
    ["write", "/proc/self/fd/3/new", "ok"],
    ["make", "/proc/self/fd/4/directory", "ok"],
    ["rename", "/proc/self/fd/3/new", "ok"],
    ["read", "/proc/self/fd/5/file", "ok"],
    ["list", "/proc/self/fd/5", "ok"],
    ["write", "/proc/self/fd/5/file", "EACCES"],
    ["write", "/proc/self/fd/5/new", "EACCES"],
    ["read", join(dir.path, "elsewhere/file"), "EACCES"],
    ["list", join(dir.path, "elsewhere"), "EACCES"],
    ["write", join(dir.path, "elsewhere/new"), "EACCES"],
    ["read", "/proc/self/fd/3/../elsewhere/file", "EACCES"],
    ["write", "/tmp/rkt-hostile-worker", "EACCES"],
    ["write", "/dev/shm/rkt-hostile-worker", "EACCES"],
    ["list", "/etc", "EACCES"],
    ["read", "/etc/shadow", "EACCES"],
    ["read", "/etc/hostname", "EACCES"],
    ["list", "/root", "EACCES"],
    ["list", "/home", "EACCES"],
    ["list", "/var/lib", "EACCES"],
    ["list", "/run", "EACCES"],
    ["read", "/dev/kmsg", "EACCES"],
    ["read", "/proc/1/environ", "EACCES"],
    ["read", "/etc/hosts", "ok"],
    ["list", "/usr/bin", "ok"],
  ];
  const results = attempts(
    FETCH,
    account,
    tries.map(([action, what]) => ({ action, what })),
  );
  expect(tries.map(([action, what], at) => [action, what, results[at]] as [string, string, string])).toEqual(tries);
});

test.each(ACCOUNTS)("the verify worker writes temporary files, and speaks to nobody", async (account) => {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  try {
    const tries: [Try["action"], string, string][] = [
      ["write", "/proc/self/fd/3/new", "EACCES"],
      ["read", "/proc/self/fd/3/file", "ok"],
      ["make", `/tmp/rkt-verify-test-${process.pid}-${account?.uid ?? 0}`, "ok"],
      ["list", "/var/tmp", "EACCES"],
      ...(landlockVersion() >= 4
        ? ([
            ["connect", String(server.port), "EACCES"],
            ["listen", "0", "EACCES"],
          ] as [Try["action"], string, string][])
        : []),
      ...(landlockVersion() >= 6
        ? ([["kill", String(process.pid), "EPERM"]] as [Try["action"], string, string][])
        : []),
    ];
    const results = attempts(
      VERIFY,
      account,
      tries.map(([action, what]) => ({ action, what })),
    );
    expect(tries.map(([action, what], at) => [action, what, results[at]] as [string, string, string])).toEqual(tries);
  } finally {
    server.stop();
  }
});

test("every thread has no_new_privs, and files, time, memory and core files are bounded", () => {
  const [threads = "", limits = "", small, large] = attempts(FETCH, NOBODY, [
    { action: "threads", what: "" },
    { action: "limits", what: "" },
    { action: "allocate", what: String(64 * 1024 * 1024) },
    { action: "allocate", what: String(4 * 1024 * 1024 * 1024) },
  ]);
  expect(threads).toMatch(/^1{2,}$/);
  expect(limits).toMatch(/^Max core file size +0 +0 /m);
  expect(limits).toMatch(/^Max open files +\d{1,4} +\d{1,4} /m);
  expect(limits).toMatch(/^Max cpu time +60 +60 /m);
  expect(limits).toMatch(new RegExp(`^Max file size +${2 ** 30} +${2 ** 30} `, "m"));
  expect([small, large]).toEqual(["ok", "no memory"]);
});
