import { describe, expect, test } from "bun:test";
import { parsePodManifest } from "../spec/appc/mod.ts";
import { type PodPorts, resolvePorts } from "./ports.ts";

const pod = (ports: PodPorts["ports"], ...apps: { name: string; protocol: string; port: number }[][]): PodPorts => ({
  ports,
  apps: apps.map((declared) => ({ app: { ports: declared } })),
});
const http = { name: "http", protocol: "tcp", port: 80 };

describe("resolvePorts", () => {
  test("pairs a host port with the app's port of that name", () => {
    expect(resolvePorts(pod([{ name: "http", hostPort: 8080, hostIp: "127.0.0.1" }], [], [http]))).toEqual([
      { name: "http", protocol: "tcp", podPort: 80, hostPort: 8080, hostIp: "127.0.0.1" },
    ]);
  });

  test("takes a pod port that no app declares, and an app without ports", () => {
    const manifest = { apps: [{}], ports: [{ name: "x", hostPort: 53, podPort: { protocol: "UDP", port: 5353 } }] };
    expect(resolvePorts(manifest)[0]).toMatchObject({ protocol: "udp", podPort: 5353, hostIp: undefined });
  });

  test("allows one port number on two addresses, and for two protocols", () => {
    const ports = [
      { name: "http", hostPort: 80, hostIp: "10.0.0.1" },
      { name: "http", hostPort: 80, hostIp: "10.0.0.2" },
      { name: "dns", hostPort: 80 },
    ];
    expect(resolvePorts(pod(ports, [http, { name: "dns", protocol: "udp", port: 53 }]))).toHaveLength(3);
  });

  test.each([
    [pod([{ name: "http", hostPort: 1 }], [http], [http]), 'port name "http" defined multiple apps'],
    [pod([{ name: "https", hostPort: 1 }], [http]), 'port name "https" could not be found in any apps'],
    [
      pod(
        [
          { name: "http", hostPort: 8080, hostIp: "10.0.0.1" },
          { name: "http", hostPort: 8080 },
        ],
        [http],
      ),
      "port tcp-0.0.0.0:8080 already mapped to pod port 80",
    ],
    [pod([{ name: "http", hostPort: 0 }], [http]), "expected 1 to 65535"],
    [pod([{ name: "http", hostPort: 1, hostIp: "fd00::1 -j ACCEPT" }], [http]), "expected an IP address"],
    [pod([{ name: "http", hostPort: 1, hostIp: "1.1.1.1 -j ACCEPT" }], [http]), "expected an IP address"],
    [pod([{ name: "x", hostPort: 1 }], [{ name: "x", protocol: "tcp\n-F", port: 1 }]), "expected tcp, udp or sctp"],
  ])("refuses %#", (manifest, message) => {
    expect(() => resolvePorts(manifest)).toThrow(message);
  });
});

test("the address of a decoded manifest's port is kept: without it the port would be open on every address", () => {
  const manifest = parsePodManifest(
    JSON.stringify({
      acKind: "PodManifest",
      acVersion: "0.8.11",
      apps: [
        {
          name: "web",
          image: { id: `sha512-${"0".repeat(64)}` },
          app: { exec: ["/web"], user: "0", group: "0", ports: [{ name: "http", protocol: "tcp", port: 80 }] },
        },
      ],
      ports: [{ name: "http", hostPort: 8080, hostIP: "127.0.0.1" }],
    }),
  );
  expect(resolvePorts(manifest)[0]?.hostIp).toBe("127.0.0.1");
});
