/**
 * Ways out of a virtual machine: from an app in it, from its root and kernel by way of the shared files and the ports, from QEMU and virtiofsd, should an attacker have got that far. Each is refused, and gets
 * through where exactly the defence that refused it is taken away (docs/escape-attempts.md). `make test-kvm`. Needs root, gcc, nsenter, QEMU.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { createConnection, type Server } from "node:net";
import { join } from "node:path";
import { MS } from "../../src/host/constants.ts";
import { linux } from "../../src/host/linux.ts";
import { enterPrivateHost } from "../harness/private-host.ts";
import { descendantsOf } from "../harness/processes.ts";
import { until } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";
import { newStage1, run, setUp, startPod } from "../stage1/suite/context.ts";
import { ATTEMPTS } from "../stage1/suite/escape-attempts.ts";
import { attempts, compile, listening, parse, type Scene, setScene, wrong } from "../stage1/suite/escapes.ts";

setDefaultTimeout(600_000);

/** capabilities(7), linux/capability.h. */
const CAPABILITY = { netAdmin: 12, sysModule: 16, sysRawio: 17, sysPtrace: 19, sysAdmin: 21, sysBoot: 22, mknod: 27 };

const stage1 = newStage1("kvm");
let servers: Server[] = [];
let scene: Scene;

beforeAll(async () => {
  enterPrivateHost();
  setUp(stage1);
  servers = [await listening("\0rkt-escape"), await listening(0)];
  // A key of nothing: this host shares no memory with anybody.
  scene = setScene(stage1, compile(stage1.rkt.dir), servers[1], String(0x4000_0000 + process.pid));
});
afterAll(() => {
  for (const server of servers) server.close();
  stage1.rkt?.[Symbol.dispose]();
});

describe("root in an app of a virtual machine", () => {
  /** What a machine answers in another way than a container: in place of a namespace there is another kernel, with nothing of the host's. */
  const OTHER: ReadonlySet<string> = new Set([
    "cgroup namespace",
    "nsenter",
    "--readonly-rootfs=true",
    "--caps-remove=CAP_NET_RAW",
  ]);
  const tried = () => ATTEMPTS.filter(({ without }) => !OTHER.has(without));

  test("is refused what root in a container is refused", () => {
    const answers = attempts(scene, stage1, [], tried());
    expect(wrong(tried(), answers, ({ answer }) => answer)).toEqual([]);
  });

  test.each([
    ["filters", ["--insecure-options=image,seccomp"]],
    ["paths", ["--insecure-options=image,paths"]],
  ] as const)("gets through, in the machine, where there is no %s", (without, globals) => {
    // The host's disk is none of the machine's, whatever node there is.
    const here = tried().filter((one) => one.without === without && one.name !== "open_disk");
    expect(wrong(here, attempts(scene, stage1, [], here, { globals }), () => ["done"])).toEqual([]);
  });

  test("opens no port of the agent's: by the device policy; without it, because the agent has them all open", () => {
    const script =
      "for port in /sys/class/virtio-ports/*; do IFS=: read -r major minor < $port/dev; mknod /dev/port c $major $minor 2>&1; echo garbage 2>&1 > /dev/port; rm -f /dev/port; done; echo end";
    const plain = run(stage1, script);
    expect(plain.stdout).toContain("end");
    expect(plain.stdout.match(/Operation not permitted/g)?.length).toBeGreaterThan(9);
    const open = run(stage1, script, { globals: ["--insecure-options=image,paths"] });
    expect(open.stdout).not.toContain("not permitted");
    expect(open.stdout.match(/Device or resource busy/g)).toHaveLength(10);
  });
});

