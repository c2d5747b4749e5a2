/** CNI networks with the distribution's own plugins, on a host of the tests' own (tests/harness/network-host.ts). */

import { beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MNT_DETACH } from "../../src/host/constants.ts";
import { linux } from "../../src/host/linux.ts";
import {
  conf,
  down,
  get,
  lines,
  override,
  pod,
  ptp,
  root,
  serve,
  sh,
  testDir,
  traces,
  tracesBefore,
  up,
  upWithNamespace,
  useFirewall,
  useNetworkHost,
  web,
} from "../harness/network-host.ts";

useNetworkHost();

describe.skipIf(!root)("setUpNetwork", () => {
  test("gives a pod the default network: an address, a route, the host as gateway, forwarding", async () => {
    const target = pod();
    const result = await upWithNamespace(target, "default");
    const address = result.interfaces[0]?.ip4;
    expect(address?.ip).toMatch(/^172\.16\.28\.\d+$/);
    expect(result.forwardable).toEqual({
      network: "default",
      ifName: "eth0",
      ip: address?.ip ?? "",
      gateway: "172.16.28.1",
    });
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim()).toBe("1");
    const inside = sh(`nsenter --net=${result.netnsPath} ip -o addr; nsenter --net=${result.netnsPath} ip route`);
    expect(inside).toContain("127.0.0.1/8 scope host lo");
    expect(inside).toContain(`${address?.ip}/24`);
    expect(inside).toContain("default via 172.16.28.1 dev eth0");
    await serve(target, result);
    expect(get(`${address?.ip}:80`)).toBe(target.uuid);
    expect(readFileSync(join(target.podDir, "netns"), "utf8")).toBe(result.netnsPath);
    expect(JSON.parse(readFileSync(join(target.podDir, "net-info.json"), "utf8"))).toEqual([
      {
        netName: "default",
        netConf: "net/99-default.conf",
        pluginPath: "/usr/lib/cni/ptp",
        ifName: "eth0",
        ip: address?.ip,
        args: "",
        mask: "255.255.255.0",
      },
    ]);
    expect(lines).toContain("loading network default with type ptp");
    await down(target);
    expect(lines.at(-1)).toBe("teardown - executing net-plugin ptp");
    expect(traces()).toBe(tracesBefore());
    expect(existsSync(join(target.podDir, "net"))).toBe(false);
    await down(target);
  });

  test("makes nothing for host, and only a loopback interface for none", async () => {
    expect(await up(pod(), "host")).toBeUndefined();
    const target = pod();
    const result = await upWithNamespace(target, "none");
    expect(sh(`nsenter --net=${result.netnsPath} ip -br link`)).toMatch(/^lo .*\n$/);
    expect(result.interfaces).toEqual([]);
    expect(lines).toContain("networking namespace with loopback only");
    await expect(up(target, "none")).rejects.toThrow("it exists already");
    await down(target);
  });

  test("joins several networks in the order of their files; the first DNS wins, IP= selects an address", async () => {
    conf("20-b.conf", ptp("b", 2, { dns: { nameservers: ["10.213.2.1"], search: ["b.example"] } }));
    conf("10-a.conf", ptp("a", 1, { dns: { nameservers: ["10.213.1.1"] }, ipMasq: true }));
    const result = await upWithNamespace(pod(), "b:IP=10.213.2.77,a");
    expect(result.interfaces.map(({ network, ifName }) => [network, ifName])).toEqual([
      ["a", "eth0"],
      ["b", "eth1"],
    ]);
    expect(result.interfaces[1]?.ip4?.ip).toBe("10.213.2.77");
    expect(result.dns).toMatchObject({ network: "a", nameservers: ["10.213.1.1"] });
    expect(result.forwardable?.network).toBe("a");
    const taken = pod();
    await expect(up(taken, "a,b:IP=10.213.2.77")).rejects.toThrow("requested IP address 10.213.2.77 is not available");
    // Network a was added before b failed: it must be gone again.
    expect(readdirSync("/var/lib/cni/networks/a").filter((file) => file.startsWith("10."))).toHaveLength(1);
    expect(existsSync(join(taken.podDir, "net"))).toBe(false);
    expect(readdirSync("/run/netns")).toHaveLength(1);
  });

  const bridge = () =>
    conf("30-br.conf", {
      ...{ cniVersion: "0.3.0", name: "br", type: "bridge", bridge: "rkt-test0", isGateway: true },
      ipam: { type: "host-local", subnet: "10.213.9.0/24" },
    });

  test("gives the address that IP= asks for on a bridge, whose plugin knows no such argument", async () => {
    bridge();
    const target = pod();
    const result = await upWithNamespace(target, "br:IP=10.213.9.77");
    expect(result.interfaces[0]?.ip4?.ip).toBe("10.213.9.77");
    await down(target);
    sh("ip link delete rkt-test0");
  });

  test("keeps no record of a network that its plugin could neither add nor delete: every gc would fail", async () => {
    bridge();
    const target = pod();
    await expect(up(target, "br:IPP=10.213.9.77")).rejects.toThrow('unknown args ["IPP=10.213.9.77"]');
    expect(lines.join("\n")).toContain('cannot clean up network "br"');
    expect(existsSync(join(target.podDir, "net"))).toBe(false);
    await down(target);
  });

  test("runs a list of plugins with IPv4 and IPv6, ports by portmap", async () => {
    const ranges = [[{ subnet: "10.213.3.0/24" }], [{ subnet: "fd00:213:3::/64" }]];
    conf("10-dual.conflist", {
      name: "dual",
      cniVersion: "1.0.0",
      plugins: [
        {
          type: "bridge",
          bridge: "rktbr213",
          isDefaultGateway: true,
          ipMasq: true,
          ipam: { type: "host-local", ranges },
        },
        { type: "portmap", capabilities: { portMappings: true } },
        { type: "tuning", capabilities: { mac: true } },
      ],
    });
    try {
      const target = pod();
      const result = await upWithNamespace(target, "dual:MAC=02:13:00:00:00:07", [web(18_083)]);
      const [only] = result.interfaces;
      expect(only).toMatchObject({ ip4: { prefix: 24 }, ip6: { prefix: 64 }, mac: "02:13:00:00:00:07" });
      expect(only?.ip6?.ip).toStartWith("fd00:213:3::");
      expect(sh("iptables-save -t nat")).not.toContain("RKT-PFWD");
      await serve(target, result);
      expect(get("10.213.254.1:18083")).toBe(target.uuid);
      await down(target);
    } finally {
      sh("ip link del rktbr213");
    }
  });

  test("refuses networks, plugins and ports that are not there, and leaves nothing", async () => {
    const target = pod();
    await expect(up(target, "nowhere,default")).rejects.toThrow("networks not found: nowhere");
    conf("10-x.conf", { name: "x", type: "no-such-plugin" });
    await expect(up(target, "x")).rejects.toThrow('Could not find plugin "no-such-plugin"');
    await expect(up(target, "none", [web(1)])).rejects.toThrow("--port flag does not work with 'none' networking");
    expect(readdirSync(target.podDir)).toEqual([]);
  });
});

