/** Attack: code that a hostile archive or server runs inside a worker looks around on the host. What it can open, reach and use up is what its task needs. Needs Landlock in the kernel. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Confinement } from "../../src/host/confinement.ts";
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
            // The runtime has its own words for a socket that the filter refuses.
            ["connect", String(server.port), "refused"],
            ["listen", "0", "refused"],
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
    const shown = (action: string, result = "") =>
      (action === "connect" || action === "listen") && result !== "ok" ? "refused" : result;
    expect(
      tries.map(([action, what], at) => [action, what, shown(action, results[at])] as [string, string, string]),
    ).toEqual(tries);
  } finally {
    server.stop();
  }
});

/** By number on x86-64 and arm64, with arguments that do nothing where the call is allowed. */
const CALLS: readonly [name: string, x64: number, arm64: number, args: string, answer: string][] = [
  ["getppid", 110, 173, "", "ok"],
  ["socket(AF_UNIX)", 41, 198, "1 1 0", "ok"],
  ["socket(AF_PACKET)", 41, 198, "17 3 0", "EPERM"],
  ["socket(AF_ALG)", 41, 198, "38 5 0", "EPERM"],
  ["socket(AF_VSOCK)", 41, 198, "40 1 0", "EPERM"],
  ["ptrace", 101, 117, "0 0 0", "EPERM"],
  ["process_vm_readv", 310, 270, "", "EPERM"],
  ["mount", 165, 40, "", "EPERM"],
  ["open_tree", 428, 428, "", "EPERM"],
  ["unshare(CLONE_NEWUSER)", 272, 97, "268435456", "EPERM"],
  ["clone(CLONE_NEWUSER)", 56, 220, "268435456", "EPERM"],
  ["clone3", 435, 435, "", "ENOSYS"],
  ["setns", 308, 268, "", "EPERM"],
  ["chroot", 161, 51, "", "EPERM"],
  ["keyctl", 250, 219, "", "EPERM"],
  ["add_key", 248, 217, "", "EPERM"],
  ["bpf", 321, 280, "", "EPERM"],
  ["perf_event_open", 298, 241, "", "EPERM"],
  ["userfaultfd", 323, 282, "1", "EPERM"],
  ["io_uring_setup", 425, 425, "", "EPERM"],
  ["init_module", 175, 105, "", "EPERM"],
  ["kexec_load", 246, 104, "", "EPERM"],
  ["open_by_handle_at", 304, 265, "", "EPERM"],
  ["personality", 135, 92, "", "EPERM"],
  ["setuid", 105, 146, "0", "EPERM"],
  ["msgget", 68, 186, "1", "EPERM"],
  ["a call that there is not yet", 900, 900, "", "ENOSYS"],
];

test("a call that is not needed is refused, whoever makes it", () => {
  const tries = CALLS.map(
    ([, x64, arm64, args]) =>
      ({ action: "call", what: `${process.arch === "arm64" ? arm64 : x64} ${args}`.trim() }) as const,
  );
  const expected = CALLS.map(([name, , , , answer]) => `${name} ${answer}`);
  for (const confinement of [FETCH, VERIFY])
    for (const account of ACCOUNTS) {
      const results = attempts(confinement, account, tries);
      expect(CALLS.map(([name], at) => `${name} ${results[at]}`)).toEqual(expected);
    }
  // Only who talks to servers has their sockets.
  const inet = [{ action: "call", what: `${process.arch === "arm64" ? 198 : 41} 2 1 0` } as const];
  expect(attempts(FETCH, NOBODY, inet)).toEqual(["ok"]);
  expect(attempts(VERIFY, NOBODY, inet)).toEqual(["EPERM"]);
});

test("every thread has no_new_privs and a filter, and files, time, memory and core files are bounded", () => {
  const [threads = "", limits = "", small, large] = attempts(FETCH, NOBODY, [
    { action: "threads", what: "" },
    { action: "limits", what: "" },
    { action: "allocate", what: String(64 * 1024 * 1024) },
    { action: "allocate", what: String(4 * 1024 * 1024 * 1024) },
  ]);
  expect(threads).toMatch(/^12( 12)+$/);
  expect(limits).toMatch(/^Max core file size +0 +0 /m);
  expect(limits).toMatch(/^Max open files +\d{1,4} +\d{1,4} /m);
  expect(limits).toMatch(/^Max cpu time +60 +60 /m);
  expect(limits).toMatch(new RegExp(`^Max file size +${2 ** 30} +${2 ** 30} `, "m"));
  expect([small, large]).toEqual(["ok", "no memory"]);
});
