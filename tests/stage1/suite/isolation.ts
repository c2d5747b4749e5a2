/** What a process of an app finds itself to be, by the probe: namespaces, rights, limits, environment, files of the kernel, devices. */

import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostSystemdVersion } from "../../harness/host-systemd.ts";
import { lines, probe, run, type Stage1 } from "./context.ts";

/** AUDIT_WRITE CHOWN DAC_OVERRIDE FSETID FOWNER KILL MKNOD NET_RAW NET_BIND_SERVICE SETUID SETGID SETPCAP SETFCAP SYS_CHROOT. */
const DEFAULT_CAPABILITIES = "00000000a80425fb";
/** CAP_SETPCAP. */
const SETPCAP = "0000000000000100";
const NONE = "0000000000000000";

export function isolationCases(stage1: Stage1): void {
  const isolates = stage1.flavor !== "fly";

  describe("an app without flags", () => {
    let facts: ReadonlyMap<string, string>;
    const fact = (name: string) => facts.get(name);
    const of = (prefix: string) => [...facts].filter(([name]) => name.startsWith(prefix));

    test("runs the probe", () => {
      facts = probe(stage1);
      expect(facts.size).toBeGreaterThan(60);
    });

    test("a kernel of its own in a virtual machine, the host's in every other flavor", () => {
      // When it was started, in seconds; systemd-nspawn gives each of its containers another boot_id. The clock is set by small steps.
      const host = Number(/^btime ([0-9]+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1]);
      const own = Number(fact("boot"));
      expect(own).toBeGreaterThan(0);
      expect(Math.abs(own - host) <= 2).toBe(stage1.flavor !== "kvm");
    });

    // Two kernels give the same numbers to different namespaces.
    if (stage1.flavor !== "kvm")
      test(`namespaces: ${isolates ? "its own, all but the user's" : "the host's, but for its mounts"}`, () => {
        const own = isolates ? ["cgroup", "ipc", "mnt", "net", "pid", "uts"] : ["mnt"];
        for (const [name, value] of of("namespace.")) {
          const kind = name.slice("namespace.".length);
          if (own.includes(kind)) expect(value).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
          else expect(value).toBe(readlinkSync(`/proc/self/ns/${kind}`));
        }
        expect(of("namespace.")).toHaveLength(7);
      });

    test("root, with the default capabilities and filter", () => {
      expect(fact("status.Uid")).toBe("0 0 0 0");
      expect(fact("status.Gid")).toBe("0 0 0 0");
      expect(fact("status.CapAmb")).toBe(NONE);
      // Since 254 systemd leaves the one there that it needs to set an app up.
      const left = stage1.flavor === "host" && hostSystemdVersion() >= 254 ? SETPCAP : NONE;
      expect(fact("status.CapInh")).toBe(left);
      const whole = /^CapBnd:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
      expect(fact("status.CapBnd")).toBe(isolates ? DEFAULT_CAPABILITIES : (whole ?? ""));
      expect(fact("status.CapEff")).toBe(fact("status.CapBnd"));
      expect(fact("status.Seccomp")).toBe(isolates ? "2" : "0");
      expect(fact("status.NoNewPrivs")).toBe("0");
    });

    test("no signal is ignored or blocked, no descriptor but its own three is open, and the umask is 022", () => {
      // Signals 32 and 33 are the C library's own, which no program can change (nptl(7)): they stay as the caller has them.
      const ownSignals = 0x1_8000_0000n;
      // busybox's shell, which reads it, ignores SIGQUIT by itself.
      expect(BigInt(`0x${fact("status.SigIgn")}`) & ~ownSignals).toBe(4n);
      expect(fact("status.SigBlk")).toBe(NONE);
      // "": the glob's own, closed by the time that it is looked at.
      const others = of("descriptor.").filter(
        ([name, target]) => !/\.[012]$/.test(name) && !["/probe", ""].includes(target),
      );
      // fly's app is the pod's supervisor, and holds its lock.
      expect(others.filter(([, target]) => isolates || !/\/pods\/run\/[0-9a-f-]{36}$/.test(target))).toEqual([]);
      expect(fact("umask")).toBe("0022");
    });

    test("the caller's limits", () => {
      const own = lines(readFileSync("/proc/self/limits", "utf8")).slice(1);
      for (const line of own) {
        const [name, soft, hard] = [line.slice(0, 25).trim(), ...line.slice(26).split(/ +/)];
        // Bun raises this one in the test's own process.
        const expected = name === "Max open files" ? `:${hard}` : `${soft}:${hard}`;
        expect(`${name} ${fact(`limit.${name.replaceAll(" ", "_")}`)}`).toEndWith(expected);
      }
    });

    test("rkt's variables, and none of the caller's", () => {
      const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
      expect(
        Object.fromEntries(of("variable.").filter(([name]) => !/\.(PWD|SHLVL|_|OLDPWD)$/.test(name))),
      ).toMatchObject({
        "variable.PATH": path,
        "variable.SHELL": "/bin/sh",
        "variable.USER": "root",
        "variable.LOGNAME": "root",
        "variable.HOME": "/root",
        "variable.AC_APP_NAME": "app",
      });
      expect(of("variable.").filter(([name]) => /BUN|RKT|LISTEN|CREDENTIALS|NOTIFY/.test(name))).toEqual([]);
    });

    test("its file system: the image, devices, the kernel's files, /tmp", () => {
      expect(fact("directory")).toBe("/");
      for (const target of ["/", "/dev", "/dev/pts", "/dev/shm", "/proc", "/sys"])
        expect(facts.has(`mount.${target}`)).toBe(true);
      for (const place of ["/", "/tmp", "/dev/shm", "/etc"])
        expect(`${place} ${fact(`writable.${place}`)}`).toBe(`${place} yes`);
      expect(of("mount./").filter(([, value]) => /shared:/.test(value))).toEqual([]);
      for (const [name, node] of [
        ["null", "1:3"],
        ["zero", "1:5"],
        ["full", "1:7"],
        ["random", "1:8"],
        ["urandom", "1:9"],
        ["tty", "5:0"],
      ] as const)
        expect(fact(`device./dev/${name}`)).toStartWith(`character_special_file:${node}:666`);
    });

    if (!isolates) return;

    test("no devices but those, and the usual links", () => {
      const names = of("device./dev/").map(([name]) => name.slice("device./dev/".length));
      const expected = [
        "fd",
        "full",
        "log",
        "net",
        "net/tun",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
      ];
      expect(
        names.filter((name) => ![...expected, "tty", "urandom", "zero", "console", "mqueue"].includes(name)),
      ).toEqual([]);
      expect(fact("device./dev/console")).toStartWith("character_special_file:");
      expect(fact("link./dev/fd")).toBe("/proc/self/fd");
      expect(fact("link./dev/ptmx")).toBe("pts/ptmx");
      expect(fact("link./dev/stdin")).toBe("/proc/self/fd/0");
      expect(fact("link./etc/mtab")).toBe("../proc/self/mounts");
    });

    test("the kernel's files are read-only, and those that tell about the host are hidden", () => {
      expect(of("hidden.").filter(([, value]) => value !== "yes")).toEqual([]);
      expect(
        of("writable./proc")
          .concat(of("writable./sys"))
          .filter(([, value]) => value !== "no"),
      ).toEqual([]);
      expect(of("writable./proc").length).toBeGreaterThan(2);
    });

    test("host name, hosts, and no name server without a network", () => {
      const name = fact("host.name") ?? "";
      expect(name).toMatch(/^rkt-[0-9a-f]{8}-[0-9a-f]{4}-4/);
      expect(fact("file./etc/hostname")).toBe(`${name}|`);
      expect(fact("file./etc/hosts")).toMatch(new RegExp(`127\\.0\\.0\\.1\\s[^|]*${name}`));
    });
  });

  test("an app may write its resolver and hosts files, as images do at their start; under a read-only root not", () => {
    const script =
      "for file in /etc/resolv.conf /etc/hosts; do echo '# added' >> $file && tail -n 1 $file; done 2> /dev/null; cat /etc/resolv.conf";
    const pod = ["--dns=192.0.2.1", "--hosts-entry=192.0.2.9=other"];
    const written = ["# Generated by rkt run", "nameserver 192.0.2.1"];
    expect(lines(run(stage1, script, { pod }).stdout)).toEqual(["# added", "# added", ...written, "# added"]);
    const readOnly = { pod, app: ["--readonly-rootfs=true"] };
    if (isolates) expect(lines(run(stage1, script, readOnly).stdout)).toEqual(written);
  });

  describe("an app with every flag", () => {
    let facts: ReadonlyMap<string, string>;
    const fact = (name: string) => facts.get(name);

    test("runs the probe", () => {
      const [source, env] = [join(stage1.rkt.dir, "every"), join(stage1.rkt.dir, "variables")];
      mkdirSync(source, { recursive: true });
      writeFileSync(env, "# a comment\n; another\n\nFROM_FILE=file\nBOTH=file\n");
      facts = probe(stage1, {
        pod: [
          ...[`--volume=ro,kind=host,source=${source},readOnly=true`, `--volume=rw,kind=host,source=${source}`],
          ...["--volume=e,kind=empty,mode=0750,uid=7,gid=8", "--volume=t,kind=tmpfs,size=1Mi"],
          ...["--set-env=FROM_POD=pod", "--set-env=BOTH=pod", "--set-env=ALL=pod", `--set-env-file=${env}`],
          ...[
            "--dns=192.0.2.1",
            "--dns=192.0.2.2",
            "--dns-search=example.com",
            "--dns-opt=ndots:2",
            "--dns-domain=example.net",
          ],
          ...["--hosts-entry=192.0.2.9=other.example.com"],
        ],
        app: [
          ...[
            "--user=web",
            "--group=logs",
            "--supplementary-gids=7,web,/srv/file",
            "--working-dir=/srv",
            "--readonly-rootfs=true",
          ],
          ...[
            "--mount=volume=ro,target=/ro",
            "--mount=volume=rw,target=/rw/deep",
            "--mount=volume=e,target=/e",
            "--mount=volume=t,target=/t",
          ],
          ...[
            "--environment=ALL=app",
            "--caps-retain=CAP_KILL,CAP_NET_BIND_SERVICE",
            "--pids=50",
            "--memory=64M",
            "--oom-score-adj=300",
          ],
        ],
      });
    });

    test("user, groups, directory", () => {
      expect(fact("status.Uid")).toBe("1001 1001 1001 1001");
      expect(fact("status.Gid")).toBe("1003 1003 1003 1003");
      expect(fact("status.Groups")?.split(" ").sort()).toEqual(
        [...(isolates ? ["1003"] : []), "0", "7", "1002"]
          .sort()
          .filter((one) => fact("status.Groups")?.split(" ").includes(one)),
      );
      for (const group of ["0", "7", "1002"]) expect(fact("status.Groups")?.split(" ")).toContain(group);
      expect(fact("directory")).toBe("/srv");
      expect(fact("variable.HOME")).toBe("/home/web");
      expect(fact("variable.USER")).toBe("web");
    });

    test("variables, the weaker first: file, pod, app", () => {
      expect(fact("variable.FROM_FILE")).toBe("file");
      expect(fact("variable.FROM_POD")).toBe("pod");
      expect(fact("variable.BOTH")).toBe("pod");
      expect(fact("variable.ALL")).toBe("app");
    });

    test("volumes, and a root that cannot be written", () => {
      expect(fact("mount./ro")).toContain(" ro");
      expect(fact("mount./rw/deep")).toContain(" rw");
      expect(fact("mount./t")).toMatch(/^tmpfs rw\S* rw,size=1024k/);
      expect(fact("writable./")).toBe("no");
      expect(fact("writable./etc")).toBe("no");
      expect(fact("writable./dev")).toBe("no");
    });

    test("resolver and hosts files as asked for", () => {
      expect(fact("file./etc/resolv.conf")).toBe(
        "# Generated by rkt run|search example.com|nameserver 192.0.2.1|nameserver 192.0.2.2|options ndots:2|domain example.net|",
      );
      expect(fact("file./etc/hosts")).toContain("192.0.2.9 other.example.com");
      // The pod finds itself, with entries of its own too.
      if (isolates) expect(fact("file./etc/hosts")).toMatch(/127\.0\.0\.1\s[^|]*\srkt-[0-9a-f-]{36}\|/);
    });

    test(`rights: ${isolates ? "what was retained, and no way to more" : "none that a user could lose"}`, () => {
      expect(fact("status.CapEff")).toBe(NONE);
      if (!isolates) return;
      expect(fact("status.CapBnd")).toBe("0000000000000420");
      expect(fact("status.NoNewPrivs")).toBe("1");
      expect(fact("status.Seccomp")).toBe("2");
    });
  });

  if (!isolates) return;

  test("limits act: who takes more memory is killed and told from others, and fork stops at --pids", () => {
    const hungry = run(stage1, "exec dd if=/dev/zero of=/dev/null bs=100M count=1", {
      app: ["--memory=32M"],
      pod: [`--uuid-file-save=${join(stage1.rkt.dir, "uuid")}`],
    });
    expect(hungry.status).toBe(137);
    const uuid = readFileSync(join(stage1.rkt.dir, "uuid"), "utf8");
    expect(JSON.parse(stage1.rkt.ok(["status", "--format=json", uuid])).apps[0]).toMatchObject({
      exit_code: 137,
      signal: "SIGKILL",
      oom: true,
    });
    const forks = run(stage1, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 2 & done; echo done", {
      app: ["--pids=8"],
    });
    expect(forks.stdout).toContain("can't fork");
  });

  test("--insecure-options lets go of one protection each, and only for its pod", () => {
    const facts = (option: string) => probe(stage1, { globals: [`--insecure-options=image,${option}`] });
    expect(facts("seccomp").get("status.CapBnd")).toBe(DEFAULT_CAPABILITIES);
    expect(facts("capabilities").get("status.CapBnd")).not.toBe(DEFAULT_CAPABILITIES);
    const paths = facts("paths");
    expect(paths.get("hidden./sys/module")).toBe("no");
    expect(paths.get("status.CapBnd")).toBe(DEFAULT_CAPABILITIES);
  });

  test("no device of the host can be made or opened", () => {
    const [disk = "loop0"] = readdirSync("/sys/block");
    const [major, minor] = readFileSync(`/sys/block/${disk}/dev`, "utf8").trim().split(":");
    const { stdout } = run(
      stage1,
      `for node in /dev/disk /disk; do mknod $node b ${major} ${minor}; dd if=$node of=/dev/null count=1 && echo OPENED; done; echo done`,
    );
    expect(stdout).toContain("done");
    expect(stdout).not.toContain("OPENED");
  });
}
