/** Who an app of an nspawn pod is, and what it may ask of the kernel: seen from inside. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci, ROOT_FOR_HOST_PROGRAMS } from "../harness/fetched-aci.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";

describe("rights of an app in an nspawn pod", () => {
  let rkt: TestRkt;
  let image: string;
  const run = (appFlags: string[], script: string, podFlags: string[] = []) =>
    rkt.run([
      ...["--insecure-options=image", "run", "--net=none", ...podFlags, image, "--name=app", "--exec=/bin/sh"],
      ...[...appFlags, "--", "-c", script],
    ]);
  const lines = (text: string) => text.split(/\r?\n/).filter((line) => line !== "");
  /** The host's own Perl, on a volume: a program that makes any system call by its number, and prints 0 or the error's. */
  const CALLS = ["--volume=usr,kind=host,source=/usr,readOnly=true", "--mount=volume=usr,target=/usr"];
  /** At most one text. It is a variable: Perl passes the address of what it is given, and refuses that of a constant. */
  const call = (number: number, ...words: (string | number)[]) => {
    const text = words.find((word) => typeof word === "string");
    const given = words.map((word) => (typeof word === "string" ? "$s" : word));
    return `perl -e 'my $s = q(${text ?? ""}); my $r = syscall(${[number, ...given].join(", ")}); exit 0 if $r == 0 && ${number} == ${NUMBER.clone}; print $r < 0 ? 0 + $! : 0, "\\n"'`;
  };
  const NUMBER =
    process.arch === "arm64"
      ? { clone: 220, clone3: 435, unshare: 97, keyctl: 219, mount: 40, ptrace: 117, chroot: 51, sethostname: 161 }
      : { clone: 56, clone3: 435, unshare: 272, keyctl: 250, mount: 165, ptrace: 101, chroot: 161, sethostname: 170 };
  const [EPERM, ENOSYS] = [1, 38];
  const NEWUSER = 0x10000000;
  const SIGCHLD = 17;

  beforeAll(() => {
    rkt = testRkt();
    image = fetchedAci(
      rkt,
      {},
      {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002::/home/web:/bin/sh\n",
        "etc/group": "root:x:0:\nweb:x:1002:\nlogs:x:1003:\n",
        "srv/file": "x",
        ...ROOT_FOR_HOST_PROGRAMS,
      },
    );
  });
  afterAll(() => rkt[Symbol.dispose]());

  test("by default no app makes namespaces, by no call, and reaches neither keys nor tracing", () => {
    const script = [
      call(NUMBER.unshare, NEWUSER),
      call(NUMBER.clone, NEWUSER + SIGCHLD, 0, 0, 0, 0),
      call(NUMBER.clone3, 0, 0),
      call(NUMBER.keyctl, 0, 0, 0, 0, 0),
      call(NUMBER.ptrace, 0, 0, 0, 0),
      call(NUMBER.mount, 0, 0, 0, 0, 0),
      call(NUMBER.clone, SIGCHLD, 0, 0, 0, 0),
    ].join("; ");
    const results = lines(run([], script, CALLS).stdout).map(Number);
    expect(results).toEqual([EPERM, EPERM, ENOSYS, EPERM, EPERM, EPERM, 0]);
  });

  test("a capability comes with the calls that it is for", () => {
    const script =
      "mkdir /m; mount -t tmpfs tmpfs /m && echo mounted; unshare -m true && echo unshared; hostname other && echo renamed";
    expect(lines(run(["--caps-retain=CAP_SYS_ADMIN,CAP_DAC_OVERRIDE"], script).stdout)).toEqual([
      "mounted",
      "unshared",
      "renamed",
    ]);
    expect(run([], script).stdout).not.toMatch(/^(mounted|unshared|renamed)/m);
    // Without one of its own the whole pod's filter would stand in the way.
    expect(lines(run(["--caps-retain=CAP_SYS_PTRACE"], call(NUMBER.ptrace, 0, 0, 0, 0), CALLS).stdout)).toEqual(["0"]);
  });

  test("capabilities are retained or removed, and none is gained", () => {
    const bounding = (...flags: string[]) =>
      /CapBnd:\s*([0-9a-f]+)/.exec(run(flags, "cat /proc/self/status").stdout)?.[1];
    expect(bounding()).toBe("00000000a80425fb");
    expect(bounding("--caps-retain=CAP_NET_ADMIN,CAP_KILL")).toBe("0000000000001020");
    expect(bounding("--caps-remove=CAP_MKNOD,CAP_NET_RAW")).toBe("00000000a00405fb");
    expect(bounding("--cap-remove=CAP_MKNOD,CAP_NET_RAW")).toBe("00000000a00405fb");
    const privileges = (...flags: string[]) =>
      /NoNewPrivs:\s*(\d)/.exec(run(flags, "cat /proc/self/status").stdout)?.[1];
    expect(privileges()).toBe("0");
    expect(privileges("--no-new-privileges")).toBe("1");
    expect(privileges("--user=web")).toBe("1");
  });

  test("--seccomp: sets, wildcards of rkt, docker and systemd, an error instead of the end", () => {
    const hostname = call(NUMBER.sethostname, "x", 1);
    const of = (filter: string, script: string, ...flags: string[]) =>
      run([`--seccomp=${filter}`, ...flags], script, CALLS);
    expect(lines(of("mode=remove,errno=EXDEV,chroot", call(NUMBER.chroot, "/")).stdout)).toEqual(["18"]);
    expect(of("mode=remove,chroot", `${call(NUMBER.chroot, "/")}; echo status $?`).stdout).toContain("status 159");
    expect(lines(of("mode=remove,errno=EXDEV,@systemd/privileged", call(NUMBER.chroot, "/")).stdout)).toEqual(["18"]);
    for (const name of ["@rkt/default-blacklist", "@docker/default-blacklist"])
      expect(lines(of(`mode=remove,errno=EXDEV,${name}`, call(NUMBER.keyctl, 0, 0, 0, 0, 0)).stdout)).toEqual(["18"]);
    for (const name of ["@rkt/default-whitelist", "@docker/default-whitelist"])
      expect(lines(of(`mode=retain,errno=EXDEV,${name}`, hostname).stdout)).toEqual(["18"]);
    expect(lines(of("mode=retain,@appc.io/all", hostname, "--caps-retain=CAP_SYS_ADMIN").stdout)).toEqual(["0"]);
    const unknown = of("mode=retain,@rkt/nothing", "true");
    expect(unknown.stderr).toContain('Cannot use "@rkt/nothing" as a system call: there is no such set');
    expect(unknown.status).toBe(254);
  });

  test("--seccomp=profile: a profile in Docker's form", () => {
    const file = join(rkt.dir, "profile.json");
    const write = (profile: object) => writeFileSync(file, JSON.stringify(profile));
    const flag = `--seccomp=profile=${file}`;
    write({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["chroot"], action: "SCMP_ACT_ERRNO", errnoRet: 18 }],
    });
    expect(lines(run([flag], `${call(NUMBER.chroot, "/")}; ${call(NUMBER.unshare, 0)}`, CALLS).stdout)).toEqual([
      "18",
      "0",
    ]);
    write({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["ioctl"], action: "SCMP_ACT_ERRNO", args: [{ index: 1, value: 5, op: "SCMP_CMP_EQ" }] }],
    });
    const refused = run([flag], "true");
    expect(refused.stderr).toContain(
      'Cannot use the seccomp profile of app "app": its rule for "ioctl" depends on arguments',
    );
    write({ defaultAction: "SCMP_ACT_MAYBE" });
    expect(run([flag], "true").stderr).toContain('defaultAction: unknown action "SCMP_ACT_MAYBE"');
    expect(run(["--seccomp=profile=/nowhere.json"], "true").stderr).toContain(
      'Cannot read the seccomp profile "/nowhere.json"',
    );
  });

  test("an AppArmor profile is enforced or refused, never left out", () => {
    const file = "/sys/module/apparmor/parameters/enabled";
    const enabled = existsSync(file) && readFileSync(file, "utf8").startsWith("Y");
    const result = run(["--apparmor-profile=unconfined"], "cat /proc/self/attr/current; echo ran");
    if (enabled) return expect(result.stdout).toContain("ran");
    expect(result.stderr).toContain('Cannot confine app "app" with AppArmor profile "unconfined"');
    expect(result.status).toBe(254);
  });
});
