/** From the start of a pod to nothing: statuses, output, stop, enter, several apps, its network. */

import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mountsBelow, RKT, until } from "../../harness/rkt.ts";
import { podWords, run, type Stage1, startPod } from "./context.ts";

export function lifecycleCases(stage1: Stage1): void {
  test("gives back output and exit status", () => {
    for (const status of [0, 1, 42])
      expect(run(stage1, `echo out; exit ${status}`)).toMatchObject({ status, stdout: "out\n" });
  });

  test("gives 128+N for a death by signal N", () => {
    for (const [name, number] of [
      ["KILL", 9],
      ["TERM", 15],
      ["SEGV", 11],
    ] as const)
      expect(run(stage1, `kill -${name} $$; sleep 5`).status).toBe(128 + number);
  });

  test("--debug tells the plan, without arguments and variables, and nothing else is changed", () => {
    const result = run(stage1, "echo secret-word", { globals: ["--debug"], pod: ["--set-env=KEY=secret-value"] });
    expect(result.stderr).toContain('stage1: app app: "/bin/sh" and 2 arguments as user "0"');
    expect(result.stderr).not.toMatch(/secret-(word|value)/);
    expect(result.stdout).toContain("secret-word\n");
    expect(result.status).toBe(0);
  });

  test("stops on request, is listed while it runs, and leaves nothing after gc", async () => {
    const { running, uuid } = await startPod(stage1, "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done");
    expect(stage1.rkt.ok(["list", "--no-legend"])).toContain("running");
    expect(stage1.rkt.ok(["status", uuid])).toContain("state=running");
    stage1.rkt.ok(["stop", uuid]);
    await running.ended;
    expect(stage1.rkt.ok(["status", uuid])).toContain("state=exited");
    stage1.rkt.ok(["gc", "--grace-period=0s"]);
    expect(stage1.rkt.pods()).toEqual([]);
    expect(mountsBelow(stage1.rkt.dir)).toEqual([]);
  });

  test("enters a running pod: the app's files, the command's status; stops by force", async () => {
    const { running, uuid } = await startPod(stage1, "echo up; sleep 60");
    const entered = stage1.rkt.run(["enter", uuid, "/bin/sh", "-c", "cat /marker; exit 5"]);
    expect(entered).toMatchObject({ status: 5, stdout: "app\n" });
    stage1.rkt.ok(["stop", "--force", uuid]);
    await running.ended;
    expect(stage1.rkt.ok(["status", uuid])).toContain("state=exited");
  });

  test("files are copied into a pod and out of it by enter, byte for byte", async () => {
    const { running, uuid } = await startPod(stage1, "echo up; sleep 1234567");
    const file = join(stage1.rkt.dir, "copied");
    writeFileSync(file, crypto.getRandomValues(new Uint8Array(60_000)));
    const enter = `${RKT} ${stage1.rkt.globals.join(" ")} enter ${uuid}`;
    const script = `${enter} /bin/sh -c 'cat > /copy' < "$0" && ${enter} /bin/cat /copy | cmp - "$0"`;
    const { status, stdout, stderr } = spawnSync("sh", ["-c", script, file], { encoding: "utf8" });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
    stage1.rkt.ok(["stop", "--force", uuid]);
    await running.ended;
  });

  test("a stop ends what the app has started, too; after a forced one rm can follow at once", async () => {
    for (const force of [[], ["--force"]]) {
      const { running, uuid } = await startPod(stage1, "sleep 1234567 & echo up; sleep 1234567");
      stage1.rkt.ok(["stop", ...force, uuid]);
      if (force.length === 0) await running.ended;
      stage1.rkt.ok(["rm", uuid]);
      await running.ended;
      expect(stage1.rkt.pods()).not.toContain(uuid);
    }
  });

  test("is entered as soon as it is running, whatever its start still has to do", async () => {
    for (let round = 0; round < 5; round += 1) {
      const uuidFile = join(stage1.rkt.dir, `uuid-soon-${round}`);
      const running = stage1.rkt.start(
        podWords(stage1, "exec sleep 1234567", { pod: [`--uuid-file-save=${uuidFile}`] }),
      );
      await until("the pod", () => stage1.rkt.ok(["list", "--no-legend"]).includes("running"));
      const uuid = readFileSync(uuidFile, "utf8");
      expect(stage1.rkt.run(["enter", uuid, "/bin/sh", "-c", "exit 6"])).toMatchObject({ status: 6, stderr: "" });
      stage1.rkt.ok(["stop", "--force", uuid]);
      stage1.rkt.ok(["rm", uuid]);
      await running.ended;
    }
  });

  test("a prepared pod runs once, with what it was prepared with", () => {
    const words = podWords(stage1, "echo ran $V; exit 3", { pod: ["--set-env=V=prepared"] })
      .filter((word) => word !== "--net=none")
      .map((word) => (word === "run" ? "prepare" : word));
    const uuid = stage1.rkt.ok(words).trim();
    expect(stage1.rkt.ok(["status", uuid])).toContain("state=prepared");
    const result = stage1.rkt.run(["run-prepared", "--net=none", uuid]);
    expect(result.stdout.replaceAll("\r", "")).toBe("ran prepared\n");
    expect(result.status).toBe(3);
    expect(stage1.rkt.run(["run-prepared", "--net=none", uuid])).toMatchObject({
      status: 254,
      stderr: expect.stringContaining("is not prepared"),
    });
  });

  if (stage1.flavor === "fly") return;

  test("a pod of three apps ends with the status of the first that failed, and status shows each", () => {
    const uuidFile = join(stage1.rkt.dir, "uuid-three");
    const app = (name: string, script: string) => [
      stage1.image,
      `--name=${name}`,
      "--exec=/bin/sh",
      "--",
      "-c",
      script,
    ];
    const result = stage1.rkt.run([
      ...["--insecure-options=image", "run", `--stage1-name=coreos.com/rkt/stage1-${stage1.flavor}`, "--net=none"],
      `--uuid-file-save=${uuidFile}`,
      ...[...app("good", "exit 0"), "---", ...app("bad", "sleep 0.3; exit 7"), "---"],
      ...app("stubborn", "trap 'exit 9' TERM; while :; do sleep 0.1; done"),
    ]);
    expect(result.status).toBe(7);
    const status = stage1.rkt.ok(["status", readFileSync(uuidFile, "utf8")]);
    for (const line of ["app-good=0", "app-bad=7", "app-stubborn=9"]) expect(status).toContain(line);
  });

  test("has a network of its own with the default network", () => {
    const result = run(stage1, "cat /sys/class/net/eth0/carrier; hostname", { net: "--net=default" });
    expect(result.status).toBe(0);
    // carrier, not operstate: the kernel works the latter out up to a second later.
    expect(result.stdout).toMatch(/^1\nrkt-[0-9a-f]{8}-/);
    stage1.rkt.ok(["gc", "--grace-period=0s"]);
  });
}
