/**
 * A host of a test's own for networks: network and mount namespaces which play the machine, so that interfaces, firewall, leases and /run/netns of the real one are out of
 * reach, also for a test that is killed. Call {@link useNetworkHost} at the top of a test file. Within it every test must leave no interface, no rule, no lease and no namespace behind.
 * A peer outside of it, `outside`, reaches the host over a link (10.213.254.1, fd00:213:254::1). Needs root, iptables, containernetworking-plugins, busybox, iproute2.
 */

import { afterAll, afterEach, beforeAll, beforeEach, expect } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newUuid } from "../../src/core/uuid.ts";
import { CLONE, MNT_DETACH, MS } from "../../src/host/constants.ts";
import { linux } from "../../src/host/linux.ts";
import { type ForwardedPort, type NetworkResult, setUpNetwork, tearDownNetwork } from "../../src/network/mod.ts";

/** Directories of the host in which networks leave something; the tests have their own. */
const OWNED = ["/var/lib/cni", "/run/rkt", "/run/netns"];
export const root = process.getuid?.() === 0;
const path = process.env.PATH;
/** What was emitted in this test. */
export const lines: string[] = [];
const servers: Bun.Subprocess[] = [];
let dir = "";
let before = "";
let peer: Bun.Subprocess | undefined;

export interface Pod {
  uuid: string;
  podDir: string;
  context: Parameters<typeof tearDownNetwork>[0];
  /** What the pod's supervisor would hold. */
  sockets: number[];
}
let pods: Pod[] = [];

/** The network namespace of a machine on the host's link, with the addresses 10.213.254.2 and fd00:213:254::2. */
export const outside = (): string => `/proc/${peer?.pid}/ns/net`;
/** The directory of the test that runs. */
export const testDir = (): string => dir;
/** What {@link traces} was before the test. */
export const tracesBefore = (): string => before;

export function sh(command: string): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(["sh", "-c", command], { env: process.env });
  if (exitCode !== 0) throw new Error(`${command}: status ${exitCode}: ${stderr}`);
  return stdout.toString();
}

/** Everything that a pod's network can leave behind, as text. */
export function traces(): string {
  const rules = (program: string) =>
    sh(`${program}`)
      .split("\n")
      .filter((line) => /^(-A|:(CNI|RKT))/.test(line) && !line.includes("CNI-HOSTPORT") && !line.includes("CNI-DN"));
  const leases = sh("find /var/lib/cni -type f ! -name lock ! -name 'last_reserved*' | sort");
  const links = sh("ip -o link | awk '{print $2}'");
  return [
    links,
    ...["iptables-nft-save", "iptables-legacy-save", "ip6tables-nft-save", "ip6tables-legacy-save"].flatMap(rules),
    sh("nft list tables | grep rkt || true"),
    sh("ip -6 route show table local ::1; cat /proc/sys/net/ipv4/conf/*/route_localnet"),
    leases,
    sh("ls /run/netns"),
    sh("find /run/rkt -type f ! -name network.lock"),
  ].join("\n");
}

export function pod(): Pod {
  const uuid = newUuid();
  const podDir = join(dir, uuid);
  mkdirSync(podDir);
  const emit = (event: object) => void lines.push("text" in event ? String(event.text) : "");
  const made = {
    uuid,
    podDir,
    context: { uuid, podDir, localConfigDir: join(dir, "etc"), stage1NetDirs: [], emit, host: linux },
    sockets: [],
  };
  pods.push(made);
  return made;
}

export async function up(target: Pod, net: string, ports: ForwardedPort[] = []): Promise<NetworkResult | undefined> {
  const result = await setUpNetwork({ ...target.context, net, ports });
  target.sockets.push(...(result?.portSockets ?? []), ...(result?.held ?? []));
  return result;
}

export async function upWithNamespace(target: Pod, net: string, ports: ForwardedPort[] = []): Promise<NetworkResult> {
  const result = await up(target, net, ports);
  if (result === undefined) throw new Error("no namespace");
  return result;
}

export async function down(target: Pod): Promise<void> {
  for (const fd of target.sockets.splice(0)) linux.close(fd);
  expect(await tearDownNetwork(target.context)).toEqual([]);
}

export function conf(file: string, text: object): void {
  writeFileSync(join(dir, "etc/net.d", file), JSON.stringify(text));
}

export const ptp = (name: string, third: number, more: object = {}) => ({
  name,
  cniVersion: "0.3.1",
  type: "ptp",
  ipam: { type: "host-local", subnet: `10.213.${third}.0/24`, routes: [{ dst: "0.0.0.0/0" }] },
  ...more,
});

