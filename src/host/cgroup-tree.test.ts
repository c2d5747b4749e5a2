import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseUuid } from "../core/uuid.ts";
import { directoriesOf, readPodCgroup, recordPodCgroup } from "./cgroup.ts";
import { podCgroupPopulated, podCgroupProcesses } from "./cgroup-processes.ts";
import { cgroupDirectory, checkedCgroupPath, detectCgroups } from "./cgroup-tree.ts";

const mount = (point: string, type: string, options: string, root = "/") =>
  `30 25 0:26 ${root} ${point} rw,nosuid shared:9 - ${type} ${type} rw,${options}`;
const V2 = [mount("/sys/fs/cgroup", "cgroup2", "nsdelegate")];
const V1 = [
  mount("/sys/fs/cgroup/systemd", "cgroup", "xattr,name=systemd"),
  mount("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "cpu,cpuacct"),
  mount("/sys/fs/cgroup/memory", "cgroup", "memory"),
];

describe("detectCgroups", () => {
  test("v2", () => {
    const layout = detectCgroups(V2.join("\n"), "0::/system.slice/nomad.service\n");
    expect(layout.kind).toBe("v2");
    expect(layout.hierarchies).toEqual([
      { name: "", version: 2, mountPoint: "/sys/fs/cgroup", mountRoot: "/", own: "/system.slice/nomad.service" },
    ]);
  });

  test("v1: the systemd hierarchy first, joint controllers by all their names", () => {
    const own = "9:memory:/a\n3:cpu,cpuacct:/\n2:pids:/\n1:name=systemd:/x\n";
    const layout = detectCgroups(V1.join("\n"), own);
    expect(layout.kind).toBe("v1");
    expect(layout.hierarchies.map(({ name, own }) => [name, own])).toEqual([
      ["name=systemd", "/x"],
      ["memory", "/a"],
      ["cpu,cpuacct", "/"],
    ]);
  });

  test("hybrid: both, and controllers without a mount left out", () => {
    const unified = mount("/sys/fs/cgroup/unified", "cgroup2", "rw");
    const layout = detectCgroups([...V1, unified].join("\n"), "1:name=systemd:/\n4:memory:/\n0::/\n");
    expect(layout.kind).toBe("hybrid");
    expect(layout.hierarchies.map(({ name }) => name)).toEqual(["name=systemd", "", "memory"]);
  });

  test("a container that sees only its own part", () => {
    const text = mount("/sys/fs/cgroup/memory", "cgroup", "memory", "/docker/abc");
    const [memory] = detectCgroups(text, "4:memory:/docker/abc/sub\n").hierarchies;
    if (memory === undefined) throw new Error("no hierarchy");
    expect(cgroupDirectory(memory, "/docker/abc/sub/rkt")).toBe("/sys/fs/cgroup/memory/sub/rkt");
    expect(cgroupDirectory(memory, "/docker/abcd")).toBeUndefined();
  });

  test("none", () => {
    expect(() => detectCgroups("", "0::/\n")).toThrow("no hierarchy is mounted");
  });
});

describe("checkedCgroupPath", () => {
  test("gives an absolute path", () => {
    expect(checkedCgroupPath("machine.slice/machine-rkt\\x2d1.scope/")).toBe("/machine.slice/machine-rkt\\x2d1.scope");
  });

  test.each(["", "/", "..", "/a/../../b", "a/./b", "a\nb", "x".repeat(5000)])("refuses %j", (text) => {
    expect(() => checkedCgroupPath(text)).toThrow("as a cgroup");
  });
});

describe("a pod's record", () => {
  const uuid = parseUuid("6733c088-a507-4694-aabf-eae9a4d0a1b9");
  const dir = mkdtempSync(join(tmpdir(), "rkt-cgroup-"));
  afterAll(() => rmSync(dir, { recursive: true }));

  test("is read as it was written", () => {
    const cgroup = { subcgroup: `a/rkt-${uuid}`, paths: new Map([["memory", `/limits/rkt-${uuid}`]]) };
    recordPodCgroup(dir, cgroup);
    expect(readPodCgroup(dir, uuid)).toEqual(cgroup);
  });

  test("does not count when the cgroup may be shared", () => {
    writeFileSync(join(dir, "subcgroup"), "system.slice/nomad.service");
    expect(readPodCgroup(dir, uuid)).toBeUndefined();
  });

  test("counts with systemd's escapes", () => {
    writeFileSync(join(dir, "subcgroup"), `machine.slice/machine-rkt\\x2d${uuid.replaceAll("-", "\\x2d")}.scope\n`);
    expect(readPodCgroup(dir, uuid)?.subcgroup).toStartWith("machine.slice/");
  });

  test("may not lead anywhere else", () => {
    writeFileSync(join(dir, "subcgroup"), `rkt-${uuid}/../..`);
    expect(() => readPodCgroup(dir, uuid)).toThrow("expected a path below the root");
  });

  test("processes are found below, and in every hierarchy once", () => {
    const root = join(dir, "fs");
    const layout = detectCgroups(
      [
        mount(`${root}/systemd`, "cgroup", "name=systemd"),
        mount(`${root}/memory`, "cgroup", "memory"),
        mount(`${root}/unified`, "cgroup2", ""),
      ].join("\n"),
      "1:name=systemd:/\n4:memory:/\n0::/\n",
    );
    const cgroup = { subcgroup: `rkt-${uuid}`, paths: new Map() };
    expect(podCgroupPopulated(cgroup, layout)).toBe(false);
    for (const { directory } of directoriesOf(cgroup, layout)) {
      mkdirSync(join(directory, "payload"), { recursive: true });
      writeFileSync(join(directory, "cgroup.procs"), "");
      writeFileSync(join(directory, "payload/cgroup.procs"), `4000001\n${process.pid}\n0\n`);
    }
    writeFileSync(join(root, `memory/rkt-${uuid}/cgroup.procs`), "4000002\n");
    expect(podCgroupProcesses(cgroup, layout)).toEqual([4000001, 4000002]);
    expect(podCgroupPopulated(cgroup, layout)).toBe(true);
  });
});