describe("a guest's root, by way of the files that the host shares", () => {
  const volume = (name: string) => {
    const path = join(stage1.rkt.dir, name);
    mkdirSync(path);
    return { path, pod: [`--volume=v,kind=host,source=${path}`], app: ["--mount=volume=v,target=/v"] };
  };
  const globals = ["--insecure-options=image,paths"];

  test("makes no node of the host's disk on a volume; where virtiofsd has CAP_MKNOD it does", () => {
    const script = "mknod -m 666 /v/disk b 8 0 2> /dev/null; echo $?";
    const refused = volume("nodes");
    expect(run(stage1, script, { ...refused, globals }).stdout).toBe("1\n");
    expect(readdirSync(refused.path)).toEqual([]);
    const place = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"].find((path) => existsSync(path)) ?? "";
    const bounded = /^--bounding-set=/;
    withoutWord("/usr/bin/setpriv", bounded, "--bounding-set=+all", () =>
      withoutWord(place, /^(--)?modcaps=/, "log_level=warn", () => {
        const open = volume("nodes-made");
        expect(run(stage1, script, { ...open, globals }).stdout).toBe("0\n");
        expect(runProgram(["stat", "-c", "%F %a %t", join(open.path, "disk")])).toBe("block special file 666 8\n");
      }),
    );
  });

  test("follows no link on a volume to the host, not even one that changes while it is followed; a program of the host does", async () => {
    const race = volume("race");
    const secrets = join(stage1.rkt.dir, "secrets");
    mkdirSync(secrets);
    writeFileSync(join(secrets, "file"), "of the host\n");
    const script = `cd /v; mkdir dir; echo own > dir/file; ln -s ${secrets} link
      (while :; do ln -sfn dir turn; ln -sfn link turn; done) & swap=$!
      echo up; found=0; for i in $(seq 1 300); do case $(cat turn/file 2> /dev/null) in "of the host") found=1;; esac; done
      kill $swap; until [ -e /v/end ]; do sleep 0.2; done; echo found $found`;
    const { running } = await startPod(stage1, script, race);
    let byHost = false;
    await until("a program of the host that follows the link", () => {
      try {
        byHost ||= readFileSync(join(race.path, "turn/file"), "utf8") === "of the host\n";
      } catch {
        // Between two links there is none.
      }
      return byHost;
    });
    writeFileSync(join(race.path, "end"), "");
    expect((await running.ended).stdout.replaceAll("\r", "")).toEndWith("found 0\n");
  });

  test("a link among the pod's own files shows nothing of the host's to rkt's caller; a program that follows it shows it", async () => {
    const secret = join(stage1.rkt.dir, "own-secret");
    writeFileSync(secret, "42\n");
    const caps = { app: ["--caps-retain=CAP_SYS_PTRACE,CAP_DAC_OVERRIDE,CAP_FOWNER"], globals };
    const script = `cd /proc/1/root/rkt/status && rm -f app && ln -s ${secret} app && ln -sf ${secret} created && mkfifo fifo; echo up; sleep 1000`;
    const { running, uuid } = await startPod(stage1, script, caps);
    const link = join(stage1.rkt.dataDir, "pods/run", uuid, "stage1/rootfs/rkt/status/app");
    expect(readlinkSync(link)).toBe(secret);
    expect(readFileSync(link, "utf8")).toBe("42\n");
    expect(stage1.rkt.run(["status", uuid]).stdout).not.toContain("app-app=42");
    expect(stage1.rkt.run(["status", "--format=json", uuid]).stdout).not.toMatch(/exit_code": ?42/);
    stage1.rkt.ok(["stop", "--force", uuid]);
    await running.ended;
    expect(stage1.rkt.run(["status", uuid]).stdout).not.toContain("app-app=42");
    stage1.rkt.ok(["gc", "--grace-period=0s"]);
    expect(readFileSync(secret, "utf8")).toBe("42\n");
  });
});

describe("who has broken out of the guest", () => {
  let uuid = "";
  let pod: Awaited<ReturnType<typeof startPod>>["running"] | undefined;
  let podDir = "";
  let qemu = 0;
  let files: number[] = [];
  const settings = () => [...scene.settings.filter((one) => !one.startsWith("secret=")), `secret=${readable}`];
  const readable = "/var/tmp/rkt-escape-secret";

  beforeAll(async () => {
    writeFileSync(readable, "of the host\n", { mode: 0o644 });
    ({ running: pod, uuid } = await startPod(stage1, "echo up; sleep 1000"));
    podDir = join(stage1.rkt.dataDir, "pods/run", uuid);
    const supervisor = Number(readFileSync(join(podDir, "pid"), "utf8"));
    const all = descendantsOf(supervisor).map((pid) => ({
      pid,
      name: readFileSync(`/proc/${pid}/comm`, "utf8").trim(),
    }));
    qemu = all.find(({ name }) => name.startsWith("qemu"))?.pid ?? 0;
    files = all.filter(({ name }) => name === "virtiofsd").map(({ pid }) => pid);
    copyFileSync(scene.program, join(podDir, "kvm/vm/escape"));
    copyFileSync(scene.program, join(podDir, "stage1/rootfs/rkt/escape"));
  });
  afterAll(async () => {
    stage1.rkt.run(["stop", "--force", uuid]);
    await pod?.ended;
    runProgram(["rm", "-f", readable]);
  });

  const serving = () =>
    files.find((pid) => readlinkSync(`/proc/${pid}/ns/pid`) !== readlinkSync("/proc/self/ns/pid")) ?? 0;

  /** Of every thread. */
  const facts = (pid: number, name: string) =>
    new Set(
      readdirSync(`/proc/${pid}/task`).map(
        (thread) =>
          new RegExp(`^${name}:[ \t]*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"))?.[1],
      ),
    );

  test("QEMU's threads have a user of the pod's own, no capability, a filter, and no way to more", () => {
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      expect(facts(qemu, set)).toEqual(new Set(["0000000000000000"]));
    const [user = ""] = facts(qemu, "Uid");
    expect(Number(user?.split("\t")[0])).toBeGreaterThanOrEqual(1879048192);
    expect(facts(qemu, "Groups")).toEqual(new Set([""]));
    expect(facts(qemu, "NoNewPrivs")).toEqual(new Set(["1"]));
    expect(facts(qemu, "Seccomp")).toEqual(new Set(["2"]));
  });

  test("virtiofsd's threads that serve the guest have a filter and no CAP_SYS_ADMIN, and none has CAP_MKNOD or rights over the machine", () => {
    const server = serving();
    const threads = readdirSync(`/proc/${server}/task`).map((thread) => {
      const status = readFileSync(`/proc/${server}/task/${thread}/status`, "utf8");
      const of = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1] ?? "";
      const capabilities = BigInt(`0x${of("CapPrm")}`);
      return {
        filtered: of("Seccomp") === "2",
        has: (capability: number) => ((capabilities >> BigInt(capability)) & 1n) === 1n,
      };
    });
    // At most one has none: a thread of QEMU's libraries that virtiofsd starts before it confines itself, and that serves nobody.
    expect(threads.filter(({ filtered }) => !filtered).length).toBeLessThan(2);
    expect(threads.filter(({ filtered, has }) => filtered && has(CAPABILITY.sysAdmin))).toEqual([]);
    const { netAdmin, sysModule, sysRawio, sysPtrace, sysBoot, mknod } = CAPABILITY;
    for (const one of [netAdmin, sysModule, sysRawio, sysPtrace, sysBoot, mknod])
      expect(threads.filter(({ has }) => has(one))).toEqual([]);
    for (const kind of ["mnt", "net", "pid"])
      expect(readlinkSync(`/proc/${server}/ns/${kind}`)).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
  });

  /** Attempts of a process that stands where QEMU does, but for one defence. */
  const asQemu = (names: string[], without?: "root" | "network" | "user" | "capabilities") => {
    const user = String(facts(qemu, "Uid").values().next().value).split("\t")[0] ?? "";
    const words = [
      ...[
        "nsenter",
        `--target=${qemu}`,
        ...(without === "root" ? [] : ["--mount", "--root"]),
        ...(without === "network" ? [] : ["--net"]),
      ],
      "setpriv",
      ...(without === "user" || without === "capabilities"
        ? []
        : [`--reuid=${user}`, `--regid=${user}`, "--clear-groups"]),
      ...(without === "capabilities" ? [] : ["--inh-caps=-all", "--bounding-set=-all"]),
      "--no-new-privs",
      ...[without === "root" ? scene.program : "/vm/escape", ...settings(), ...names],
    ];
    return Object.fromEntries(parse(runProgram(words), (_, name) => name));
  };

  test.each([
    ["read_host_file", "ENOENT", "root"],
    ["abstract_socket", "ECONNREFUSED", "network"],
    ["loopback_of_host", "ECONNREFUSED", "network"],
    ["signal_host", "EPERM", "user"],
    ["raise_priority", "EACCES", "capabilities"],
  ] as const)("in QEMU: %s is refused (%s); without a %s of its own it gets through", (name, answer, without) => {
    // Without CAP_KILL root signals root.
    expect(asQemu([name])).toEqual({ [name]: answer });
    expect(asQemu([name], without)).toEqual({ [name]: "done" });
  });

  const asVirtiofsd = (names: string[], without?: "--mount" | "--net" | "--pid") => {
    const server = serving();
    const namespaces = ["--mount", "--net", "--pid"].filter((one) => one !== without);
    const program = without === "--mount" ? [scene.program] : ["--root", "/rkt/escape"];
    return Object.fromEntries(
      parse(
        runProgram(["nsenter", `--target=${server}`, ...namespaces, ...program, ...settings(), ...names]),
        (_, name) => name,
      ),
    );
  };

  test.each([
    ["read_host_file", "ENOENT", "--mount"],
    ["read_other_pod", "ENOENT", "--mount"],
    ["abstract_socket", "ECONNREFUSED", "--net"],
    ["signal_host", "ESRCH", "--pid"],
  ] as const)(
    "in virtiofsd: %s is refused (%s); outside of its namespace (%s) it gets through",
    (name, answer, without) => {
      expect(asVirtiofsd([name])).toEqual({ [name]: answer });
      expect(asVirtiofsd([name], without)).toEqual({ [name]: "done" });
    },
  );

  test("QEMU starts no program; without its filter it does", async () => {
    const [sandbox] = readFileSync(`/proc/${qemu}/cmdline`, "utf8")
      .split("\0-sandbox\0")
      .slice(1)
      .map((rest) => rest.split("\0")[0]);
    expect(sandbox).toContain("spawn=deny");
    const migrate = async (words: string[], mark: string) => {
      const child = spawn("/usr/bin/qemu-system-x86_64", [
        ...["-machine", "none", "-nodefaults", "-display", "none", "-monitor", "stdio"],
        ...words,
      ]);
      child.stdin.on("error", () => undefined);
      child.stdin.write(`migrate "exec:cat > ${mark}"\n`);
      const over = new Promise<void>((done) => child.once("close", () => done()));
      const deadline = performance.now() + 20_000;
      while (!existsSync(mark) && child.exitCode === null && child.signalCode === null && performance.now() < deadline)
        await Bun.sleep(50);
      child.kill("SIGKILL");
      await over;
      return existsSync(mark);
    };
    expect(await migrate(["-sandbox", sandbox ?? ""], join(stage1.rkt.dir, "started-filtered"))).toBe(false);
    expect(await migrate([], join(stage1.rkt.dir, "started"))).toBe(true);
  });

  test("garbage on a port of the agent's leaves it serving", async () => {
    for (const bytes of [
      Buffer.alloc(200_000, 0xff),
      crypto.getRandomValues(Buffer.alloc(65_536)),
      Buffer.from("G\0\0G\0\0I\0\0X\x01\0z"),
    ]) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const socket = createConnection({ path: join(podDir, "kvm/session-0.sock") });
      socket.once("error", reject);
      socket.on("data", () => undefined);
      socket.once("connect", () => socket.write(bytes, () => setTimeout(() => socket.destroy(), 1000)));
      socket.once("close", () => resolve());
      await promise;
    }
    expect(stage1.rkt.run(["enter", uuid, "/bin/sh", "-c", "cat /marker; exit 5"])).toMatchObject({
      status: 5,
      stdout: "app\n",
    });
  });
});

/** While `use` runs, the program at `path` gets `other` in place of one of its words; in this test's own mount namespace, and outside of the root that QEMU has. */
function withoutWord(path: string, word: RegExp, other: string, use: () => void): void {
  const name = path.replaceAll("/", "-");
  const copy = join(stage1.rkt.dir, `program${name}`);
  copyFileSync(path, copy);
  const wrapper = join(stage1.rkt.dir, `wrapper${name}`);
  const script = `#!/bin/sh
n=$#
while [ "$n" -gt 0 ]; do
  word=$1
  shift
  n=$((n - 1))
  if printf '%s' "$word" | grep -qE '${word.source}'; then word='${other}'; fi
  set -- "$@" "$word"
done
exec ${copy} "$@"
`;
  writeFileSync(wrapper, script, { mode: 0o755 });
  linux.mount(wrapper, path, null, MS.BIND, null);
  try {
    use();
  } finally {
    runProgram(["umount", path]);
  }
}
