/** The distribution's plugins beyond ptp, bridge and portmap, each by its effect, by CHECK, and by what it leaves; and a plugin of CNI 1.1.0 that notes its calls. On a host of the tests' own. */

import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { linux } from "../../src/host/linux.ts";
import {
  checkPodNetwork,
  checkStatus,
  collectGarbage,
  configuredNetworks,
  findLeftovers,
  pluginDirs,
} from "../../src/network/mod.ts";
import {
  conf,
  down,
  get,
  outside,
  type Pod,
  pod,
  root,
  serve,
  sh,
  testDir,
  upWithNamespace,
  useNetworkHost,
} from "../harness/network-host.ts";

setDefaultTimeout(300_000);
useNetworkHost();

const ipam = (third: number) => ({
  type: "host-local",
  ranges: [[{ subnet: `10.213.${third}.0/24` }]],
  routes: [{ dst: "0.0.0.0/0" }],
});

async function checked(target: Pod): Promise<unknown> {
  const { networks, problems } = await checkPodNetwork(target.context, undefined);
  expect(problems).toEqual([]);
  return networks.map(({ network, check }) => `${network} ${check}`);
}

describe.skipIf(!root)("plugins", () => {
  test("macvlan with static addresses: the pod is a machine of the outer network", async () => {
    const address = { address: "10.213.254.77/24", gateway: "10.213.254.1" };
    const plugin = { type: "macvlan", master: "rktnet0", ipam: { type: "static", addresses: [address] } };
    conf("10-outer.conf", { cniVersion: "1.0.0", name: "outer", ...plugin });
    const target = pod();
    const result = await upWithNamespace(target, "outer");
    expect(result.interfaces[0]?.ip4?.ip).toBe("10.213.254.77");
    await serve(target, result);
    expect(get("10.213.254.77:80", outside())).toBe(target.uuid);
    expect(await checked(target)).toEqual(["outer ok"]);
    await down(target);
  });

  test("bandwidth, tuning and firewall behind ptp: limits, settings, rules; and CHECK of each", async () => {
    conf("10-chain.conflist", {
      cniVersion: "1.0.0",
      name: "chain",
      plugins: [
        { type: "ptp", ipam: ipam(60) },
        { type: "bandwidth", capabilities: { bandwidth: true } },
        { type: "tuning", sysctl: { "net.core.somaxconn": "300" }, mtu: 1400 },
        { type: "firewall", backend: "iptables" },
      ],
    });
    const target = pod();
    Object.assign(target.context, { bandwidth: 125_000 });
    const result = await upWithNamespace(target, "chain");
    const inside = `nsenter --net=${result.netnsPath}`;
    expect(sh(`${inside} sysctl -n net.core.somaxconn`)).toBe("300\n");
    expect(sh(`${inside} cat /proc/net/route; ${inside} ip link show eth0`)).toContain("mtu 1400");
    expect(sh("tc qdisc show")).toContain("rate 1Mbit");
    const address = result.interfaces[0]?.ip4?.ip ?? "none";
    expect(sh("iptables-save -t filter")).toContain(`-A CNI-FORWARD -s ${address}/32 -j ACCEPT`);
    expect(await checked(target)).toEqual(["chain ok"]);
    // CHECK finds what somebody changed.
    sh(`${inside} sysctl -qw net.core.somaxconn=200`);
    const { problems } = await checkPodNetwork(target.context, undefined);
    expect(problems).toMatchObject([{ kind: "check", network: "chain" }]);
    expect(problems[0]?.message).toContain('plugin "tuning" failed');
    await down(target);
    expect(sh("iptables-save -t filter; tc qdisc show")).not.toMatch(new RegExp(`${address}|tbf`));
    sh("iptables -t filter -F; iptables -t filter -X");
  });

  test("sbr: each network's traffic goes back over its own interface", async () => {
    conf("10-first.conf", { cniVersion: "1.0.0", name: "first", type: "ptp", ipam: ipam(61) });
    conf("20-second.conflist", {
      cniVersion: "1.0.0",
      name: "second",
      plugins: [{ type: "bridge", bridge: "rktbr62", isGateway: true, ipam: ipam(62) }, { type: "sbr" }],
    });
    // Two default routes would be one too many without sbr.
    const target = pod();
    const result = await upWithNamespace(target, "first,second");
    const second = result.interfaces[1]?.ip4?.ip ?? "none";
    const inside = `nsenter --net=${result.netnsPath}`;
    expect(sh(`${inside} ip rule`)).toContain(`from ${second}`);
    expect(sh(`${inside} ip route get 192.0.2.1 from ${second}`)).toContain("dev eth1");
    await down(target);
    sh("ip link del rktbr62");
  });
});

