/** The count of what is left behind finds what is left behind: a check that finds nothing would pass every other test. Needs root. */

import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { killAfter, killAtCall } from "../harness/kill-at.ts";
import { censusScope, leaked, leftBehind, takeCensus } from "../harness/leaks.ts";
import { testRkt } from "../harness/rkt.ts";
import { atEnd, runProgram, temporaryDirectory } from "../harness/temporary.ts";

test("finds a mount, a namespace, an interface, a firewall rule, a cgroup, a process and a file", async () => {
  using dir = temporaryDirectory("census");
  using scope = censusScope([dir.path]);
  const before = takeCensus(scope);
  const [cgroup = ""] = scope.cgroups;
  const sleeper = Bun.spawn(["sleep", "1000"], { stdio: ["ignore", "ignore", "ignore"] });
  const remove = atEnd(() => {
    sleeper.kill("SIGKILL");
    runProgram(["umount", join(dir.path, "mnt")]);
    runProgram(["ip", "netns", "delete", "rkt-census"]);
    runProgram(["ip", "link", "delete", "census0"]);
    runProgram(["iptables", "-t", "nat", "-D", "POSTROUTING", "-m", "comment", "--comment", "census", "-j", "ACCEPT"]);
  });
  mkdirSync(join(dir.path, "mnt"));
  runProgram(["mount", "-t", "tmpfs", "tmpfs", join(dir.path, "mnt")]);
  writeFileSync(join(dir.path, "mnt/file"), "");
  runProgram(["ip", "netns", "add", "rkt-census"]);
  runProgram(["ip", "link", "add", "census0", "type", "veth", "peer", "name", "census1"]);
  runProgram(["iptables", "-t", "nat", "-A", "POSTROUTING", "-m", "comment", "--comment", "census", "-j", "ACCEPT"]);
  mkdirSync(join(cgroup, "census"));
  const found = leaked(before, takeCensus(scope));
  for (const wanted of [
    new RegExp(`^mount ${dir.path}/mnt `),
    /^mount \/run\/netns\/rkt-census /,
    /^interface census0$/,
    /^rule nat: .*census/,
    new RegExp(`^cgroup ${cgroup}/census$`),
    new RegExp(`^process ${sleeper.pid} sleep 1000$`),
    new RegExp(`^entry ${dir.path}/mnt/file$`),
    /^entry \/run\/netns\/rkt-census$/,
  ]) {
    expect(found).toContainEqual(expect.stringMatching(wanted));
  }
  remove();
  runProgram(["rmdir", join(cgroup, "census"), join(dir.path, "mnt")]);
  await sleeper.exited;
  expect((await leftBehind(scope, before)).filter((line) => !line.startsWith("mount /run/netns "))).toEqual([]);
});

test("rkt is killed after a time, or at a system call", async () => {
  using rkt = testRkt();
  using scope = censusScope();
  const before = takeCensus(scope);
  const waiting = await killAfter(rkt.start(["status", "--wait", "x"]), 5, true);
  expect(waiting).toMatchObject({ killed: true, result: { status: 137 } });
  const aci = join(rkt.dir, "app.aci");
  buildAci(aci);
  const args = ["--insecure-options=image", "fetch", aci];
  expect(killAtCall(rkt, args, "mkdir,mkdirat", 1)).toMatchObject({ killed: true });
  expect(killAtCall(rkt, args, "mkdir,mkdirat", 60_000)).toMatchObject({ killed: false, result: { status: 0 } });
  expect(await leftBehind(scope, before)).toEqual([]);
});
