import { describe, expect, test } from "bun:test";
import { netmask, parseResult } from "./result.ts";

describe("parseResult", () => {
  test("reads 0.1.0 and 0.2.0: ip4 and ip6", () => {
    const result = parseResult("n", "eth0", {
      cniVersion: "0.2.0",
      ip4: { ip: "10.1.0.5/16", gateway: "10.1.0.1", routes: [{ dst: "0.0.0.0/0" }] },
      ip6: { ip: "fd00::5/64", gateway: "fd00::1", routes: [{ dst: "::/0", gw: "fd00::1" }] },
      dns: { nameservers: ["10.1.0.1"], domain: "pods" },
    });
    expect(result.interface).toEqual({
      network: "n",
      ifName: "eth0",
      ip4: { ip: "10.1.0.5", prefix: 16, gateway: "10.1.0.1" },
      ip6: { ip: "fd00::5", prefix: 64, gateway: "fd00::1" },
      routes: [
        { dst: "0.0.0.0/0", gw: undefined },
        { dst: "::/0", gw: "fd00::1" },
      ],
      mac: undefined,
      mtu: undefined,
    });
    expect(result.dns).toEqual({ nameservers: ["10.1.0.1"], domain: "pods", search: [], options: [], network: "n" });
  });

  test("reads 0.3.0 to 1.1.0: ips of interfaces, of which only the pod's count", () => {
    const result = parseResult("n", "eth1", {
      cniVersion: "1.1.0",
      interfaces: [
        { name: "cni0", mac: "02:00:00:00:00:01" },
        { name: "eth1", mac: "02:00:00:00:00:02", sandbox: "/run/netns/x", mtu: 1400 },
      ],
      ips: [
        { address: "10.9.0.1/24", interface: 0 },
        { address: "10.1.0.5/16", gateway: "10.1.0.1", interface: 1 },
        { address: "fd00::5/64", interface: 1 },
      ],
      routes: [{ dst: "0.0.0.0/0" }],
      dns: {},
    });
    expect(result.interface).toMatchObject({ mac: "02:00:00:00:00:02", mtu: 1400, ip4: { ip: "10.1.0.5" } });
    expect(result.interface.ip6).toEqual({ ip: "fd00::5", prefix: 64, gateway: undefined });
    expect(result.dns).toBeUndefined();
  });

  test("bears a network without addresses, and refuses what is no result", () => {
    expect(parseResult("n", "eth0", {}).interface.ip4).toBeUndefined();
    expect(() => parseResult("n", "eth0", undefined)).toThrow('Cannot add network "n"');
  });
});

test.each([
  [0, "0.0.0.0"],
  [8, "255.0.0.0"],
  [20, "255.255.240.0"],
  [24, "255.255.255.0"],
  [32, "255.255.255.255"],
])("netmask(%i) is %s", (prefix, mask) => {
  expect(netmask(prefix)).toBe(mask);
});