describe.skipIf(!root)("ports", () => {
  beforeEach(() => conf("10-p.conf", ptp("p", 4, { ipMasq: true })));

  for (const kind of ["nft", "legacy"] as const) {
    test(`lead into the pod from the host, from 127.0.0.1 and from outside (iptables-${kind})`, async () => {
      useFirewall(kind);
      const target = pod();
      const result = await upWithNamespace(target, "p", [web(18_080), web(18_081, "10.213.254.1")]);
      await serve(target, result);
      expect(get("127.0.0.1:18080")).toBe(target.uuid);
      expect(get("localhost:18080")).toBe(target.uuid);
      expect(get("10.213.254.1:18080")).toBe(target.uuid);
      expect(get("10.213.254.1:18081")).toBe(target.uuid);
      expect(() => get("127.0.0.1:18081")).toThrow();
      const client = await upWithNamespace(pod(), "p");
      expect(get("10.213.254.1:18080", client.netnsPath)).toBe(target.uuid);
      expect(sh("iptables-save -t nat")).toContain(`RKT-PFWD-DNAT-${target.uuid.slice(0, 8)}`);
      await down(target);
      expect(sh("iptables-save -t nat")).not.toContain("RKT-PFWD");
    });
  }

  test("of many pods started at once do not disturb each other", async () => {
    const many = Array.from({ length: 8 }, (_, index) => ({ target: pod(), port: 18_100 + index }));
    const results = await Promise.all(many.map(({ target, port }) => upWithNamespace(target, "p", [web(port)])));
    expect(new Set(results.map((result) => result.forwardable?.ip)).size).toBe(8);
    const rules = sh("iptables-save -t nat");
    for (const { port } of many) expect(rules).toContain(`--dport ${port} -j DNAT`);
    await Promise.all(many.map(({ target }) => down(target)));
  });

  test("and masquerading are removed by the second of two gcs that were killed, one in DEL and one behind it", async () => {
    const target = pod();
    const { netnsPath } = await upWithNamespace(target, "p", [web(18_080)]);
    // Without the pod's addresses the plugin leaves its rules; the record of the network goes once DEL is done.
    sh(`nsenter --net=${netnsPath} ip link del eth0`);
    for (const file of readdirSync(join(target.podDir, "net")))
      if (file.includes("p.conf")) rmSync(join(target.podDir, "net", file));
    sh("rm -rf /var/lib/cni/networks/p");
    expect(sh("iptables-save -t nat")).toContain(target.uuid);
    await down(target);
    expect(traces()).toBe(tracesBefore());
  });

  test("are removed even when somebody emptied the nat table meanwhile", async () => {
    const target = pod();
    await upWithNamespace(target, "p", [web(18_080)]);
    sh("iptables -w -t nat -D OUTPUT 1");
    await down(target);
    expect(traces()).toBe(tracesBefore());
  });

  test("fail with the table's name on a kernel without it, and leave nothing", async () => {
    override(
      "iptables-restore",
      `echo "iptables-restore v1.8.9 (legacy): unable to initialize table 'nat'" >&2; exit 3`,
    );
    const target = pod();
    await expect(up(target, "p", [web(18_080)])).rejects.toThrow('iptables cannot use the kernel\'s "nat" table');
    expect(lines.filter((line) => line.startsWith("cannot clean up"))).toEqual([]);
    expect(existsSync(join(target.podDir, "net"))).toBe(false);
  });
});

