/** What `rkt explain` says of real ends. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";

describe("explain", () => {
  let rkt: TestRkt;
  let image: string;
  const ended = (appFlags: string[], script: string) => {
    const uuidFile = join(rkt.dir, "uuid");
    rkt.run([
      ...["--insecure-options=image", "run", "--net=none", `--uuid-file-save=${uuidFile}`, image, "--name=app"],
      ...["--exec=/bin/sh", ...appFlags, "--", "-c", script],
    ]);
    return readFileSync(uuidFile, "utf8");
  };
  const explain = (uuid: string) => rkt.ok(["explain", uuid]);

  beforeAll(() => {
    rkt = testRkt();
    image = fetchedAci(rkt, {}, { "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n" });
  });
  afterAll(() => rkt[Symbol.dispose]());

  test("a limit of memory, with what the kernel said", () => {
    const uuid = ended(["--memory=32M"], "exec dd if=/dev/zero of=/dev/null bs=100M count=1");
    const text = explain(uuid);
    expect(text).toStartWith(
      `pod ${uuid} is exited\napp app: the kernel killed it for want of memory: its limit is 32000000 bytes\n`,
    );
    expect(text).toContain("  hint: raise the limit with --memory\n");
    expect(text).toMatch(new RegExp(`  kernel: .*${uuid}`));
    expect(text).toMatch(/ {2}kernel: Memory cgroup out of memory: Killed process \d+ \(dd\)/);
    const json = JSON.parse(rkt.ok(["explain", "--format=json", uuid]));
    expect(json).toMatchObject({ name: uuid, state: "exited", apps: [{ name: "app", exit_code: 137, oom: true }] });
  });

  test("a status of its own, a program that a shell did not find, a crash, a success", () => {
    expect(explain(ended([], "exit 3"))).toContain("app app: it ended by itself, with status 3\n");
    expect(explain(ended([], "no-such-program"))).toContain("status 127\n  hint: a shell in it did not find a program");
    expect(explain(ended([], "kill -SEGV $$; sleep 5"))).toContain("app app: it crashed (SIGSEGV)\n");
    expect(explain(ended([], "true"))).toContain("app app: it ended by itself, with status 0\n");
  });

  test("a pod that has not run, and one that does not exist", () => {
    const uuid = rkt.ok(["--insecure-options=image", "prepare", image, "--name=app", "--exec=/bin/true"]).trim();
    expect(explain(uuid)).toBe(`pod ${uuid} is prepared\napp app: it has not run: the pod is prepared\n`);
    expect(rkt.run(["explain", "00000000-0000-0000-0000-000000000000"])).toMatchObject({ status: 254, stdout: "" });
  });
});
