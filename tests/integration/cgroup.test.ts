/**
 * Pods' cgroups, and what a pod leaves behind when its supervisor is killed: real processes, cgroups and mounts. Needs root and mounted cgroups (v1, hybrid or v2);
 * every cgroup, process and mount made here is gone at the end.
 */

import { afterEach, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DataDir } from "../../src/core/data-dir.ts";
import type { PreparedPod } from "../../src/core/spine.ts";
import { newUuid } from "../../src/core/uuid.ts";
import {
  type CgroupLayout,
  createPodCgroup,
  detectCgroups,
  directoriesOf,
  joinPodCgroup,
  type PodCgroup,
  recordPodCgroup,
} from "../../src/host/cgroup.ts";
import {
  killPodCgroup,
  podCgroupPopulated,
  podCgroupProcesses,
  removePodCgroup,
} from "../../src/host/cgroup-processes.ts";
import { CLONE, MNT_DETACH, MS } from "../../src/host/constants.ts";
import { linux } from "../../src/host/linux.ts";
import { mountsBelow, readMountInfo } from "../../src/host/mount-info.ts";
import { closePod, createPod, findPod, movePod, podReader, unmountPod } from "../../src/pod/mod.ts";
import { RKT } from "../harness/rkt.ts";
import { temporaryDirectory } from "../harness/temporary.ts";

const root = process.getuid?.() === 0;
const cgroups: PodCgroup[] = [];
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const cgroup of cgroups.splice(0)) {
    await killPodCgroup(linux, cgroup);
    await removePodCgroup(cgroup);
  }
});

function cgroupFor(uuid = newUuid()): ReturnType<typeof createPodCgroup> {
  const cgroup = createPodCgroup(uuid);
  cgroups.push(cgroup);
  return cgroup;
}

/** A shell that waits for a line on its stdin, then runs `script`; so it can be moved to a cgroup before it has children. */
async function shell(script: string, cgroup?: PodCgroup): Promise<ChildProcess> {
  const child = spawn("sh", ["-c", `read line; ${script}`], { stdio: ["pipe", "pipe", "ignore"] });
  children.push(child);
  if (child.pid === undefined) throw new Error("no shell");
  if (cgroup !== undefined) joinPodCgroup(cgroup, child.pid);
  child.stdin?.write("go\n");
  return child;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(10);
  }
}

describe.if(root)("a pod's cgroup", () => {
  test("is below the caller's own in every hierarchy, searchable by others", () => {
    const mask = process.umask(0o077);
    const uuid = newUuid();
    const cgroup = cgroupFor(uuid);
    process.umask(mask);
    const layout = detectCgroups();
    expect(cgroup.subcgroup).toEndWith(`rkt-${uuid}`);
    expect(cgroup.subcgroup).not.toStartWith("/");
    const skipped = new Set(cgroup.skipped);
    for (const { hierarchy, directory } of directoriesOf(cgroup, layout)) {
      if (skipped.has(hierarchy.name)) continue;
      expect(directory).toBe(join(hierarchy.mountPoint, hierarchy.own, `rkt-${uuid}`));
      expect(statSync(directory).mode & 0o777).toBe(0o755);
    }
  });

  test("holds a process and its children in every hierarchy, cpuset included", async () => {
    const uuid = newUuid();
    const cgroup = cgroupFor(uuid);
    const child = await shell("sleep 60 & sleep 60 & wait", cgroup);
    await until("three processes", () => podCgroupProcesses(cgroup).length === 3);
    const lines = readFileSync(`/proc/${child.pid}/cgroup`, "utf8").trim().split("\n");
    const mounted = new Set(detectCgroups().hierarchies.map(({ name }) => name));
    for (const line of lines) {
      const [, name = "", path = ""] = line.split(":");
      if (mounted.has(name)) expect(path).toEndWith(`/rkt-${uuid}`);
    }
    expect(podCgroupPopulated(cgroup)).toBe(true);
  });

  test("is emptied, however fast its processes fork and whatever cgroups they made below", async () => {
    const cgroup = cgroupFor();
    for (const { directory } of directoriesOf(cgroup, detectCgroups()))
      mkdirSync(join(directory, "payload/deep"), { recursive: true });
    await shell("while :; do (sleep 5 & sleep 5 & sleep 5) & sleep 0.01; done", cgroup);
    await until("a crowd", () => podCgroupProcesses(cgroup).length > 10);
    expect(await killPodCgroup(linux, cgroup)).toBe(true);
    expect(podCgroupProcesses(cgroup)).toEqual([]);
    expect(podCgroupPopulated(cgroup)).toBe(false);
    expect(await removePodCgroup(cgroup)).toBe(true);
    for (const { directory } of directoriesOf(cgroup, detectCgroups())) expect(existsSync(directory)).toBe(false);
  });

  test("with processes in it is not removed", async () => {
    const cgroup = cgroupFor();
    await shell("sleep 60", cgroup);
    expect(await removePodCgroup(cgroup, 50)).toBe(false);
  });

  test("removing or emptying what is gone is no error", async () => {
    const cgroup = cgroupFor();
    await removePodCgroup(cgroup);
    expect(await removePodCgroup(cgroup)).toBe(true);
    expect(await killPodCgroup(linux, cgroup)).toBe(true);
  });
});

