/**
 * Networks of whole pods: nginx reached in every way; what `rkt net check` finds and `rkt net repair` mends; a reboot, rehearsed. On a host of the tests' own with a machine
 * beside it. Needs root, umoci, and the packages that tools/test-packages.sh downloads.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MNT_DETACH } from "../../src/host/constants.ts";
import { linux } from "../../src/host/linux.ts";
import { DEBIAN_TAG, debianImage } from "../harness/debian-images.ts";
import { buildAci } from "../harness/images.ts";
import { get, outside, root, sh, traces, tracesBefore, useNetworkHost } from "../harness/network-host.ts";
import { mountsBelow, type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let nginx = "";
let busybox = "";
const insecure = "--insecure-options=image";

// A failed test must not fail the next ones.
useNetworkHost(() => {
  for (const uuid of rkt.pods()) rkt.run(["stop", "--force", uuid]);
  for (let round = 0; round < 3 && rkt.pods().length > 0; round += 1) rkt.run(["gc", "--grace-period=0s"]);
});

beforeAll(() => {
  if (!root) return;
  rkt = testRkt();
  const layout = join(rkt.dir, "nginx");
  runProgram(["cp", "-a", debianImage("nginx"), layout]);
  runProgram(["chmod", "-R", "a+rX", layout]);
  nginx = rkt.ok([insecure, "fetch", "--full", `oci:${layout}:${DEBIAN_TAG}`]).trim();
  const aci = join(rkt.dir, "busybox.aci");
  const port = { name: "web", protocol: "tcp", port: 80, count: 1, socketActivated: false };
  buildAci(aci, { app: { exec: ["/bin/sh"], user: "0", group: "0", ports: [port] } });
  busybox = rkt.ok([insecure, "fetch", "--full", aci]).trim();
  mkdirSync(join(rkt.configDir, "net.d"));
  const ranges = [[{ subnet: "10.213.50.0/24" }], [{ subnet: "fd00:213:50::/64" }]];
  const ipam = { type: "host-local", ranges, routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] };
  const dual = { cniVersion: "0.4.0", name: "dual", type: "ptp", ipMasq: true, ipam };
  writeFileSync(join(rkt.configDir, "net.d/10-dual.conf"), JSON.stringify(dual));
});
afterAll(() => rkt?.[Symbol.dispose]());

interface Pod extends RunningRkt {
  readonly uuid: string;
}

let count = 0;

/** A pod that has said `word`. */
async function start(word: string, ...args: string[]): Promise<Pod> {
  count += 1;
  const file = join(rkt.dir, `uuid-${count}`);
  const running = rkt.start([insecure, "run", `--uuid-file-save=${file}`, ...args]);
  let over = false;
  void running.ended.then(() => {
    over = true;
  });
  await until(`"${word}" of a pod`, () => over || running.stdout().includes(word), 120);
  if (over) throw new Error(`the pod has ended: ${running.stdout()} ${running.stderr()}`);
  return { ...running, uuid: readFileSync(file, "utf8").trim() };
}

const shell = (script: string) => [busybox, "--exec=/bin/sh", "--", "-c", script];
const sleeper = (...args: string[]) => start("up", ...args, ...shell("echo up; exec sleep 1000000"));

async function remove(...pods: Pod[]): Promise<void> {
  for (const pod of pods) rkt.run(["stop", "--force", pod.uuid]);
  for (const pod of pods) await pod.ended;
  rkt.ok(["rm", ...pods.map((pod) => pod.uuid)]);
}

interface Look {
  pods: { pod: string; network: string; interface: string; check: string }[];
  problems: { severity: string; kind: string; pod: string | null; message: string; mended: boolean }[];
  damage_left: number;
}
function look(command: "check" | "repair", status: number): Look {
  const result = rkt.run(["net", command, "--format=json"]);
  expect([result.status, result.stderr]).toEqual([status, ""]);
  const value: Look = JSON.parse(result.stdout);
  return value;
}
const kinds = (found: Look) => found.problems.map(({ kind, pod }) => `${kind} ${pod?.slice(0, 8)}`);

