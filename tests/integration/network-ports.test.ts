/** Forwarded ports, on a host of the tests' own with a machine beside it: who reaches a pod how, over each firewall; and who must not. */

import { beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  conf,
  down,
  get,
  outside,
  pod,
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

const RANGES = [[{ subnet: "10.213.40.0/24" }], [{ subnet: "fd00:213:40::/64" }]];
const ROUTES = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
const IPAM = { type: "host-local", ranges: RANGES, routes: ROUTES };

/** Both kinds of link: one of the pod's own, and one that pods share. */
const LINKS = {
  ptp: { type: "ptp", ipam: IPAM },
  bridge: {
    type: "bridge",
    bridge: "rktbr40",
    isDefaultGateway: true,
    hairpinMode: true,
    ipam: { type: "host-local", ranges: RANGES },
  },
};

beforeEach(() => {
  if (!root) return;
  for (const [name, plugin] of Object.entries(LINKS)) conf(`10-${name}.conf`, { cniVersion: "0.4.0", name, ...plugin });
});

describe.skipIf(!root).each(["nft", "legacy", "nftables"] as const)("ports, with %s", (firewall) => {
  test.each(["ptp", "bridge"] as const)("lead into a pod on a %s from everywhere, over IPv4 and IPv6", async (link) => {
    useFirewall(firewall);
    const target = pod();
    const ports = [web(18_080), web(18_081, "10.213.254.1"), web(18_082, "fd00:213:254::1"), web(18_083, "127.0.0.1")];
    const result = await upWithNamespace(target, link, ports);
    await serve(target, result);
    const answers = (url: string, netns?: string) => expect(get(url, netns)).toBe(target.uuid);
    const fails = (url: string, netns?: string) => expect(() => get(url, netns, 1)).toThrow();
    // From the host itself: by its addresses, by its loopback addresses, by the pod's.
    for (const host of ["10.213.254.1", "127.0.0.1", "127.8.8.8", "[fd00:213:254::1]", "localhost"]) {
      answers(`${host}:18080`);
    }
    if (link === "bridge") withoutBridgeFirewall(() => answers("[::1]:18080"));
    else answers("[::1]:18080");
    answers(`${result.interfaces[0]?.ip4?.ip}:80`);
    answers(`[${result.interfaces[0]?.ip6?.ip}]:80`);
    // From outside.
    for (const host of ["10.213.254.1", "[fd00:213:254::1]"]) answers(`${host}:18080`, outside());
    // From another pod, and from the pod itself.
    const second = pod();
    const other = await upWithNamespace(second, link);
    for (const netns of [other.netnsPath, result.netnsPath]) {
      for (const host of ["10.213.254.1", "[fd00:213:254::1]"]) answers(`${host}:18080`, netns);
    }
    // A port of one address is forwarded at that address only.
    answers("10.213.254.1:18081", outside());
    answers("[fd00:213:254::1]:18082", outside());
    answers("127.0.0.1:18083");
    for (const url of ["127.0.0.1:18081", "[fd00:213:254::1]:18081", "10.213.254.1:18082", "10.213.254.1:18083"]) {
      fails(url);
    }
    fails("10.213.254.1:18083", outside());
    await down(target);
    await down(second);
    fails("10.213.254.1:18080", outside());
    fails("[::1]:18080");
    if (link === "bridge") sh("ip link del rktbr40");
  });

  test("carry datagrams and SCTP", async () => {
    useFirewall(firewall);
    const target = pod();
    const result = await upWithNamespace(target, "ptp", [
      { name: "dns", protocol: "udp", podPort: 53, hostPort: 18_053 },
      { name: "sig", protocol: "sctp", podPort: 99, hostPort: 18_099 },
    ]);
    const python = (code: string) => `python3 -c '${code}'`;
    const echo = python(
      'import socket; s=socket.socket(socket.AF_INET6,2); s.bind(("::",53)); print("up",flush=True)\nwhile 1: d,a=s.recvfrom(99); s.sendto(d.upper(),a)',
    );
    const server = Bun.spawn(["sh", "-c", `exec nsenter --net=${result.netnsPath} ${echo}`], { stdout: "pipe" });
    const sniff = python(
      'import socket; s=socket.socket(2,3,132); s.settimeout(100); print("up",flush=True); print(int.from_bytes(s.recv(99)[22:24],"big"))',
    );
    const sniffer = Bun.spawn(["sh", "-c", `exec nsenter --net=${result.netnsPath} ${sniff}`], { stdout: "pipe" });
    try {
      const said = sniffer.stdout.getReader();
      await Promise.all([server.stdout.getReader().read(), said.read()]);
      const ask = (family: number, host: string) =>
        `import socket; s=socket.socket(${family},2); s.settimeout(5); s.sendto(b"hello",("${host}",18053)); print(s.recv(9).decode())`;
      for (const [family, host] of [
        [2, "10.213.254.1"],
        [10, "fd00:213:254::1"],
      ] as const) {
        expect(sh(`nsenter --net=${outside()} ${python(ask(family, host))}`)).toBe("HELLO\n");
        expect(sh(python(ask(family, host)))).toBe("HELLO\n");
      }
      expect(sh(python(ask(2, "127.0.0.1")))).toBe("HELLO\n");
      expect(sh(python(ask(10, "::1")))).toBe("HELLO\n");
      // This kernel may lack SCTP sockets; its firewall knows the protocol: the first packet of a connection, with the checksum of RFC 9260.
      const init = join(testDir(), "init.py");
      writeFileSync(init, SCTP_INIT);
      sh(`nsenter --net=${outside()} python3 ${init} 10.213.254.1 18099`);
      let seen = "";
      for (let part = await said.read(); !part.done; part = await said.read())
        seen += new TextDecoder().decode(part.value);
      expect(seen.trim()).toBe("99");
    } finally {
      for (const child of [server, sniffer]) {
        child.kill("SIGKILL");
        await child.exited;
      }
    }
  });

  test("do not open the host's loopback address to its neighbours", async () => {
    useFirewall(firewall);
    const open = pod();
    const result = await upWithNamespace(open, "bridge", [web(18_080), web(18_083, "127.0.0.1")]);
    await serve(open, result);
    // A service of the host that trusts the loopback address.
    const www = mkdtempSync(join(testDir(), "secret-"));
    writeFileSync(join(www, "index.html"), "secret");
    const secret = Bun.spawn(["busybox", "httpd", "-f", "-p", "127.0.0.1:18090", "-h", www]);
    while (sh("ss -Hltn 'sport = :18090'") === "") await Bun.sleep(10);
    const closed = pod();
    const other = await upWithNamespace(closed, "bridge");
    const gateway = result.interfaces[0]?.ip4?.gateway ?? "";
    try {
      expect(get("127.0.0.1:18090")).toBe("secret");
      for (const [netns, via, link] of [
        [outside(), "10.213.254.1", "rktnet1"],
        [other.netnsPath, gateway, "eth0"],
        [result.netnsPath, gateway, "eth0"],
      ] as const) {
        const there = `nsenter --net=${netns}`;
        // The attack of CVE-2020-8558: 127.0.0.1 is routed to the host.
        sh(`${there} sysctl -qw net.ipv4.conf.all.route_localnet=1`);
        sh(`${there} ip addr del 127.0.0.1/8 dev lo; ${there} ip route add 127.0.0.1 via ${via} dev ${link}`);
        for (const port of [18_090, 18_083, 18_080]) expect(() => get(`127.0.0.1:${port}`, netns, 1)).toThrow();
        sh(`${there} ip route del 127.0.0.1; ${there} ip addr add 127.0.0.1/8 dev lo`);
      }
      expect(readFileSync("/proc/sys/net/ipv4/conf/rktbr40/route_localnet", "utf8")).toBe("1\n");
    } finally {
      secret.kill("SIGKILL");
      await secret.exited;
    }
    await down(open);
    await down(closed);
    // The bridge outlives the pod: it must not stay open without the guard.
    expect(readFileSync("/proc/sys/net/ipv4/conf/rktbr40/route_localnet", "utf8")).toBe("0\n");
    sh("ip link del rktbr40");
  });
});

describe.skipIf(!root)("ports of the host", () => {
  test("that are taken are refused before anything is made, and stay taken while the pod lives", async () => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 18_070, fetch: () => new Response("") });
    const refused = pod();
    await expect(up(refused, "ptp", [web(18_070)])).rejects.toThrow(
      'Cannot forward port "http": port tcp-0.0.0.0:18070 of the host is already in use',
    );
    expect(traces()).toBe(tracesBefore());
    await server.stop(true);
    const first = pod();
    await upWithNamespace(first, "ptp", [web(18_070)]);
    await expect(up(pod(), "ptp", [web(18_070)])).rejects.toThrow("is already in use");
    expect(() => Bun.serve({ hostname: "127.0.0.1", port: 18_070, fetch: () => new Response("") })).toThrow();
    const beside = pod();
    await expect(up(beside, "ptp", [web(18_070, "10.213.254.1")])).rejects.toThrow("is already in use");
    await down(first);
    await upWithNamespace(pod(), "ptp", [web(18_070)]);
  });

  test("can be shared by pods that name different addresses", async () => {
    const [one, two] = [pod(), pod()];
    await serve(one, await upWithNamespace(one, "ptp", [web(18_060, "127.0.0.1")]));
    await serve(two, await upWithNamespace(two, "ptp", [web(18_060, "10.213.254.1")]));
    expect(get("127.0.0.1:18060")).toBe(one.uuid);
    expect(get("10.213.254.1:18060")).toBe(two.uuid);
  });

  test("of a family that the pod has no address of cannot be forwarded", async () => {
    const target = pod();
    await expect(up(target, "default", [web(18_080, "::1")])).rejects.toThrow("the pod has no IPv6 address");
    expect(traces()).toBe(tracesBefore());
  });

  test("stay open for the other pods of a bridge when one goes", async () => {
    const [one, two] = [pod(), pod()];
    await upWithNamespace(one, "bridge", [web(18_061)]);
    await serve(two, await upWithNamespace(two, "bridge", [web(18_062)]));
    await down(one);
    expect(get("127.0.0.1:18062")).toBe(two.uuid);
    withoutBridgeFirewall(() => expect(get("[::1]:18062")).toBe(two.uuid));
    await down(two);
    sh("ip link del rktbr40");
  });
});

/** Where bridges hand IPv6 packets to the firewall before the host's own stack sees them, answers to ::1 are dropped (docs/networking.md). */
function withoutBridgeFirewall(action: () => void): void {
  const file = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
  const before = existsSync(file) ? readFileSync(file, "utf8") : undefined;
  if (before !== undefined) writeFileSync(file, "0");
  try {
    action();
  } finally {
    if (before !== undefined) writeFileSync(file, before);
  }
}

const SCTP_INIT = `
import socket, struct, sys
def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = (crc >> 1) ^ (0x82f63b78 & -(crc & 1))
    return crc ^ 0xffffffff
chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 0x1234, 65536, 1, 1, 7)
head = lambda checksum: struct.pack("!HHI", 4000, int(sys.argv[2]), 0) + struct.pack("<I", checksum)
packet = head(crc32c(head(0) + chunk)) + chunk
socket.socket(2, 3, 132).sendto(packet, (sys.argv[1], 0))
`;
