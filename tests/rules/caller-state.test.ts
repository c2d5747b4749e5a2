/**
 * What the runtime changes in its process must not reach an app: limits, signals, umask, blocking mode of stdio are those of rkt's caller. The same probe, started
 * directly and in a pod, says the same. Needs root.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { type CallerSettings, launch, launchRkt } from "../harness/launch.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

/** One line each: limits, umask, signals (pending apart), flags of stdio. Only what every busybox can tell. */
const PROBE = [
  "cat /proc/self/limits",
  "echo umask $(umask)",
  "grep -E '^Sig(Blk|Ign)' /proc/self/status",
  "for fd in 0 1 2; do echo fd $fd $(grep flags /proc/self/fdinfo/$fd); done",
].join("; ");

let rkt: TestRkt;
let image: string;

beforeAll(() => {
  rkt = testRkt();
  const aci = join(rkt.dir, "probe.aci");
  const passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002::/:/bin/sh\n";
  buildAci(aci, {}, { "etc/passwd": passwd, "etc/group": "root:x:0:\nweb:x:1002:\n" });
  image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
});
afterAll(() => rkt[Symbol.dispose]());

const lines = (text: string) => text.replaceAll("\r", "").trimEnd().split("\n").map(withoutLibrarySignals);

/** Signals 32 and 33 are the C library's own (nptl(7)): no program can change what it inherited for them. */
function withoutLibrarySignals(line: string): string {
  const [, name, mask] = /^(Sig\w+):\t([0-9a-f]{16})$/.exec(line) ?? [];
  if (mask === undefined) return line;
  return `${name}:\t${(BigInt(`0x${mask}`) & ~0x180000000n).toString(16).padStart(16, "0")}`;
}
const isStdio = (line: string) => line.startsWith("fd ");

async function direct(settings: CallerSettings): Promise<string[]> {
  const { stdout } = await launch(["/bin/busybox", "sh", "-c", PROBE], settings).ended;
  return lines(stdout);
}

async function inPod(flavor: "fly" | "nspawn", settings: CallerSettings, probe = PROBE, ...flags: string[]) {
  const stage1 = `--stage1-name=coreos.com/rkt/stage1-${flavor}`;
  const run = ["--insecure-options=image", "run", "--net=none", stage1, image, "--exec=/bin/sh", ...flags];
  const { stdout, stderr, status } = await launchRkt(rkt, [...run, "--", "-c", probe], settings).ended;
  if (status !== 0) throw new Error(`status ${status}: ${stderr}`);
  return lines(stdout);
}

const CALLERS: Record<string, CallerSettings> = {
  "a shell": { limits: { NOFILE: [1024] } },
  "a low soft limit of files, and limits of every other kind": {
    limits: {
      ...{ NOFILE: [333, 9999], CORE: [4096, 8192], STACK: [4 << 20], FSIZE: [1 << 30], DATA: [2 ** 34] },
      ...{ MEMLOCK: [65536, 65536], MSGQUEUE: [400000], SIGPENDING: [5000, 6000], NPROC: [50000, 60000] },
    },
  },
  "soft at hard": { limits: { NOFILE: [4096, 4096] } },
};

describe("limits are the caller's", () => {
  for (const [name, settings] of Object.entries(CALLERS)) {
    for (const flavor of ["fly", "nspawn"] as const) {
      test(`${flavor}, ${name}`, async () => {
        const limit = (line: string) => line.startsWith("Max ");
        const wanted = (await direct(settings)).filter(limit);
        expect(wanted.length).toBe(16);
        expect((await inPod(flavor, settings)).filter(limit)).toEqual(wanted);
      });
    }
  }
});

describe("fly: the app is the caller's process in every respect", () => {
  const whole: CallerSettings = {
    ...{ limits: { NOFILE: [555] }, umask: 0o027 },
    ...{ ignored: ["HUP", "USR2"], blocked: ["USR1", "WINCH"] },
  };
  test("umask, ignored and blocked signals, and the limits all at once", async () => {
    const wanted = (await direct(whole)).filter((line) => !isStdio(line));
    expect(wanted.join("\n")).toMatch(/umask 0027\nSigBlk:\t0000000008000200\nSigIgn:\t0000000000000801$/);
    expect((await inPod("fly", whole)).filter((line) => !isStdio(line))).toEqual(wanted);
  });
  test("SIGPIPE and SIGXFSZ, which the runtime ignores, have their default again", async () => {
    expect((await inPod("fly", {})).find((line) => line.startsWith("SigIgn"))).toBe("SigIgn:\t0000000000000000");
  });
  test("stdio is blocking, whatever somebody made it", async () => {
    const flags = (await inPod("fly", { nonBlocking: true })).filter(isStdio);
    expect(flags).toEqual((await direct({})).filter(isStdio));
  });
});

describe("nspawn: an app starts as in any other pod", () => {
  for (const umask of [0o077, 0]) {
    test(`umask ${umask.toString(8)} of the caller: the pod's files have their own modes, and apps have 0022`, async () => {
      const probe = "umask; stat -c '%a %n' / /dev /etc /tmp /proc; id -u";
      const usual = await inPod("nspawn", { umask: 0o022 }, probe, "--user=web", "--group=web");
      expect(usual[0]).toBe("0022");
      expect(usual.at(-1)).toBe("1001");
      expect(usual).toContain("755 /");
      expect(await inPod("nspawn", { umask }, probe, "--user=web", "--group=web")).toEqual(usual);
    });
  }
  test("no signal is ignored or blocked, whatever the caller does", async () => {
    const settings: CallerSettings = { ignored: ["HUP", "PIPE"], blocked: ["USR1"] };
    const signals = (await inPod("nspawn", settings)).filter((line) => line.startsWith("Sig"));
    expect(signals).toEqual(["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"]);
  });
});

test("a umask of 077 or 0 leaves no file of rkt's own closed to its group or open to the world", async () => {
  for (const umask of [0o077, 0]) {
    using fresh = testRkt();
    const aci = join(fresh.dir, "app.aci");
    buildAci(aci);
    const prepare = ["--insecure-options=image", "prepare", "--quiet", aci];
    const { status, stdout, stderr } = await launchRkt(fresh, prepare, { umask }).ended;
    expect({ status, stderr: stderr.includes("Cannot") }).toEqual({ status: 0, stderr: false });
    const { stdout: listed } = await launch(
      ["find", fresh.dataDir, "-path", "*/rootfs", "-prune", "-o", "-printf", "%M %P\\n"],
      {},
    ).ended;
    const modes = listed.split("\n").filter((line) => !line.startsWith("l"));
    expect(modes.filter((line) => /^.{8}w/.test(line))).toEqual([]);
    expect(modes.find((line) => line.endsWith(`pods/prepared/${stdout.trim()}`))).toMatch(/^drwxr-[xs]/);
  }
});
