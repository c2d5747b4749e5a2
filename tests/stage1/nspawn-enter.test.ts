/** Entering an app of an nspawn pod: whose rights a command has, its terminal, and that a pod cannot turn it against the host. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { childrenOf } from "../../src/host/child-processes.ts";
import { buildAci } from "../harness/images.ts";
import { RKT, type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";

describe("enter, in an nspawn pod", () => {
  let rkt: TestRkt;
  let pod: RunningRkt;
  let uuid: string;
  /** The root of the pod's init, as the host reaches it. */
  let podRoot: string;

  beforeAll(async () => {
    rkt = testRkt();
    const aci = join(rkt.dir, "app.aci");
    buildAci(
      aci,
      {},
      {
        "etc/passwd":
          "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002::/home/web:/bin/sh\nadm:x:1003:1004::/adm:/bin/sh\n",
        "etc/group": "root:x:0:\nweb:x:1002:\n",
      },
    );
    const image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
    const uuidFile = join(rkt.dir, "uuid");
    pod = rkt.start([
      ...["--insecure-options=image", "run", "--net=none", `--uuid-file-save=${uuidFile}`, image, "--name=app"],
      ...["--user=web", "--group=web", "--environment=COLOUR=blue", "--exec=/bin/sh", "--", "-c", "echo up; sleep 300"],
    ]);
    await until("the app's first line", () => pod.stdout().includes("up"));
    uuid = readFileSync(uuidFile, "utf8");
    const [init] = childrenOf(pod.pid);
    podRoot = `/proc/${init}/root`;
  });
  afterAll(() => rkt[Symbol.dispose]());

  test("a command has the app's user, environment, filter and namespaces", () => {
    const script =
      "id -u; id -g; echo $COLOUR $USER; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; readlink /proc/self/ns/pid";
    const lines = rkt.ok(["enter", uuid, "/bin/sh", "-c", script]).split("\n");
    expect(lines.slice(0, 6)).toEqual([
      ...["1001", "1002", "blue web", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"],
    ]);
    expect(lines[6]).not.toBe(readlinkSync("/proc/self/ns/pid"));
  });

  test("--user names another one: of the image, or by number", () => {
    const identity = (user: string) =>
      rkt.ok(["enter", `--user=${user}`, uuid, "/bin/sh", "-c", "id -u; id -g; echo $USER $HOME"]);
    expect(identity("adm")).toBe("1003\n1004\nadm /adm\n");
    expect(identity("0")).toBe("0\n0\nroot /root\n");
    expect(identity("4711")).toBe("4711\n4711\n4711 /\n");
    expect(rkt.run(["enter", "--user=nobody-here", uuid, "/bin/true"])).toMatchObject({
      status: 254,
      stderr: expect.stringContaining('Cannot find user "nobody-here" of the app'),
    });
  });

  test("a command gets a terminal of its own, its size and its signals, and the caller's is given back", async () => {
    const globals = [
      `--dir=${rkt.dataDir}`,
      `--local-config=${rkt.configDir}`,
      `--system-config=${join(rkt.dir, "usr-lib-rkt")}`,
    ];
    const command = [RKT, ...globals, "enter", uuid, "/bin/sh"].join(" ");
    const inner = `stty rows 31 cols 101; before=$(stty -g); ${command}; echo status=$?; [ "$(stty -g)" = "$before" ] && echo same settings`;
    const session = spawn("script", ["-qec", inner, "/dev/null"], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", TERM: "vt100" },
    });
    let output = "";
    session.stdout.on("data", (chunk) => {
      output += String(chunk).replaceAll("\r", "");
    });
    const over = new Promise((done) => session.once("exit", done));
    // The quotes: what is typed comes back as well, and must not look like the answer.
    session.stdin.write("tty; stty size; echo T=$TERM; echo st''arted; sleep 100\n");
    await until("the shell's answer", () => output.includes("\nstarted\n"));
    // More than one: a shell that is just about to start the command takes the first for itself.
    while (!output.includes("\ninterrupted\n")) {
      session.stdin.write("\x03echo interr''upted\n");
      await Bun.sleep(200);
    }
    session.stdin.write("exit 7\n");
    await over;
    expect(output).toMatch(/^\/dev\/pts\/\d+$/m);
    expect(output).toContain("\n31 101\n");
    expect(output).toContain("\nT=vt100\n");
    expect(output).toContain("\ninterrupted\n");
    expect(output).toContain("status=7\nsame settings");
  });

  test("ten at once", async () => {
    const entered = Array.from({ length: 10 }, (_, index) =>
      rkt.start(["enter", uuid, "/bin/sh", "-c", `echo number ${index}; exit ${index}`]),
    );
    const results = await Promise.all(entered.map((one) => one.ended));
    expect(results.map(({ status, stdout }) => `${status} ${stdout}`)).toEqual(
      Array.from({ length: 10 }, (_, index) => `${index} number ${index}\n`),
    );
  });

  test("links that the pod's root planted are not followed", () => {
    const target = join(rkt.dir, "host-directory");
    mkdirSync(target);
    rmSync(join(podRoot, "rkt/enter"), { recursive: true, force: true });
    symlinkSync(target, join(podRoot, "rkt/enter"));
    try {
      expect(rkt.run(["enter", uuid, "/bin/true"]).status).toBe(254);
      // As the pod sees it, the link leads to a path of the pod's; as the host sees it, to one of the host's.
      expect(spawnSync("ls", ["-A", target], { encoding: "utf8" }).stdout).toBe("");
    } finally {
      rmSync(join(podRoot, "rkt/enter"));
    }
    expect(rkt.run(["enter", uuid, "/bin/true"]).status).toBe(0);
  });

  test("a program of the pod that was overwritten runs with the pod's rights only", async () => {
    const systemctl = join(podRoot, "usr/bin/systemctl");
    const real = readFileSync(systemctl);
    rmSync(systemctl);
    writeFileSync(
      systemctl,
      "#!/bin/sh\n{ readlink /proc/self/ns/net; grep CapEff /proc/self/status; cat /proc/1/comm; } > /rkt/evil\n",
      { mode: 0o755 },
    );
    const entering = rkt.start(["enter", uuid, "/bin/true"]);
    try {
      await until(
        "the overwritten program to run",
        () =>
          existsSync(join(podRoot, "rkt/evil")) && readFileSync(join(podRoot, "rkt/evil"), "utf8").includes("systemd"),
      );
      const [network, capabilities] = readFileSync(join(podRoot, "rkt/evil"), "utf8").split("\n");
      expect(network).not.toBe(readlinkSync("/proc/self/ns/net"));
      expect(capabilities).not.toBe(/^CapEff.*$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[0]);
    } finally {
      entering.kill("SIGKILL");
      rmSync(systemctl);
      writeFileSync(systemctl, real, { mode: 0o755 });
    }
  });

  test("a pod that ends takes the command with it, and says so", async () => {
    const entering = rkt.start(["enter", uuid, "/bin/sh", "-c", "echo in; sleep 300"]);
    await until("the command", () => entering.stdout().includes("in"));
    rkt.ok(["stop", "--force", uuid]);
    const { status, stderr } = await entering.ended;
    expect(status).toBe(254);
    expect(stderr).toContain("the pod has ended");
    await pod.ended;
    expect(rkt.run(["enter", uuid, "/bin/true"]).stderr).toContain("isn't currently running");
  });
});
