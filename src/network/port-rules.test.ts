import { describe, expect, test } from "bun:test";
import { nftForwarding } from "./nft-rules.ts";
import { parseForwarding } from "./port-record.ts";
import { forwardingRules, missingRules, podsWithChains, removalRules } from "./port-rules.ts";
import type { ForwardedPort } from "./types.ts";

const UUID = "6c1c6e0e-2f5c-4c0e-9d2b-0d2c1a7b9f10";
const PORTS: readonly ForwardedPort[] = [
  { name: "http", protocol: "tcp", podPort: 80, hostPort: 8080 },
  { name: "dns", protocol: "udp", podPort: 53, hostPort: 5353, hostIp: "192.0.2.1" },
];
const TARGET = { ip: "172.16.28.5", interface: "veth1", neighbours: "172.16.28.5/32" };
const TARGET6 = { ip: "fd00::5", interface: "cni0", neighbours: "fd00::/64" };

describe("forwardingRules", () => {
  test("makes, hooks in and fills the chains, the guard of the loopback addresses first", () => {
    expect(forwardingRules(UUID, 4, TARGET, PORTS).split("\n")).toEqual([
      "*raw",
      ":RKT-PFWD-GUARD-6c1c6e0e - [0:0]",
      "-I PREROUTING 1 ! -i lo -j RKT-PFWD-GUARD-6c1c6e0e",
      "-A RKT-PFWD-GUARD-6c1c6e0e -d 127.0.0.0/8 -j DROP",
      "-A RKT-PFWD-GUARD-6c1c6e0e -i veth1 -s 127.0.0.0/8 -j DROP",
      "COMMIT",
      "*nat",
      ":RKT-PFWD-DNAT-6c1c6e0e - [0:0]",
      ":RKT-PFWD-SNAT-6c1c6e0e - [0:0]",
      "-I POSTROUTING 1 -d 172.16.28.5 -j RKT-PFWD-SNAT-6c1c6e0e",
      "-I PREROUTING 1 -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
      "-I OUTPUT 1 -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
      "-A RKT-PFWD-DNAT-6c1c6e0e -d 0.0.0.0/0 -p tcp --dport 8080 -j DNAT --to-destination 172.16.28.5:80",
      "-A RKT-PFWD-SNAT-6c1c6e0e -p tcp -s 127.0.0.0/8 -d 172.16.28.5 --dport 80 -j MASQUERADE",
      "-A RKT-PFWD-SNAT-6c1c6e0e -p tcp -s 172.16.28.5/32 -d 172.16.28.5 --dport 80 -m conntrack --ctstate DNAT -j MASQUERADE",
      "-A RKT-PFWD-DNAT-6c1c6e0e -d 192.0.2.1 -p udp --dport 5353 -j DNAT --to-destination 172.16.28.5:53",
      "-A RKT-PFWD-SNAT-6c1c6e0e -p udp -s 127.0.0.0/8 -d 172.16.28.5 --dport 53 -j MASQUERADE",
      "-A RKT-PFWD-SNAT-6c1c6e0e -p udp -s 172.16.28.5/32 -d 172.16.28.5 --dport 53 -m conntrack --ctstate DNAT -j MASQUERADE",
      "COMMIT",
      "",
    ]);
  });

  test("writes IPv6 addresses with brackets where a port follows, and needs no guard there", () => {
    const rules = forwardingRules(UUID, 6, TARGET6, PORTS.slice(0, 1));
    expect(rules).not.toContain("*raw");
    expect(rules).toContain("-d ::/0 -p tcp --dport 8080 -j DNAT --to-destination [fd00::5]:80");
    expect(rules).toContain("-s fd00::/64 -d fd00::5 --dport 80 -m conntrack --ctstate DNAT -j MASQUERADE");
    expect(rules).toContain("-s ::1 -d fd00::5 --dport 80 -j MASQUERADE");
  });
});

