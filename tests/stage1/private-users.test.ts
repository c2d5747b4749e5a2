/** Pods with a user namespace: what they see, what they own, and that they own nothing else. Needs root, and a file system for /var/tmp that maps owners (ext4, xfs, btrfs). */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { hostSystemdRunsPods } from "../harness/host-systemd.ts";
import { buildAci } from "../harness/images.ts";
import { killAtCall } from "../harness/kill-at.ts";
import { mountsBelow, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image: string;

const words = (text: string) => text.replaceAll("\r", "").trim().split(/\s+/);
const uuidFile = () => join(rkt.dir, "uuid");
const uuid = () => readFileSync(uuidFile(), "utf8");
const podDir = (state = "run") => join(rkt.dataDir, "pods", state, uuid());
/** The first id of the pod on the host. */
const shift = (state = "run") =>
  Number(readFileSync(join(podDir(state), "private-users-prepared"), "utf8").split(":")[0]);
const runWords = (podFlags: readonly string[], script: string, appFlags: readonly string[] = []) => [
  ...["--insecure-options=image", "run", "--private-users", "--net=none", `--uuid-file-save=${uuidFile()}`],
  ...[...podFlags, image, "--name=app", "--exec=/bin/sh", ...appFlags, "--", "-c", script],
];
const run = (podFlags: readonly string[], script: string, appFlags: readonly string[] = []) =>
  rkt.run(runWords(podFlags, script, appFlags));
/** Starts a pod whose script prints "up" and goes on. */
const start = async (script: string, podFlags: readonly string[] = []) => {
  const running = rkt.start(runWords(podFlags, script));
  await until("the app's first line", () => running.stdout().includes("up"));
  return running;
};
/** The app's process on the host: the one with this command line. */
const appPid = (mark: string) => {
  const pid = readdirSync("/proc").find((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ") === `${mark} `;
    } catch {
      return false;
    }
  });
  if (pid === undefined) throw new Error(`no process of the pod with ${mark}`);
  return Number(pid);
};

/** An ACI with programs that gain rights when they are executed; Debian's cat, which busybox's would not be: that one gives them up. */
function buildImage(aci: string): void {
  const content = join(rkt.dir, "content");
  buildAci(
    aci,
    {},
    {
      "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002::/:/bin/sh\n",
      "etc/group": "root:x:0:\nweb:x:1002:\n",
      "owned/webs": "of web\n",
      "owned/roots": "of root\n",
    },
  );
  mkdirSync(content);
  runProgram(["tar", "-xzf", aci, "-C", content]);
  const rootfs = join(content, "rootfs");
  for (const [, library = ""] of runProgram(["ldd", "/bin/cat"]).matchAll(/(\/\S+\.so\S*)/g)) {
    mkdirSync(join(rootfs, library, ".."), { recursive: true });
    runProgram(["cp", "--dereference", library, join(rootfs, library)]);
  }
  for (const name of ["cat-setuid", "cat-capable"]) runProgram(["cp", "/bin/cat", join(rootfs, "bin", name)]);
  chmodSync(join(rootfs, "bin/cat-setuid"), 0o4755);
  runProgram(["setcap", "cap_chown+ep", join(rootfs, "bin/cat-capable")]);
  chownSync(join(rootfs, "owned/webs"), 1001, 1002);
  chownSync(join(rootfs, "owned"), 1001, 1002);
  chmodSync(join(rootfs, "owned/roots"), 0o600);
  runProgram([
    "tar",
    "--create",
    "--gzip",
    "--format=posix",
    "--xattrs",
    "--xattrs-include=*",
    "--file",
    aci,
    "-C",
    content,
    "manifest",
    "rootfs",
  ]);
}

beforeAll(() => {
  rkt = testRkt();
  // What an escaped process is kept from is then kept by owners, not by this directory.
  chmodSync(rkt.dir, 0o755);
  const aci = join(rkt.dir, "app.aci");
  buildImage(aci);
  image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
});
afterAll(() => rkt[Symbol.dispose]());

const ways = [[], ["--no-overlay"], ...(hostSystemdRunsPods() ? [["--stage1-name=coreos.com/rkt/stage1-host"]] : [])];