describe.if(root)("on a unified host", () => {
  test("v2 alone is enough: killed at once, removed bottom up; a parent with processes keeps its controllers", async () => {
    const [unified] = detectCgroups().hierarchies.filter(({ version }) => version === 2);
    if (unified === undefined) return;
    const parent = `${unified.own === "/" ? "" : unified.own}/rkt-test-${newUuid()}`;
    const directory = join(unified.mountPoint, parent);
    mkdirSync(directory);
    try {
      const layout: CgroupLayout = { kind: "v2", hierarchies: [{ ...unified, own: parent }] };
      const resident = await shell("exec sleep 60");
      writeFileSync(join(directory, "cgroup.procs"), String(resident.pid));
      const cgroup = createPodCgroup(newUuid(), layout);
      expect(cgroup.subcgroup).toStartWith(parent.slice(1));
      const child = await shell("sleep 60 & sleep 60 & wait");
      const { controllers } = joinPodCgroup(cgroup, child.pid ?? -1, layout);
      expect(controllers).toEqual([]);
      await until("processes", () => podCgroupPopulated(cgroup, layout));
      expect(await killPodCgroup(linux, cgroup, 5000, layout)).toBe(true);
      expect(podCgroupPopulated(cgroup, layout)).toBe(false);
      expect(await removePodCgroup(cgroup, 2000, layout)).toBe(true);
      expect(resident.exitCode).toBeNull();
      resident.kill("SIGKILL");
      await until("an empty parent", () => readFileSync(join(directory, "cgroup.procs"), "utf8") === "");
    } finally {
      for (const child of children.splice(0)) child.kill("SIGKILL");
      await until("the parent's removal", () => removedDirectory(directory));
    }
  });
});

function removedDirectory(directory: string): boolean {
  try {
    rmdirSync(directory);
  } catch {
    return !existsSync(directory);
  }
  return true;
}

/** A pod whose supervisor was killed: in pods/run, unlocked, its processes alive. */
async function orphan(dir: string): Promise<{ pod: PreparedPod; cgroup: PodCgroup }> {
  const data = new DataDir(dir);
  const pod = movePod(data, linux, createPod(data, linux), "run");
  const cgroup = cgroupFor(pod.uuid);
  recordPodCgroup(pod.dir, cgroup);
  writeFileSync(join(pod.dir, "pod"), JSON.stringify({ acKind: "PodManifest", acVersion: "1.30.0", apps: [] }));
  writeFileSync(join(pod.dir, "ppid"), "2147483000\n");
  await shell("sleep 60 & wait", cgroup);
  await until("two processes", () => podCgroupProcesses(cgroup).length === 2);
  closeSync(pod.lockFd);
  return { pod, cgroup };
}

const rkt = (dir: string, ...args: string[]) => {
  const { exitCode, stdout, stderr } = Bun.spawnSync([RKT, `--dir=${dir}`, ...args]);
  return { status: exitCode, stdout: String(stdout), stderr: String(stderr) };
};

