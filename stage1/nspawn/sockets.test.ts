import { describe, expect, test } from "bun:test";
import type { PodManifest } from "../../src/spec/appc/mod.ts";
import { appSockets, inheritedSocket, portsWithSocket } from "./sockets.ts";

const port = (name: string, number: number, socketActivated = true, protocol = "tcp") => ({
  ...{ name, port: number, protocol, count: 1, socketActivated },
});
const app = { name: "a", app: { ports: [port("web", 80), port("dns", 53, true, "udp"), port("plain", 9, false)] } };
const manifest = {
  apps: [app],
  ports: [{ name: "web", hostPort: 8080 }],
} as unknown as PodManifest;
const [first] = manifest.apps;

describe("addresses of /proc/net", () => {
  test("IPv4 and IPv6", () => {
    expect(inheritedSocket("tcp", "0100007F:1F90")).toEqual({ protocol: "tcp", port: 8080, address: "127.0.0.1:8080" });
    expect(inheritedSocket("udp", `${"0".repeat(32)}:0035`)?.address).toBe("[0:0:0:0:0:0:0:0]:53");
    expect(inheritedSocket("tcp", "B80D0120000000000000000001000000:0050")?.address).toBe("[2001:db8:0:0:0:0:0:1]:80");
  });
  test("nonsense is none", () => {
    for (const text of ["", "x:y", "0100007F:0000", "01:50"]) expect(inheritedSocket("tcp", text)).toBeUndefined();
  });
});

describe("sockets of an app", () => {
  const inherited = [
    { protocol: "udp", port: 53, address: "[::]:53" },
    { protocol: "tcp", port: 8080, address: "0.0.0.0:8080" },
    { protocol: "tcp", port: 9, address: "0.0.0.0:9" },
  ];
  test("are in the order of its ports, at the host's address, by the host's number", () => {
    if (first === undefined) throw new Error("one app");
    expect(appSockets(manifest, first, inherited)).toEqual([
      { directive: "ListenStream", address: "0.0.0.0:8080" },
      { directive: "ListenDatagram", address: "[::]:53" },
    ]);
    expect([...portsWithSocket(manifest, inherited)]).toEqual(["web", "dns"]);
  });
  test("are the pod's own where the host brings none", () => {
    if (first === undefined) throw new Error("one app");
    expect(appSockets(manifest, first, []).map(({ address }) => address)).toEqual(["80", "53"]);
    expect([...portsWithSocket(manifest, [])]).toEqual([]);
  });
});
