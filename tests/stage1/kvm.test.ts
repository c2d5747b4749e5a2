/** The kvm flavor, a short list: under emulation a start takes seconds. Needs root, QEMU, iproute2. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findAccelerator } from "../../stage1/kvm/accelerator.ts";
import { mountsBelow, until } from "../harness/rkt.ts";
import { newStage1, run, setUp, startPod } from "./suite/context.ts";

const accelerated = findAccelerator().kind === "kvm";

describe("stage1 kvm", () => {
  const stage1 = newStage1("kvm");
  beforeAll(() => setUp(stage1));
  afterAll(() => stage1.rkt?.[Symbol.dispose]());

  /** A flag for a pod, and what it saved. */
  const savesUuid = () => {
    const file = join(stage1.rkt.dir, "uuid");
    return { pod: `--uuid-file-save=${file}`, uuid: () => readFileSync(file, "utf8") };
  };

  test("gives back output and status, and a volume that is read-only is", () => {
    const [ro, rw] = ["ro", "rw"].map((name) => join(stage1.rkt.dir, name)) as [string, string];
    for (const path of [ro, rw]) {
      mkdirSync(path);
      writeFileSync(join(path, "file"), "of the host\n");
    }
    const pod = [
      "--require=vm,seccomp",
      ...[`--volume=ro,kind=host,source=${ro},readOnly=true`, "--mount=volume=ro,target=/ro"],
      ...[`--volume=rw,kind=host,source=${rw}`, "--mount=volume=rw,target=/rw/deep"],
      ...["--volume=t,kind=tmpfs,size=1Mi", "--mount=volume=t,target=/t"],
    ];
    const script =
      "cat /ro/file; touch /ro/x 2> /dev/null && echo WROTE; mount -o remount,rw /ro 2> /dev/null && echo REMOUNTED; echo word > /rw/deep/word; df -k /t | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2; uname -r; exit 42";
    const result = run(stage1, script, { pod });
    const lines = result.stdout.split("\n");
    expect(lines.slice(0, 2)).toEqual(["of the host", "1024"]);
    // The guest's kernel, not the host's.
    expect(lines[2]).toContain("-cloud-amd64");
    expect(lines[2]).not.toBe(readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
    expect(result.status).toBe(42);
    if (!accelerated) expect(result.stderr).toContain("the pod's machine is emulated");
    expect(readdirSync(ro)).toEqual(["file"]);
    expect(readFileSync(join(rw, "word"), "utf8")).toBe("word\n");
  });

  test("a death by signal, without a network", () => {
    expect(run(stage1, "ls /sys/class/net; kill -SEGV $$; sleep 5")).toMatchObject({ status: 139, stdout: "lo\n" });
  });

  test("is reached over its network, entered, told apart by status, stopped, and leaves nothing", async () => {
    const script =
      "mkdir /www; echo hello > /www/index.html; httpd -p 80 -h /www; trap 'exit 0' TERM; echo up; while :; do sleep 1; done";
    const { running, uuid } = await startPod(stage1, script, { net: "--net=default" });
    const { rkt } = stage1;
    const status = rkt.ok(["status", uuid]);
    expect(status).toContain("state=running");
    expect(status).toContain(accelerated ? "vm(qemu:kvm),kvm" : "vm(qemu:emulated)");
    const ip = /^networks=default:ip4=(\S+)/m.exec(status)?.[1];
    const answer = await fetch(`http://${ip}/`);
    expect(await answer.text()).toBe("hello\n");
    const entered = rkt.run(["enter", uuid, "/bin/sh", "-c", "cat /marker; cat; echo err >&2; exit 5"], {
      input: "typed\n",
    });
    expect(entered).toMatchObject({ status: 5, stdout: "app\ntyped\n", stderr: "err\n" });
    // At once: the guest is still tidying up after the session before.
    expect(rkt.run(["enter", uuid, "/bin/cat"], { input: "again" })).toMatchObject({ status: 0, stdout: "again" });
    rkt.ok(["stop", uuid]);
    expect((await running.ended).status).toBe(0);
    expect(rkt.ok(["status", uuid])).toContain("app-app=0");
    rkt.ok(["gc", "--grace-period=0s"]);
    await until("the end of everything", () => rkt.pods().length === 0 && mountsBelow(rkt.dir).length === 0);
  });

  test("keeps a journal beside the console when asked to; syslog(3) and standard output by name lead to it", () => {
    const script = "echo out; echo by-name > /dev/stdout; { echo by-syslog; sleep 1; } | logger";
    const { pod, uuid } = savesUuid();
    const result = run(stage1, script, { pod: [pod, "--annotation=coreos.com/rkt/stage1/journal=true"] });
    expect(result.status).toBe(0);
    for (const word of ["out", "by-name"]) expect(result.stdout).toContain(word);
    const logged = stage1.rkt.ok(["logs", uuid()]).split("\n");
    for (const word of ["out", "by-syslog"]) expect(logged).toContain(word);
  });

  test("denied system calls are written down inside, and listed outside", () => {
    const { pod, uuid } = savesUuid();
    const result = run(stage1, "unshare -m true; sethostname() { hostname other; }; sethostname; exit 3", {
      app: ["--seccomp=mode=log"],
      pod: [pod],
    });
    expect(result.status).toBe(3);
    expect(result.stdout).toContain('rkt: app "app" made system calls that its filter denies: ');
    expect(stage1.rkt.ok(["status", uuid()])).toMatch(/^denied-app=sethostname\(1\),unshare\(1\)$/m);
  });

  test("other flavors do not satisfy --require=vm", () => {
    const result = run({ ...stage1, flavor: "nspawn" }, "true", { pod: ["--require=vm"] });
    expect(result).toMatchObject({ status: 254, stderr: expect.stringContaining('would not have "vm"') });
  });

  test("what a machine cannot have is refused before anything is made", () => {
    for (const [net, pod, text] of [
      ["--net=host", [], "flavor kvm requires private network configuration (try --net)"],
      ["--net=none", ["--private-users"], "flag --private-users cannot be used with"],
      ["--net=none", ["--ipc=parent"], "--ipc"],
      [
        "--net=none",
        ["--volume=disk,kind=host,source=/dev/null"],
        'Cannot use "/dev/null" for volume "disk": it is a device',
      ],
      ["--net=none", ["--require=userns"], 'would not have "userns"'],
      ...(accelerated ? [] : [["--net=none", ["--require=vm,kvm"], 'would not have "kvm"'] as const]),
    ] as const) {
      const result = run(stage1, "true", { net, pod });
      expect(result.stderr).toContain(text);
      expect(result.status).toBe(254);
    }
  });
});