describe.skipIf(!root)("nginx in a pod", () => {
  test("is reached by host port, pod address, loopback, from outside and from a second pod, over IPv4 and IPv6", async () => {
    const pod = await start("entrypoint", "--net=dual", "--port=80-tcp:18480", nginx);
    const [network] = JSON.parse(rkt.ok(["status", "--format=json", pod.uuid])).networks;
    expect(rkt.ok(["list", "--no-legend"])).toContain(`dual:ip4=${network.ip},ip6=${network.ip6}`);
    await until("nginx", () => sh(`curl -gsS -m 5 http://${network.ip}/ || true`).includes("nginx"), 60);
    const hosts = ["10.213.254.1:18480", "[fd00:213:254::1]:18480"];
    for (const url of [...hosts, "127.0.0.1:18480", "[::1]:18480", `${network.ip}:80`, `[${network.ip6}]:80`]) {
      expect(get(url)).toContain("Welcome to nginx!");
    }
    for (const url of hosts) expect(get(url, outside())).toContain("Welcome to nginx!");
    const second = await sleeper("--net=dual");
    for (const url of hosts) expect(get(url, `/run/netns/cni-${second.uuid}`)).toContain("Welcome to nginx!");
    await remove(second);
    const taken = rkt.run([insecure, "run", "--net=dual", "--port=80-tcp:18480", nginx]);
    expect([taken.status, taken.stdout]).toEqual([254, ""]);
    expect(taken.stderr).toContain("port tcp-0.0.0.0:18480 of the host is already in use");
    rkt.ok(["stop", "--force", pod.uuid]);
    // The ports and the address are free, before any gc.
    expect(sh("iptables-save; ip6tables-save")).not.toContain("RKT-PFWD");
    expect(existsSync(`/var/lib/cni/networks/dual/${network.ip}`)).toBe(false);
    await remove(pod);
    rkt.ok(["gc", "--grace-period=0s"]);
    expect(traces()).toBe(tracesBefore());
  });
});

describe.skipIf(!root)("rkt net", () => {
  test("check finds nothing on a host in order, and says which networks it asked", async () => {
    expect(look("check", 0)).toEqual({ pods: [], problems: [], collected: [], damage_left: 0 } as Look);
    const pod = await sleeper("--net=dual,default", "--port=web:18481");
    const dual = { pod: pod.uuid, network: "dual", interface: "eth0", check: "ok" };
    const byDefault = { pod: pod.uuid, network: "default", interface: "eth1", check: "seen" };
    expect(look("check", 0)).toMatchObject({ pods: [dual, byDefault], problems: [] });
    expect(rkt.ok(["net", "check"])).toBe(
      `${pod.uuid.slice(0, 8)} dual eth0 ok\n${pod.uuid.slice(0, 8)} default eth1 seen\nthe networks are in order\n`,
    );
    await remove(pod);
  });

  test("repair makes rules and the namespace's file again, and tells of what it cannot mend", async () => {
    const pod = await sleeper("--net=dual", "--port=web:18482");
    const short = pod.uuid.slice(0, 8);
    const netns = `/run/netns/cni-${pod.uuid}`;
    sh(`iptables -t nat -F RKT-PFWD-DNAT-${short}; ip6tables -t nat -D OUTPUT 1`);
    linux.umount(netns, MNT_DETACH);
    expect(kinds(look("check", 1))).toEqual([`namespace ${short}`, `rules ${short}`]);
    expect(look("repair", 0).problems.map(({ mended }) => mended)).toEqual([true, true]);
    expect(look("check", 0).problems).toEqual([]);
    sh(`nsenter --net=${netns} ip addr flush dev eth0`);
    const broken = look("repair", 1);
    expect(broken.problems[0]).toMatchObject({ kind: "interface", mended: false });
    expect(broken.problems[0]?.message).toContain("eth0 has lost its address 10.213.50.");
    await remove(pod);
  });

  test("repair removes what pods left whose directories are gone, and nothing of running pods", async () => {
    const [pod, other] = [
      await sleeper("--net=dual", "--port=web:18483"),
      await sleeper("--net=dual", "--port=web:18484"),
    ];
    // Somebody deletes the directory of a pod by hand.
    pod.kill("SIGKILL");
    await pod.ended;
    rkt.run(["stop", "--force", "--uuid-file", "/dev/null"]);
    await endProcesses(pod.uuid);
    unmountBelow(join(rkt.dataDir, "pods/run", pod.uuid));
    rmSync(join(rkt.dataDir, "pods/run", pod.uuid), { recursive: true });
    const found = kinds(look("check", 1));
    const short = pod.uuid.slice(0, 8);
    expect(new Set(found)).toEqual(new Set(["namespace", "rules", "link", "lease"].map((kind) => `${kind} ${short}`)));
    const repaired = look("repair", 0);
    expect(repaired.problems.every(({ mended }) => mended)).toBe(true);
    expect(look("check", 0)).toMatchObject({ pods: [{ pod: other.uuid, check: "ok" }], problems: [] });
    await remove(other);
    removeCgroups(pod.uuid);
  });

  test("repair gives back the network of a pod that has ended by itself", async () => {
    const uuidFile = join(rkt.dir, "ended");
    expect(
      rkt.run([insecure, "run", "--net=dual", "--port=web:18485", `--uuid-file-save=${uuidFile}`, ...shell("exit 0")])
        .status,
    ).toBe(0);
    expect(look("check", 0).problems).toMatchObject([{ severity: "leftover", kind: "ended" }]);
    expect(sh("iptables-save")).toContain("RKT-PFWD");
    expect(look("repair", 0).problems).toMatchObject([{ mended: true }]);
    expect(traces()).toBe(tracesBefore());
    rkt.ok(["rm", `--uuid-file=${uuidFile}`]);
  });

  test("a namespace of its own is all that a pod of --net=none leaves: no damage, and given back as well", () => {
    expect(rkt.run([insecure, "run", "--net=none", ...shell("exit 0")]).status).toBe(0);
    expect(look("check", 0).problems).toMatchObject([{ severity: "leftover", kind: "ended" }]);
    expect(look("repair", 0).problems).toMatchObject([{ mended: true }]);
    expect(look("check", 0).problems).toEqual([]);
    expect(traces()).toBe(tracesBefore());
    rkt.ok(["gc", "--grace-period=0s"]);
  });
});

