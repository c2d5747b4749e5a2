import { describe, expect, test } from "bun:test";
import { ip6Bytes, routeTo4, routeTo6 } from "./routes.ts";

describe("routeTo4", () => {
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
    ["10.213.9.2", "vethabc", "10.213.9.2/32"],
    ["10.213.9.3", "cni0", "10.213.9.0/24"],
    ["192.168.254.200", "fast", "192.168.254.0/24"],
  ])("finds the longest prefix for %s", (ip, link, destination) => {
    expect(routeTo4(ip, table)).toEqual({ interface: link, destination });
  });

  test("does not take another router's network for the host's own", () => {
    expect(routeTo4("10.213.10.1", table)).toBeUndefined();
    expect(routeTo4("10.0.0.1", "Iface\n")).toBeUndefined();
  });
});

describe("routeTo6", () => {
  const line = (address: string, length: string, flags: string, name: string) =>
    `${address} ${length} ${"0".repeat(32)} 00 ${"0".repeat(32)} 00000100 00000001 00000000 ${flags} ${name}`;
  const table = [
    line("fd000213000300000000000000000000", "40", "00000001", "cni0"),
    line("fd000213000300000000000000000007", "80", "00000001", "veth7"),
    line("fd000213000300000000000000000001", "80", "80200001", "lo"),
    line("00000000000000000000000000000000", "00", "00000003", "eth0"),
    line("00000000000000000000000000000000", "00", "00200200", "lo"),
  ].join("\n");

  test("finds the longest prefix, and passes over local and gateway routes", () => {
    expect(routeTo6("fd00:213:3::9", table)).toEqual({
      interface: "cni0",
      destination: "fd00:0213:0003:0000:0000:0000:0000:0000/64",
    });
    expect(routeTo6("fd00:213:3::7", table)?.interface).toBe("veth7");
    expect(routeTo6("2001:db8::1", table)).toBeUndefined();
  });
});

describe("ip6Bytes", () => {
  test.each([
    ["::", "00000000000000000000000000000000"],
    ["::1", "00000000000000000000000000000001"],
    ["fd00:213:3::7", "fd000213000300000000000000000007"],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["::ffff:192.0.2.1", "00000000000000000000ffffc0000201"],
  ])("reads %s", (text, hex) => {
    expect(Buffer.from(ip6Bytes(text) ?? []).toString("hex")).toBe(hex);
  });

  test.each(["", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::"])("refuses %p", (text) => {
    expect(ip6Bytes(text)).toBeUndefined();
  });
});