/** A web server in the pod that answers with its pod's UUID. */
export async function serve(target: Pod, { netnsPath }: NetworkResult): Promise<void> {
  const www = join(target.podDir, "www");
  mkdirSync(www);
  writeFileSync(join(www, "index.html"), target.uuid);
  const httpd = ["busybox", "httpd", "-f", "-p", "[::]:80", "-h", www];
  servers.push(Bun.spawn(["nsenter", `--net=${netnsPath}`, ...httpd], { stdout: "ignore", stderr: "ignore" }));
  for (let tries = 0; tries < 100; tries += 1) {
    if (sh(`nsenter --net=${netnsPath} ss -Hltn 'sport = :80'`) !== "") return;
    await Bun.sleep(10);
  }
  throw new Error("the web server did not start");
}

export const get = (url: string, netns?: string, seconds = 5) =>
  sh(`${netns === undefined ? "" : `nsenter --net=${netns}`} curl -gsSf -m ${seconds} --noproxy '*' http://${url}/`);

export const web = (hostPort: number, hostIp?: string): ForwardedPort => ({
  name: "http",
  protocol: "tcp",
  podPort: 80,
  hostPort,
  hostIp,
});

/** Puts a program of that name before all others. */
export function override(program: string, script: string): void {
  writeFileSync(join(dir, "bin", program), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

/** Uses that program of the firewall, whatever the machine's default is: "nft", "legacy" (both iptables), "nftables" (no iptables is found). */
export function useFirewall(kind: "nft" | "legacy" | "nftables"): void {
  if (kind === "nftables") {
    // A PATH with all that plugins and tests need, and nothing called iptables.
    for (const from of ["/usr/sbin", "/usr/bin"]) {
      for (const name of readdirSync(from)) {
        const link = join(dir, "bin", name);
        if (!name.includes("tables") && !existsSync(link)) symlinkSync(join(from, name), link);
      }
    }
    process.env.PATH = join(dir, "bin");
    return;
  }
  for (const tool of [
    "iptables",
    "iptables-restore",
    "iptables-save",
    "ip6tables",
    "ip6tables-restore",
    "ip6tables-save",
  ]) {
    symlinkSync(`/usr/sbin/${tool.replace("tables", `tables-${kind}`)}`, join(dir, "bin", tool));
  }
}

/** `cleanUp` runs after each test, before what was left is looked for. */
export function useNetworkHost(cleanUp: () => void = () => {}): void {
  beforeAll(async () => {
    if (!root) return;
    linux.unshare(CLONE.NEWNS | CLONE.NEWNET);
    linux.mount(null, "/", null, MS.REC | MS.PRIVATE, null);
    linux.interfaceUp("lo");
    for (const owned of OWNED) {
      mkdirSync(owned, { recursive: true });
      linux.mount("tmpfs", owned, "tmpfs", 0, null);
    }
    peer = Bun.spawn(["unshare", "--net", "sleep", "1000000"], { stdout: "ignore", stderr: "ignore" });
    const own = sh("readlink /proc/self/ns/net");
    for (let tries = 0; tries < 500 && sh(`readlink /proc/${peer.pid}/ns/net`) === own; tries += 1) await Bun.sleep(10);
    const there = `nsenter --net=${outside()}`;
    sh(`ip link add rktnet0 type veth peer name rktnet1 netns ${peer.pid}`);
    sh(
      "ip addr add 10.213.254.1/24 dev rktnet0; ip addr add fd00:213:254::1/64 dev rktnet0 nodad; ip link set rktnet0 up",
    );
    sh(`${there} ip addr add 10.213.254.2/24 dev rktnet1; ${there} ip addr add fd00:213:254::2/64 dev rktnet1 nodad`);
    sh(`${there} ip link set lo up; ${there} ip link set rktnet1 up`);
  });

  beforeEach(() => {
    if (!root) return;
    dir = mkdtempSync(join(tmpdir(), "rkt-network-"));
    mkdirSync(join(dir, "etc/net.d"), { recursive: true });
    mkdirSync(join(dir, "bin"));
    process.env.PATH = `${join(dir, "bin")}:${path}`;
    pods = [];
    lines.length = 0;
    before = traces();
  });

  afterEach(async () => {
    if (!root) return;
    for (const server of servers.splice(0)) {
      server.kill("SIGKILL");
      await server.exited;
    }
    for (const left of pods) await down(left);
    cleanUp();
    process.env.PATH = path;
    rmSync(dir, { recursive: true });
    expect(traces()).toBe(before);
  });

  afterAll(async () => {
    if (!root) return;
    peer?.kill("SIGKILL");
    await peer?.exited;
    for (const owned of OWNED) linux.umount(owned, MNT_DETACH);
  });
}