describe.skipIf(!root)("after a reboot", () => {
  test("pods that ran and pods that had ended are exited; export works; gc leaves nothing", async () => {
    const exited = join(rkt.dir, "exited");
    const run = [insecure, "run", "--net=dual,default", "--port=web:18486", `--uuid-file-save=${exited}`];
    expect(rkt.run([...run, ...shell("echo kept > /file; exit 3")]).status).toBe(3);
    const running = await sleeper("--net=default", "--port=web:18487");
    reboot(running);
    await running.ended;
    await endProcesses(running.uuid);
    unmountBelow(rkt.dataDir);
    for (const uuid of [running.uuid, readFileSync(exited, "utf8").trim()]) removeCgroups(uuid);
    const list: { name: string; state: string }[] = JSON.parse(rkt.ok(["list", "--format=json"]));
    expect(list.map(({ state }) => state)).toEqual(["exited", "exited"]);
    const ended = rkt.ok(["status", readFileSync(exited, "utf8").trim()]);
    expect(ended).toContain("state=exited");
    expect(ended).toContain("app-busybox=3");
    expect(rkt.ok(["status", running.uuid])).toContain("state=exited");
    const archive = join(rkt.dir, "exported.aci");
    rkt.ok(["export", readFileSync(exited, "utf8").trim(), archive]);
    expect(sh(`tar --to-stdout -xzf ${archive} rootfs/file`)).toBe("kept\n");
    // Addresses are not given to others before the pods are gone.
    expect(readdirSync("/var/lib/cni/networks/default").filter((file) => file.startsWith("172."))).toHaveLength(2);
    expect(look("check", 0).problems.map(({ kind }) => kind)).toEqual(["ended", "ended"]);
    rkt.ok(["gc", "--grace-period=0s"]);
    expect(rkt.pods()).toEqual([]);
    expect(traces()).toBe(tracesBefore());
    expect(mountsBelow(rkt.dataDir)).toEqual([]);
    expect(look("check", 0).problems).toEqual([]);
  });
});

/** The machine loses its power, as far as a test can: processes, then everything that lives in the kernel or below /run. */
function reboot(pod: Pod): void {
  pod.kill("SIGKILL");
  for (const name of readdirSync("/run/netns")) {
    linux.umount(`/run/netns/${name}`, MNT_DETACH);
    rmSync(`/run/netns/${name}`);
  }
  for (const name of readdirSync("/run/rkt")) rmSync(`/run/rkt/${name}`, { recursive: true });
  for (const program of ["iptables", "ip6tables"]) {
    for (const table of ["nat", "raw"]) sh(`${program} -t ${table} -F; ${program} -t ${table} -X`);
  }
}

/** Ends what a killed supervisor leaves: every process with the pod's network namespace's cgroup. */
async function endProcesses(uuid: string): Promise<void> {
  const left = () => readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && (cgroupOf(pid).includes(uuid) ?? false));
  await until(
    "the end of the pod's processes",
    () => {
      for (const pid of left()) {
        try {
          process.kill(Number(pid), "SIGKILL");
        } catch {
          // It has ended by itself.
        }
      }
      return left().length === 0;
    },
    60,
  );
}

function cgroupOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch {
    return "";
  }
}

function unmountBelow(directory: string): void {
  for (const mount of mountsBelow(directory).reverse()) linux.umount(mount, MNT_DETACH);
}

function removeCgroups(uuid: string): void {
  sh(`find /sys/fs/cgroup -depth -type d -path '*${uuid}*' -exec rmdir {} + 2>/dev/null || true`);
}