describe.skipIf(!root)("tearDownNetwork", () => {
  beforeEach(() => conf("10-p.conf", ptp("p", 5, { ipMasq: true })));

  test("gives everything back after a reboot: no namespace, no interface, no rule, but a lease", async () => {
    const target = pod();
    const { netnsPath } = await upWithNamespace(target, "p", [web(18_080)]);
    linux.umount(netnsPath, MNT_DETACH);
    unlinkSync(netnsPath);
    sh("iptables-restore < /dev/null; iptables -w -t nat -F; iptables -w -t nat -X");
    expect(readdirSync("/var/lib/cni/networks/p").filter((file) => file.startsWith("10."))).toHaveLength(1);
    await down(target);
  });

  test("uses the copy of the configuration, not the changed original", async () => {
    const target = pod();
    await upWithNamespace(target, "p");
    unlinkSync(join(testDir(), "etc/net.d/10-p.conf"));
    await down(target);
    expect(traces()).toBe(tracesBefore());
  });

  /** Each runs in a process of its own, which is killed at that point. */
  const deaths: [string, () => void, string][] = [
    ["right after the namespace was made", () => {}, "host.setns = (...a) => { linux.setns(...a); die(); }"],
    [
      "before the plugin",
      () => override("true", ""),
      "emit = (e) => { if (e.text.startsWith('loading network p')) die(); }",
    ],
    ["by the plugin, before it did anything", () => plugin("kill -9 $PPID; sleep 0.1; exec /usr/lib/cni/ptp"), ""],
    ["by the plugin, after it did everything", () => plugin("/usr/lib/cni/ptp; kill -9 $PPID"), ""],
    ["before the firewall rules", () => override("iptables-restore", "kill -9 $PPID"), ""],
    [
      "after the firewall rules",
      () => override("iptables-restore", "/usr/sbin/iptables-restore $*; kill -9 $PPID"),
      "",
    ],
  ];

  function plugin(script: string): void {
    const file = join(testDir(), "etc/net.d/killer");
    const wrapper = `#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exec /usr/lib/cni/ptp\n${script}\n`;
    writeFileSync(file, wrapper, { mode: 0o755 });
    conf("10-p.conf", ptp("p", 5, { type: "killer" }));
  }

  test.each(deaths)("cleans up a set-up that was killed %s", async (_when, prepare, hook) => {
    prepare();
    const target = pod();
    const code = `
      const { setUpNetwork } = await import(${JSON.stringify(join(import.meta.dir, "../../src/network/mod.ts"))});
      const { linux } = await import(${JSON.stringify(join(import.meta.dir, "../../src/host/linux.ts"))});
      const die = () => process.kill(process.pid, "SIGKILL");
      const host = { ...linux };
      let emit = () => {};
      ${hook};
      const { context, ports } = JSON.parse(process.env.REQUEST);
      await setUpNetwork({ ...context, net: "p", ports, host, emit });
    `;
    const REQUEST = JSON.stringify({ context: target.context, ports: [web(18_080)] });
    const child = Bun.spawn([process.execPath, "--no-env-file", "-e", code], { env: { ...process.env, REQUEST } });
    await child.exited;
    expect(child.signalCode).toBe("SIGKILL");
    rmSync(join(testDir(), "bin/iptables-restore"), { force: true });
    // A plugin that outlives its caller ends by itself; gc of a whole rkt comes later than that.
    while (pluginsOf(target.uuid).length > 0) await Bun.sleep(10);
    await down(target);
    expect(traces()).toBe(tracesBefore());
    expect(existsSync(join(target.podDir, "net"))).toBe(false);
  });
});