for (const how of ways) {
  describe(`a pod with --private-users ${how.join(" ")}`, () => {
    test("has its own root, whose files are its own, inside and outside", async () => {
      const script =
        "cat /proc/self/uid_map /proc/self/gid_map; stat -c %u:%g /owned /owned/webs /owned/roots / /dev /dev/null /etc/hostname; echo mine > /made; chown 5:6 /made; echo up; sleep 1000";
      const running = await start(script, how);
      const first = shift();
      const map = ["0", String(first), "65536"];
      expect(words(running.stdout())).toEqual([
        ...[...map, ...map],
        ...["1001:1002", "1001:1002", "0:0", "0:0", "0:0", "0:0", "0:0", "up"],
      ]);
      const made = statSync(join(podDir(), "stage1/rootfs/opt/stage2/app/rootfs/made"));
      expect([made.uid, made.gid]).toEqual([first + 5, first + 6]);
      const webs = statSync(join(podDir(), "stage1/rootfs/opt/stage2/app/rootfs/owned/webs"));
      expect(webs.uid).toBe(first + 1001);
      rkt.ok(["stop", uuid()]);
      await running.ended;
      rkt.ok(["rm", uuid()]);
      expect(existsSync(podDir("exited-garbage"))).toBe(false);
    });

    test("keeps set-uid programs and file capabilities: they give the pod's rights", () => {
      const result = run(
        how,
        `su web -c "grep -h -E '^Uid|^CapEff' /proc/self/status; cat-setuid /proc/self/status; cat-capable /proc/self/status"`,
      );
      const lines = result.stdout
        .replaceAll("\r", "")
        .split("\n")
        .filter((line) => /^Uid|^CapEff/.test(line));
      expect(lines.map((line) => line.split(/\s+/).slice(0, 3).join(" ").trim())).toEqual([
        ...["Uid: 1001 1001", "CapEff: 0000000000000000"],
        // rkt's usual set, without what only a network of its own would give.
        ...["Uid: 1001 0", "CapEff: 00000000a80421fb"],
        ...["Uid: 1001 1001", "CapEff: 0000000000000001"],
      ]);
    });

    test("gives back the app's status, output and input, and keeps limits and the user", () => {
      const result = rkt.run(
        runWords([...how, "--interactive"], "read line; echo got $line as $(id -u):$(id -g); exit 7", [
          "--user=web",
          "--group=web",
        ]),
        { input: "hello\n" },
      );
      expect(result.stdout).toContain("got hello as 1001:1002");
      expect(result.status).toBe(7);
      expect(rkt.ok(["status", uuid()])).toContain("app-app=7");
      const hungry = run(how, "exec dd if=/dev/zero of=/dev/null bs=100M count=1", ["--memory=32M"]);
      expect(hungry.status).toBe(137);
      expect(JSON.parse(rkt.ok(["status", "--format=json", uuid()])).apps[0]).toMatchObject({ oom: true });
    });

    test("can be entered, as root and as another user", async () => {
      const running = await start("echo up; sleep 1000", how);
      const enter = (...command: string[]) => rkt.run(["enter", uuid(), ...command]);
      const result = enter(
        "/bin/sh",
        "-c",
        "id -u; cat /proc/self/uid_map; echo x > /from-enter && stat -c %u /from-enter; exit 5",
      );
      expect(words(result.stdout)).toEqual(["0", "0", String(shift()), "65536", "0"]);
      expect(result.status).toBe(5);
      rkt.ok(["stop", "--force", uuid()]);
      await running.ended;
    });
  });
}

describe("ids", () => {
  test("are another pod's never: running, ended or prepared", async () => {
    const running = await start("echo up; sleep 1000");
    const prepared = rkt
      .ok(["--insecure-options=image", "prepare", "--quiet", "--private-users", image, "--exec=/bin/true"])
      .trim();
    run([], "true");
    const ranges = rkt.pods().flatMap((pod) =>
      ["prepared", "run", "exited-garbage"].flatMap((state) => {
        const file = join(rkt.dataDir, "pods", state, pod, "private-users-prepared");
        return existsSync(file) ? [Number(readFileSync(file, "utf8").split(":")[0])] : [];
      }),
    );
    expect(ranges.length).toBeGreaterThanOrEqual(3);
    expect(new Set(ranges.map((first) => first >>> 16)).size).toBe(ranges.length);
    const range = readFileSync(join(rkt.dataDir, "pods/prepared", prepared, "private-users-prepared"), "utf8");
    const result = rkt.run(["run-prepared", "--net=none", prepared]);
    expect(result.status).toBe(0);
    expect(readFileSync(join(rkt.dataDir, "pods/run", prepared, "private-users-prepared"), "utf8")).toBe(range);
    running.kill("SIGTERM");
    await running.ended;
  });

  test("fly has none to give, and says so before it starts", () => {
    const result = rkt.run(runWords(["--stage1-name=coreos.com/rkt/stage1-fly"], "echo started"));
    expect(result).toMatchObject({ status: 254, stdout: "" });
    expect(result.stderr).toContain("flag --private-users cannot be used with a fly stage1");
  });
});

