/** One suite of cases that every flavor must pass; what a flavor may refuse is listed here, not in the flavor. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { mountsBelow, type TestRkt, testRkt, until } from "../harness/rkt.ts";

export function stage1Suite(flavor: "nspawn" | "host" | "fly"): void {
  describe(`stage1 ${flavor}`, () => {
    let rkt: TestRkt;
    let image: string;
    const stage1 = `--stage1-name=coreos.com/rkt/stage1-${flavor}`;
    const net = "--net=none";
    const run = (script: string, ...flags: string[]) =>
      rkt.run(["--insecure-options=image", "run", stage1, net, ...flags, image, "--exec=/bin/sh", "--", "-c", script]);
    /** Starts a pod whose script prints "up" and goes on; resolves when it did. */
    const startPod = async (script: string) => {
      const uuidFile = join(rkt.dir, "uuid");
      const running = rkt.start([
        "--insecure-options=image",
        "run",
        stage1,
        net,
        `--uuid-file-save=${uuidFile}`,
        image,
        "--exec=/bin/sh",
        "--",
        "-c",
        script,
      ]);
      await until("the app's first line", () => running.stdout().includes("up"));
      return { running, uuid: readFileSync(uuidFile, "utf8") };
    };

    beforeAll(() => {
      rkt = testRkt();
      const aci = join(rkt.dir, "busybox.aci");
      buildAci(
        aci,
        {},
        {
          "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002::/home/web:/bin/sh\n",
          "etc/group": "root:x:0:\nweb:x:1002:\n",
        },
      );
      image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
    });
    afterAll(() => rkt[Symbol.dispose]());

    for (const status of [0, 1, 42]) {
      test(`gives back exit status ${status} and the output`, () => {
        const result = run(`echo out; exit ${status}`);
        expect(result.stdout.replaceAll("\r", "")).toContain("out\n");
        expect(result.status).toBe(status);
      });
    }

    for (const [name, number] of [
      ["KILL", 9],
      ["TERM", 15],
      ["SEGV", 11],
    ] as const) {
      test(`gives 128+${number} for a death by SIG${name}`, () => {
        // Through a child shell: pid 1 of a namespace ignores signals of its own.
        expect(run(`kill -${name} $$; sleep 5`).status).toBe(128 + number);
      });
    }

    test("runs as the user, in the directory and with the variables that were asked for", () => {
      const result = rkt.run([
        "--insecure-options=image",
        "run",
        stage1,
        net,
        "--set-env=A=pod",
        "--set-env=B=pod",
        image,
        "--user=web",
        "--group=web",
        "--working-dir=/etc",
        "--environment=B=app",
        "--exec=/bin/sh",
        "--",
        "-c",
        "id -u; id -g; pwd; echo $A $B $HOME $AC_APP_NAME",
      ]);
      expect(result.stdout.replaceAll("\r", "")).toBe("1001\n1002\n/etc\npod app /home/web busybox\n");
    });

    test("mounts volumes, read-only when asked to, and host files stay the host's", () => {
      const source = join(rkt.dir, `volume-${flavor}`);
      mkdirSync(source);
      writeFileSync(join(source, "from-host"), "hello");
      const volume = `--volume=data,kind=host,source=${source}`;
      const script = "cat /data/from-host; echo back > /data/from-pod";
      expect(run(script, volume, "--mount=volume=data,target=/data").status).toBe(0);
      expect(readFileSync(join(source, "from-pod"), "utf8")).toBe("back\n");
      expect(run("echo x > /data/refused", `${volume},readOnly=true`, "--mount=volume=data,target=/data").status).toBe(
        1,
      );
      expect(() => statSync(join(source, "refused"))).toThrow();
    });

    test("names a program that does not exist", () => {
      const result = rkt.run(["--insecure-options=image", "run", stage1, net, image, "--exec=no-such-program"]);
      expect(result.status).toBe(254);
      expect(result.stderr).toContain('Unable to find "no-such-program"');
    });

    test("stops on SIGTERM, is listed while it runs, and leaves nothing after gc", async () => {
      const { running, uuid } = await startPod("trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done");
      expect(rkt.ok(["list", "--no-legend"])).toContain("running");
      expect(rkt.ok(["status", uuid])).toContain("state=running");
      rkt.ok(["stop", uuid]);
      await running.ended;
      expect(rkt.ok(["status", uuid])).toContain("state=exited");
      rkt.ok(["gc", "--grace-period=0s"]);
      expect(rkt.pods()).toEqual([]);
      expect(mountsBelow(rkt.dir)).toEqual([]);
    });

    if (flavor === "fly") {
      test("refuses a second app", () => {
        const result = rkt.run([
          "--insecure-options=image",
          "run",
          stage1,
          image,
          "--name=a",
          "---",
          image,
          "--name=b",
        ]);
        expect(result.status).toBe(254);
        expect(result.stderr).toContain("fly only supports 1 application per Pod for now");
      });
      return;
    }

    test("a pod of three apps ends with the status of the first that failed, and status shows each", () => {
      const uuidFile = join(rkt.dir, "uuid-three");
      const app = (name: string, script: string) => [image, `--name=${name}`, "--exec=/bin/sh", "--", "-c", script];
      const result = rkt.run([
        "--insecure-options=image",
        "run",
        stage1,
        net,
        `--uuid-file-save=${uuidFile}`,
        ...app("good", "exit 0"),
        "---",
        ...app("bad", "sleep 0.3; exit 7"),
        "---",
        ...app("stubborn", "trap 'exit 9' TERM; while :; do sleep 0.1; done"),
      ]);
      expect(result.status).toBe(7);
      const status = rkt.ok(["status", readFileSync(uuidFile, "utf8")]);
      expect(status).toContain("app-good=0");
      expect(status).toContain("app-bad=7");
      expect(status).toContain("app-stubborn=9");
    });

    test("enters a running pod, and gives back the command's status", async () => {
      const { running, uuid } = await startPod("echo up; sleep 60");
      const entered = rkt.run(["enter", uuid, "/bin/sh", "-c", "echo inside; cat /etc/passwd; exit 5"]);
      expect(entered.stdout).toContain("inside\nroot:x:0:0");
      expect(entered.status).toBe(5);
      rkt.ok(["stop", "--force", uuid]);
      await running.ended;
    });

    test("has a network of its own with the default network", () => {
      const result = rkt.run([
        "--insecure-options=image",
        "run",
        stage1,
        image,
        "--exec=/bin/sh",
        "--",
        "-c",
        "cat /sys/class/net/eth0/carrier; hostname",
      ]);
      expect(result.status).toBe(0);
      // carrier, not operstate: the kernel works the latter out up to a second later.
      expect(result.stdout).toMatch(/^1\r?\nrkt-[0-9a-f]{8}-/);
      rkt.ok(["gc", "--grace-period=0s"]);
    });
  });
}