describe.skipIf(!root)("joinNetns", () => {
  test("moves a process into the pod's namespace, and what it executes after it", async () => {
    const { netnsPath } = await upWithNamespace(pod(), "none");
    const code = `
      const { joinNetns } = await import(${JSON.stringify(join(import.meta.dir, "../../src/network/mod.ts"))});
      const { linux } = await import(${JSON.stringify(join(import.meta.dir, "../../src/host/linux.ts"))});
      joinNetns(linux, process.env.NETNS);
      linux.execve("/bin/cat", ["cat", "/proc/self/net/dev"], {});
    `;
    const env = { ...process.env, NETNS: netnsPath };
    const { stdout } = Bun.spawnSync([process.execPath, "--no-env-file", "-e", code], { env });
    const interfaces = [...stdout.toString().matchAll(/^ *(\S+):/gm)].map((match) => match[1]);
    expect(interfaces).toEqual(["lo"]);
  });
});

/** Processes that were started for the container: plugins, and what they delegate to. */
function pluginsOf(uuid: string): string[] {
  return readdirSync("/proc").filter((name) => {
    try {
      return (
        /^[0-9]+$/.test(name) && readFileSync(`/proc/${name}/environ`, "utf8").includes(`CNI_CONTAINERID=${uuid}\0`)
      );
    } catch {
      return false; // It ended.
    }
  });
}