describe("volumes", () => {
  test("have the host's owners by number, and what the pod writes belongs to them", () => {
    const source = join(rkt.dir, "volume");
    mkdirSync(source);
    writeFileSync(join(source, "roots"), "secret\n", { mode: 0o600 });
    writeFileSync(join(source, "webs"), "web\n");
    chownSync(join(source, "webs"), 1001, 1002);
    const result = run(
      [`--volume=v,kind=host,source=${source}`],
      "stat -c %u:%g /v/roots /v/webs; cat /v/roots; echo x > /v/made; chown 1001:1002 /v/made",
      ["--mount=volume=v,target=/v"],
    );
    expect(words(result.stdout)).toEqual(["0:0", "1001:1002", "secret"]);
    const { uid, gid } = statSync(join(source, "made"));
    expect([uid, gid]).toEqual([1001, 1002]);
  });

  test("of a file system that cannot map owners are warned of, by name; the rest of the volume is mapped", () => {
    const source = join(rkt.dir, "mixed");
    const below = join(source, "below");
    mkdirSync(below, { recursive: true });
    // An overlay maps no owners, whatever the kernel.
    for (const name of ["lower", "upper", "work"]) mkdirSync(join(rkt.dir, name));
    const [lower, upper, work] = ["lower", "upper", "work"].map((name) => join(rkt.dir, name));
    runProgram([
      "mount",
      "-t",
      "overlay",
      "-o",
      `lowerdir=${lower},upperdir=${upper},workdir=${work}`,
      "overlay",
      below,
    ]);
    const result = run([`--volume=v,kind=host,source=${source}`], "stat -c %u /v /v/below", [
      "--mount=volume=v,target=/v",
    ]);
    runProgram(["umount", below]);
    expect(words(result.stdout)).toEqual(["0", "65534"]);
    expect(result.stderr).toContain(`volume "v" keeps the host's owners`);
    expect(result.stderr).toContain(`"${below}" is on "overlay"`);
  });

  test("that rkt makes belong to the pod's users", () => {
    const volumes = [
      "--volume=e,kind=empty,mode=0700,uid=1001,gid=1002",
      "--volume=t,kind=tmpfs,mode=0700,uid=1001,gid=1002",
    ];
    const result = run(volumes, "stat -c %u:%g:%a /e /t; touch /e/made /t/made && echo written", [
      ...["--mount=volume=e,target=/e", "--mount=volume=t,target=/t", "--user=web", "--group=web"],
    ]);
    expect(words(result.stdout)).toEqual(["1001:1002:700", "1001:1002:700", "written"]);
  });
});

describe("the pod's network", () => {
  test("lets its root open ports below 1024 and ping, though the network is not its own", () => {
    const script =
      "nc -l -p 80 -e /bin/echo reached & sleep 0.5; nc -w 5 127.0.0.1 80 < /dev/null; cat /proc/sys/net/ipv4/ping_group_range";
    expect(words(run([], script).stdout)).toEqual(["reached", "0", "65535"]);
  });
});

