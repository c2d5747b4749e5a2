/** `make demo`, once everything is set up, on a machine without any network but loopback. Needs root, and what tools/setup.sh build and run install. */

import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { censusScope, leftBehind, takeCensus } from "../harness/leaks.ts";
import { enterPrivateHost } from "../harness/private-host.ts";

setDefaultTimeout(300_000);

beforeAll(enterPrivateHost);

test("make demo shows the whole job without a network, and leaves nothing behind", async () => {
  using scope = censusScope();
  // IPv4's table has a heading; IPv6's only has what is on the loopback interface.
  expect(readFileSync("/proc/thread-self/net/route", "utf8").trim().split("\n")).toHaveLength(1);
  const demos = () => readdirSync("/tmp").filter((name) => name.startsWith("rkt-demo-"));
  const [before, demosBefore] = [takeCensus(scope), demos()];
  const { status, stdout, stderr } = spawnSync("make", ["demo"], {
    encoding: "utf8",
    // Not the variables of the make that this may be part of.
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", TERM: "dumb" },
  });
  if (status !== 0) throw new Error(`make demo: status ${status}\n${stdout}\n${stderr}`);
  const shown = stdout.replaceAll("\r", "");
  expect(shown).toMatch(/hello from rkt-[0-9a-f-]{36}\nuid=1000\(demo\) gid=1000\(demo\)/);
  expect(shown).toMatch(/inet 172\.16\.28\.\d+\/24/);
  expect(shown).toMatch(/hello from an OCI image\n\(exit status 42\)/);
  expect(shown).toMatch(/hello from fly\n\(exit status 7\)/);
  expect(shown).toContain("app-busybox=0");
  expect(shown).toContain("Done: ");
  expect(demos()).toEqual(demosBefore);
  expect(await leftBehind(scope, before)).toEqual([]);
});