describe.if(root && existsSync(RKT))("a pod that lost its supervisor", () => {
  test("is running, with a note, until stop ends what is left", async () => {
    using temporary = temporaryDirectory("orphan");
    const { pod, cgroup } = await orphan(temporary.path);
    const note = `pod "${pod.uuid}" has lost its supervisor`;
    const list = rkt(temporary.path, "list", "--no-legend", "--full");
    expect(list.stdout).toContain("running");
    expect(list.stderr).toContain(note);
    const status = rkt(temporary.path, "status", pod.uuid);
    expect(status.stdout).toContain("state=running\n");
    expect(status.stdout).toContain("exited=false\n");
    expect(status.stdout).not.toContain("pid=");
    expect(status.stderr).toContain(note);
    expect(JSON.parse(rkt(temporary.path, "status", "--format=json", pod.uuid).stdout)).toMatchObject({
      state: "running",
      supervisor_lost: true,
    });
    expect(rkt(temporary.path, "stop", pod.uuid)).toEqual({ status: 0, stdout: `"${pod.uuid}"\n`, stderr: "" });
    expect(podCgroupProcesses(cgroup)).toEqual([]);
    expect(rkt(temporary.path, "status", "--wait=1s", pod.uuid).stdout).toContain("state=exited\n");
  });

  test.each([
    ["rm", (uuid: string) => ["rm", uuid]],
    ["gc", () => ["gc", "--grace-period=0s"]],
  ])("%s ends what is left, then removes cgroups, mounts and files", async (_name, words) => {
    using temporary = temporaryDirectory("orphan");
    const { pod, cgroup } = await orphan(temporary.path);
    const target = join(pod.dir, "stage1/rootfs");
    mkdirSync(target, { recursive: true });
    linux.mount("tmpfs", target, "tmpfs", 0, null);
    try {
      const result = rkt(temporary.path, ...words(pod.uuid));
      expect(result.status).toBe(0);
      expect(podCgroupProcesses(cgroup)).toEqual([]);
      for (const { directory } of directoriesOf(cgroup, detectCgroups())) expect(existsSync(directory)).toBe(false);
      expect(mountsBelow(temporary.path)).toEqual([]);
      expect(rkt(temporary.path, "list", "--format=json").stdout).toBe("null\n");
    } finally {
      for (const entry of mountsBelow(temporary.path)) linux.umount(entry.mountPoint, MNT_DETACH);
    }
  });

  test("of flavor fly: processes whose root is in the pod count, and nobody else in its process group", async () => {
    using temporary = temporaryDirectory("orphan");
    const data = new DataDir(temporary.path);
    const pod = movePod(data, linux, createPod(data, linux), "run");
    const rootfs = join(pod.dir, "stage1/rootfs/opt/stage2/a/rootfs");
    mkdirSync(join(rootfs, "bin"), { recursive: true });
    await Bun.write(join(rootfs, "bin/busybox"), Bun.file("/bin/busybox"));
    Bun.spawnSync(["chmod", "0755", join(rootfs, "bin/busybox")]);
    writeFileSync(join(pod.dir, "pgid"), "1\n");
    closeSync(pod.lockFd);
    const bystander = await shell("exec sleep 60");
    const app = spawn("chroot", [rootfs, "/bin/busybox", "setsid", "/bin/busybox", "sleep", "60"], { stdio: "ignore" });
    children.push(app);
    const look = () => {
      const found = findPod(podReader(data, linux), pod.uuid);
      closePod(linux, found);
      return found.state;
    };
    await until("the app", () => look() === "running");
    expect(rkt(temporary.path, "stop", pod.uuid).status).toBe(0);
    expect(look()).toBe("exited");
    expect(bystander.exitCode).toBeNull();
  });
});

describe.if(root)("unmountPod", () => {
  test("takes the pod's copy of /dev away and leaves the host's", () => {
    using temporary = temporaryDirectory("unmount");
    // A child in a mount namespace of its own plays the host, with everything shared, as systemd sets it up.
    const script = `
      import { linux } from "${import.meta.dir}/../../src/host/linux.ts";
      import { readMountInfo } from "${import.meta.dir}/../../src/host/mount-info.ts";
      import { unmountPod } from "${import.meta.dir}/../../src/pod/unmount.ts";
      import { mkdirSync } from "node:fs";
      linux.unshare(${CLONE.NEWNS});
      linux.mount(null, "/", null, ${MS.REC | MS.SHARED}, null);
      const pod = "${temporary.path}/pods/run/6733c088-a507-4694-aabf-eae9a4d0a1b9";
      mkdirSync(pod + "/rootfs/dev", { recursive: true });
      linux.mount("tmpfs", pod + "/rootfs", "tmpfs", 0, null);
      mkdirSync(pod + "/rootfs/dev");
      linux.mount("/dev", pod + "/rootfs/dev", null, ${MS.BIND | MS.REC}, null);
      linux.mount("tmpfs", pod + "/rootfs", "tmpfs", 0, null);
      const count = () => readMountInfo().filter(({ mountPoint }) => mountPoint.startsWith("/dev/")).length;
      const before = count();
      const left = unmountPod(linux, pod);
      console.log(JSON.stringify({ before, after: count(), left }));
    `;
    const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", script]);
    expect(String(stderr)).toBe("");
    const { before, after, left } = JSON.parse(String(stdout));
    expect(left).toEqual([]);
    expect(before).toBeGreaterThan(0);
    expect(after).toBe(before);
    expect(readMountInfo().some(({ mountPoint }) => mountPoint.startsWith(temporary.path))).toBe(false);
  });

  test("detaches what is busy", () => {
    using temporary = temporaryDirectory("unmount");
    const pod = join(temporary.path, "run", newUuid());
    mkdirSync(pod, { recursive: true });
    linux.mount("tmpfs", pod, "tmpfs", 0, null);
    const child = spawn("sleep", ["60"], { cwd: pod, stdio: "ignore" });
    children.push(child);
    expect(unmountPod(linux, pod)).toEqual([]);
    expect(mountsBelow(pod)).toEqual([]);
  });
});