describe("who escapes", () => {
  test("owns nothing on the host: reads nothing of root's, writes nothing, and what it makes belongs to the pod", async () => {
    const secret = join(rkt.dir, "secret");
    const open = join(rkt.dir, "open");
    writeFileSync(secret, "of the host\n", { mode: 0o600 });
    mkdirSync(open);
    chmodSync(open, 0o1777);
    const running = await start("echo up; sleep 98761");
    const pid = appPid("sleep 98761");
    /** With the pod's user namespace and all its rights there, but the host's files, processes and network: a pod's root that got out of everything else. */
    const escaped = (script: string) =>
      spawnSync("nsenter", [`--target=${pid}`, "--user", "--", "/bin/sh", "-c", script], { encoding: "utf8" });
    expect(escaped("id -u").stdout).toBe("0\n");
    for (const script of [
      `cat ${secret}`,
      `echo x >> ${secret}`,
      "cat /etc/shadow",
      "echo x >> /etc/passwd",
      `rm -f ${secret} && test ! -e ${secret}`,
      `chown 0 ${open}`,
      "mknod /tmp/rkt-escaped b 254 0",
      "mount --bind /etc /mnt",
      "echo x > /proc/sys/kernel/core_pattern",
      `ls ${rkt.dataDir}/pods`,
      "kill -0 1",
      "hostname escaped",
    ]) {
      expect({ script, failed: escaped(script).status !== 0 }).toEqual({ script, failed: true });
    }
    expect(escaped(`touch ${open}/made && chmod 4755 ${open}/made`).status).toBe(0);
    expect(statSync(join(open, "made")).uid).toBe(shift());
    expect(readFileSync(secret, "utf8")).toBe("of the host\n");
    // Each of these works for the host's root, so it is the user namespace that stopped them.
    expect(readFileSync("/etc/shadow", "utf8")).toContain(":");
    running.kill("SIGTERM");
    await running.ended;
  });

  test("is a stranger to another pod, too", async () => {
    const first = await start("echo up; sleep 98762");
    const file = join(rkt.dir, "of-the-first-pod");
    writeFileSync(file, "secret\n", { mode: 0o600 });
    chownSync(file, shift(), shift());
    const second = await start("echo up; sleep 98763");
    const read = (command: string) =>
      spawnSync("nsenter", [`--target=${appPid(command)}`, "--user", "--", "/bin/cat", file], { encoding: "utf8" });
    expect(read("sleep 98762").stdout).toBe("secret\n");
    expect(read("sleep 98763")).toMatchObject({ status: 1, stdout: "" });
    for (const running of [first, second]) {
      running.kill("SIGTERM");
      await running.ended;
    }
  });
});

test("export gives an app's files with the owners that the pod saw", () => {
  for (const how of [[], ["--no-overlay"]]) {
    run(how, "echo new > /made; chown 5:6 /made; mkdir /new; cp /bin/cat-capable /new/copy");
    const file = join(rkt.dir, `exported${how.length}.aci`);
    rkt.ok(["export", uuid(), file]);
    const listing = runProgram(["tar", "--list", "--verbose", "--numeric-owner", "--gzip", "--file", file]);
    const owner = (path: string) =>
      listing
        .split("\n")
        .find((line) => line.endsWith(` rootfs/${path}`))
        ?.split(/\s+/)[1];
    expect({ made: owner("made"), dir: owner("new/"), webs: owner("owned/webs"), root: owner("") }).toEqual({
      made: "5/6",
      dir: "0/0",
      webs: "1001/1002",
      root: "0/0",
    });
  }
  expect(mountsBelow(join(rkt.dataDir, "tmp"))).toEqual([]);
});

describe("kill -9 while the layers are mapped", () => {
  // What was never unpacked would be first: not what is killed here.
  beforeAll(() => {
    run([], "true");
  });

  // 1: when it is found out whether layers can be mapped; 2: the stage1's; 3: the app's.
  for (const [call, nth] of [
    ["open_tree", 2],
    ["move_mount", 1],
    ["move_mount", 2],
    ["move_mount", 3],
    ["umount2", 1],
    ["umount2", 2],
    ["umount2", 3],
  ] as const) {
    test(`at ${call} ${nth}: gc takes away the mounts, and no child is left`, () => {
      const { killed } = killAtCall(rkt, runWords([], "true"), call, nth);
      expect(killed).toBe(true);
      rkt.ok(["list"]);
      expect(rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]).status).toBe(0);
      expect(rkt.pods()).toEqual([]);
      expect(mountsBelow(rkt.dataDir)).toEqual([]);
      expect(holders()).toEqual([]);
    });
  }

  /** Children that hold a namespace for rkt: cat(1), with no map or one of a pod's. */
  const holders = () =>
    readdirSync("/proc").filter((name) => {
      try {
        const isCat = readFileSync(`/proc/${name}/cmdline`, "latin1") === "/bin/cat\0";
        return isCat && !readFileSync(`/proc/${name}/uid_map`, "latin1").includes("4294967295");
      } catch {
        return false;
      }
    });
});

test("nothing is left: gc removes mapped files, mounts and the child that held the namespace", () => {
  for (const how of [[], ["--no-overlay"]])
    run(how, "mkdir /deep; echo x > /deep/file; chown -R 7:7 /deep; chmod 0 /deep");
  expect(rkt.run(["gc", "--grace-period=0s", "--expire-prepared=0s"]).status).toBe(0);
  expect(rkt.pods()).toEqual([]);
  expect(mountsBelow(rkt.dataDir)).toEqual([]);
});
