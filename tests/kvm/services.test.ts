/**
 * What a pod in a virtual machine learns from services of the host: names, and its metadata. On a host of the test's own. `make test-kvm`.
 * Needs root, QEMU, iproute2, CNI plugins, iptables, busybox.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { enterPrivateHost } from "../harness/private-host.ts";
import { type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const insecure = "--insecure-options=image";
const KVM = "--stage1-name=coreos.com/rkt/stage1-kvm";
let rkt: TestRkt;
let busybox = "";

beforeAll(() => {
  enterPrivateHost();
  rkt = testRkt();
  buildAci(join(rkt.dir, "app.aci"), { name: "example.com/app" }, {});
  busybox = rkt.ok([insecure, "fetch", "--full", join(rkt.dir, "app.aci")]).trim();
});
afterAll(() => rkt?.[Symbol.dispose]());

test("name servers and hosts as asked for, and a name looked up over the pod network", async () => {
  const server = Bun.udpSocket({
    hostname: "0.0.0.0",
    port: 53,
    socket: {
      // Every name is 192.0.2.53 (RFC 1035): the question, and one answer that points back to it.
      data(socket, query, port, address) {
        const question = query.subarray(12, query.indexOf(0, 12) + 5);
        const isA = question.readUInt16BE(question.length - 4) === 1;
        const head = Buffer.from([query[0] ?? 0, query[1] ?? 0, 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]);
        const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 53]);
        socket.send(Buffer.concat([head, question, ...(isA ? [answer] : [])]), port, address);
      },
    },
  });
  const socket = await server;
  try {
    const script = "cat /etc/resolv.conf /etc/hosts; nslookup server.example.com";
    const running = rkt.start([
      ...[insecure, "run", KVM, "--net=default", "--dns=172.16.28.1", "--hosts-entry=192.0.2.9=other"],
      ...[busybox, "--exec=/bin/sh", "--", "-c", script],
    ]);
    const { stdout } = await running.ended;
    expect(stdout).toContain("nameserver 172.16.28.1");
    expect(stdout).toMatch(/192\.0\.2\.9 other/);
    expect(stdout).toContain("192.0.2.53");
  } finally {
    socket.close();
  }
});

test("an app finds the metadata service at AC_METADATA_URL", async () => {
  const service = rkt.start(["metadata-service"]);
  await until("the service", () => service.stderr().includes("metadata service running"));
  try {
    const script = "wget -q -O - --header 'Metadata-Flavor: AppContainer' $AC_METADATA_URL/acMetadata/v1/pod/uuid";
    const file = join(rkt.dir, "uuid-metadata");
    const running = rkt.start([
      ...[insecure, "run", KVM, "--net=default", "--mds-register", `--uuid-file-save=${file}`],
      ...[busybox, "--exec=/bin/sh", "--", "-c", script],
    ]);
    const { stdout, stderr } = await running.ended;
    expect(`${stdout}${stderr}`).toContain(readFileSync(file, "utf8").trim());
    expect(stdout.replaceAll("\r", "")).toStartWith(readFileSync(file, "utf8").trim());
  } finally {
    service.kill("SIGTERM");
    await service.ended;
  }
});