describe.skipIf(!root)("a plugin of CNI 1.1.0", () => {
  const log = () => join(testDir(), "calls");
  const calls = () => readFileSync(log(), "utf8").trim().split(/ *\n/);

  beforeEach(() => {
    if (!root) return;
    const script = [
      "#!/bin/sh",
      "conf=$(cat)",
      'case $CNI_COMMAND in VERSION) echo \'{"cniVersion":"1.1.0","supportedVersions":["0.4.0","1.0.0","1.1.0"]}\'; exit;; esac',
      `echo "$CNI_COMMAND \${CNI_CONTAINERID:--} $(echo "$conf" | sed -n 's/.*"cni.dev.valid-attachments":\\(\\[[^]]*\\]\\).*/\\1/p')" >> ${log()}`,
      'if [ $CNI_COMMAND = STATUS ] && [ -e $(dirname $0)/full ]; then echo \'{"code":50,"msg":"no addresses left"}\'; exit 1; fi',
      "if [ $CNI_COMMAND = ADD ]; then nsenter --net=$CNI_NETNS ip link add $CNI_IFNAME type veth peer name peer0",
      'echo \'{"cniVersion":"1.1.0","ips":[]}\'; fi',
      "",
    ].join("\n");
    writeFileSync(join(testDir(), "etc/net.d/noted"), script, { mode: 0o755 });
    conf("10-noted.conflist", {
      cniVersion: "0.4.0",
      cniVersions: ["0.4.0", "1.0.0", "1.1.0"],
      name: "noted",
      plugins: [{ type: "noted" }],
    });
    writeFileSync(log(), "");
  });

  test("is asked by CHECK and STATUS, and told by GC which pods live", async () => {
    const [target, gone] = [pod(), pod()];
    await upWithNamespace(target, "noted");
    await upWithNamespace(gone, "noted");
    expect(await checked(target)).toEqual(["noted ok"]);
    const localConfigDir = join(testDir(), "etc");
    const networks = configuredNetworks(localConfigDir, () => {});
    const where = { dirs: pluginDirs(localConfigDir, []), emit: () => {} };
    expect(await checkStatus(networks, where)).toEqual([]);
    // One pod vanishes without a DEL: its directory is forgotten, its namespace has no process.
    const known = [{ uuid: target.uuid, podDir: target.podDir }];
    const leftovers = await findLeftovers(linux, known, networks);
    expect(leftovers).toMatchObject([{ kind: "namespace", pod: gone.uuid }]);
    for (const { mend } of leftovers) await mend?.();
    const { collected, problems } = await collectGarbage(known, networks, where);
    expect([collected, problems]).toEqual([["noted"], []]);
    expect(calls()).toEqual([
      `ADD ${target.uuid}`,
      `ADD ${gone.uuid}`,
      `CHECK ${target.uuid}`,
      "STATUS -",
      `GC - [{"containerID":"${target.uuid}","ifname":"eth0"}]`,
    ]);
    writeFileSync(join(testDir(), "etc/net.d/full"), "");
    expect(await checkStatus(networks, where)).toMatchObject([{ kind: "status", network: "noted" }]);
    rmSync(join(testDir(), "etc/net.d/full"));
    await down(target);
    await down(gone);
  });
});
