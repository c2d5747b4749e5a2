import { describe, expect, test } from "bun:test";
import { interfaceTowards } from "./port-forwarding.ts";
import { forwardingRules, removalRules } from "./port-rules.ts";

const UUID = "6c1c6e0e-2f5c-4c0e-9d2b-0d2c1a7b9f10";

describe("forwardingRules", () => {
  test("makes, hooks in and fills the two chains in one transaction", () => {
    const rules = forwardingRules(UUID, "172.16.28.5", [
      { name: "http", protocol: "tcp", podPort: 80, hostPort: 8080 },
      { name: "dns", protocol: "udp", podPort: 53, hostPort: 5353, hostIp: "192.0.2.1" },
    ]);
    expect(rules.split("\n")).toEqual([
      "*nat",
      ":RKT-PFWD-DNAT-6c1c6e0e - [0:0]",
      ":RKT-PFWD-SNAT-6c1c6e0e - [0:0]",
      "-I POSTROUTING 1 -s 127.0.0.1 ! -d 127.0.0.1 -j RKT-PFWD-SNAT-6c1c6e0e",
      "-I PREROUTING 1 -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
      "-I OUTPUT 1 -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
      "-A RKT-PFWD-DNAT-6c1c6e0e -d 0.0.0.0/0 -p tcp --dport 8080 -j DNAT --to-destination 172.16.28.5:80",
      "-A RKT-PFWD-SNAT-6c1c6e0e -p tcp -s 127.0.0.1 -d 172.16.28.5 --dport 80 -j MASQUERADE",
      "-A RKT-PFWD-DNAT-6c1c6e0e -d 192.0.2.1 -p udp --dport 5353 -j DNAT --to-destination 172.16.28.5:53",
      "-A RKT-PFWD-SNAT-6c1c6e0e -p udp -s 127.0.0.1 -d 172.16.28.5 --dport 53 -j MASQUERADE",
      "COMMIT",
      "",
    ]);
  });
});

describe("removalRules", () => {
  const saved = (...rules: string[]) =>
    ["*nat", ":PREROUTING ACCEPT [0:0]", ":OTHER - [0:0]", ":RKT-PFWD-DNAT-6c1c6e0e - [0:0]", ...rules, "COMMIT"].join(
      "\n",
    );

  test("removes only this pod's chains and the rules that lead to them, however many are left", () => {
    const text = saved(
      "-A PREROUTING -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
      "-A PREROUTING -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-ffffffff",
      "-A PREROUTING -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
      "-A RKT-PFWD-DNAT-6c1c6e0e -p tcp -m tcp --dport 1 -j DNAT --to-destination 10.0.0.1:1",
    );
    expect(removalRules(UUID, text)?.split("\n")).toEqual([
      "*nat",
      "-D PREROUTING -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
      "-D PREROUTING -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
      "-F RKT-PFWD-DNAT-6c1c6e0e",
      "-X RKT-PFWD-DNAT-6c1c6e0e",
      "COMMIT",
      "",
    ]);
  });

  test("has nothing to do when the chains are gone", () => {
    expect(removalRules("00000000-x", saved())).toBeUndefined();
  });
});

describe("interfaceTowards", () => {
  const table = [
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT",
    "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
    "cni0\t0009D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
    "vethabc\t0209D50A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0",
    "*\t0309D50A\t00000000\t0201\t0\t0\t0\tFFFFFFFF\t0\t0\t0",
    "slow\t00FEA8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0",
    "fast\t00FEA8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
  ].join("\n");

  test.each([
    ["10.213.9.2", "vethabc"],
    ["10.213.9.3", "cni0"],
    ["10.213.10.1", "eth0"],
    ["192.168.254.200", "fast"],
  ])("finds the longest prefix for %s", (ip, name) => {
    expect(interfaceTowards(ip, table)).toBe(name);
  });

  test("finds nothing in an empty table", () => {
    expect(interfaceTowards("10.0.0.1", "Iface\n")).toBeUndefined();
  });
});