describe("missingRules", () => {
  // As iptables-save prints them: in other words than they were given.
  const saved = [
    "*nat",
    ":RKT-PFWD-DNAT-6c1c6e0e - [0:0]",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
    "-A OUTPUT -m addrtype --dst-type LOCAL -j RKT-PFWD-DNAT-6c1c6e0e",
    "-A POSTROUTING -d 172.16.28.5/32 -j RKT-PFWD-SNAT-6c1c6e0e",
    "-A RKT-PFWD-DNAT-6c1c6e0e -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.16.28.5:80",
    "-A RKT-PFWD-DNAT-6c1c6e0e -d 192.0.2.1/32 -p udp -m udp --dport 5353 -j DNAT --to-destination 172.16.28.5:53",
    "COMMIT",
    "*raw",
    "-A PREROUTING ! -i lo -j RKT-PFWD-GUARD-6c1c6e0e",
    "-A RKT-PFWD-GUARD-6c1c6e0e -d 127.0.0.0/8 -j DROP",
    "COMMIT",
  ];
  const without = (word: string) => saved.filter((line) => !line.includes(word)).join("\n");

  test("finds nothing when all is there", () => {
    expect(missingRules(UUID, 4, TARGET, PORTS, saved.join("\n"))).toEqual([]);
  });

  test.each([
    ["-A OUTPUT", "the jump from OUTPUT to RKT-PFWD-DNAT-6c1c6e0e"],
    ["--dport 8080", "tcp port 8080"],
    ["-d 127.0.0.0/8", "the guard of 127.0.0.0/8"],
  ])("finds that %s is gone", (word, what) => {
    expect(missingRules(UUID, 4, TARGET, PORTS, without(word))).toEqual([what]);
  });

  test("does not take one port, or one address, for another that begins like it", () => {
    const other = { ...TARGET, ip: "172.16.28.55" };
    expect(missingRules(UUID, 4, other, PORTS, saved.join("\n"))).toEqual(["tcp port 8080", "udp port 5353"]);
    const [http] = PORTS;
    if (http === undefined) throw new Error("no port");
    expect(missingRules(UUID, 4, TARGET, [{ ...http, hostPort: 808 }], saved.join("\n"))).toEqual(["tcp port 808"]);
  });

  test("names the pods that have chains", () => {
    expect(podsWithChains(saved.join("\n"))).toEqual(["6c1c6e0e"]);
  });
});

describe("nftForwarding", () => {
  test("is one table, which replaces one of the same name, for both families", () => {
    const text = nftForwarding(UUID, { ip4: TARGET, ip6: TARGET6 }, PORTS);
    expect(text.split("\n").slice(0, 3)).toEqual([
      "add table inet rkt-pfwd-6c1c6e0e",
      "delete table inet rkt-pfwd-6c1c6e0e",
      "table inet rkt-pfwd-6c1c6e0e {",
    ]);
    expect(text).toContain("meta nfproto ipv4 tcp dport 8080 dnat ip to 172.16.28.5:80");
    expect(text).toContain("meta nfproto ipv6 tcp dport 8080 dnat ip6 to [fd00::5]:80");
    expect(text).toContain("ip daddr 192.0.2.1 udp dport 5353 dnat ip to 172.16.28.5:53");
    expect(text).toContain('iifname != "lo" ip daddr 127.0.0.0/8 drop');
    expect(text).not.toContain("ip6 daddr 192");
  });
});

describe("parseForwarding", () => {
  const record = { firewall: "nft" as const, targets: { ip4: TARGET, ip6: undefined }, ports: PORTS };
  const text = JSON.stringify(record);

  test("reads what was written", () => {
    expect(parseForwarding(text)).toEqual({ ...record, ports: PORTS.map((port) => ({ hostIp: undefined, ...port })) });
  });

  test.each([
    ["", "nothing"],
    [text.slice(0, 40), "half a record"],
    [text.replace("veth1", "../x"), "an interface that leads elsewhere"],
    [text.replace("172.16.28.5", "1.1.1.1 -j ACCEPT"), "words of a rule"],
    [text.replace("8080", "80800"), "a port that is none"],
    [text.replace("nft", "ufw"), "a firewall that is not known"],
  ])("refuses %p: %s", (changed) => {
    expect(parseForwarding(changed)).toBeUndefined();
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
