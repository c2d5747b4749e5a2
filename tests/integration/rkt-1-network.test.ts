/** The network of a pod of rkt 1.x is given back from what its directory says, whatever has become of the stage1 that made it. Needs root, iptables, containernetworking-plugins. */

import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { root, sh, traces, tracesBefore, useNetworkHost } from "../harness/network-host.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { buildRkt1Stage1, layOutRkt1, type Rkt1Directory, type Rkt1Image } from "../harness/rkt-1.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

useNetworkHost(() => {});

/** rkt 1.x's built-in network. */
const DEFAULT = {
  ...{ cniVersion: "0.1.0", name: "default", type: "ptp", ipMasq: true },
  ipam: { type: "host-local", subnet: "172.16.28.0/24", routes: [{ dst: "0.0.0.0/0" }] },
};

let rkt: TestRkt;
let old: Rkt1Directory;
let app: Rkt1Image;
beforeEach(() => {
  if (!root) return;
  rkt = testRkt();
  old = layOutRkt1(rkt.dataDir);
  const aci = join(rkt.dir, "app.aci");
  buildAci(aci, { name: "example.com/app" });
  app = old.image(aci);
});
afterEach(() => rkt?.[Symbol.dispose]());

/** An ended pod with the network, the namespace and the forwarded port (8080 to 80) that rkt 1.x made for it. */
function podWithNetwork(gc: string): string {
  const aci = join(rkt.dir, "stage1.aci");
  buildRkt1Stage1(aci, join(rkt.dir, "calls"), gc);
  const stage1 = old.image(aci);
  const netns = `cni-${crypto.randomUUID()}`;
  const uuid = old.pod({ image: app, stage1, mounted: true, files: { netns: `/var/run/netns/${netns}` } });
  const pod = old.podDir("run", uuid);
  sh(`ip netns add ${netns}`);
  const conf = JSON.stringify(DEFAULT);
  const added = runProgram(["/usr/lib/cni/ptp"], {
    input: conf,
    env: {
      ...{ CNI_COMMAND: "ADD", CNI_CONTAINERID: uuid, CNI_NETNS: `/var/run/netns/${netns}`, CNI_IFNAME: "eth0" },
      ...{ CNI_PATH: "/usr/lib/cni", CNI_ARGS: "" },
    },
  });
  const ip = (JSON.parse(added) as { ip4: { ip: string } }).ip4.ip.split("/")[0] ?? "";
  mkdirSync(join(pod, "net"));
  writeFileSync(join(pod, "net/99-default.conf"), conf);
  const info = {
    ...{ netName: "default", netConf: "net/99-default.conf", pluginPath: "stage1/rootfs/usr/lib/rkt/plugins/net/ptp" },
    ...{ ifName: "eth0", ip, args: "", mask: "255.255.255.0" },
  };
  writeFileSync(join(pod, "net-info.json"), JSON.stringify([info]));
  const [dnat, snat] = [`RKT-PFWD-DNAT-${uuid.slice(0, 8)}`, `RKT-PFWD-SNAT-${uuid.slice(0, 8)}`];
  for (const rule of [
    ...[`-N ${dnat}`, `-N ${snat}`],
    `-I POSTROUTING 1 -s 127.0.0.1 ! -d 127.0.0.1 -j ${snat}`,
    ...["PREROUTING", "OUTPUT"].map((chain) => `-I ${chain} 1 -m addrtype --dst-type LOCAL -j ${dnat}`),
    `-A ${dnat} -p tcp --dport 8080 -j DNAT --to-destination ${ip}:80`,
    `-A ${snat} -p tcp -s 127.0.0.1 -d ${ip} --dport 80 -j MASQUERADE`,
  ])
    sh(`iptables -w -t nat ${rule}`);
  expect(rkt.ok(["list", "--no-legend"])).toContain(`default:ip4=${ip}`);
  expect(traces()).toContain(dnat);
  return uuid;
}

for (const [what, gc] of [
  ["fails", "exit 1"],
  ["does nothing", "exit 0"],
] as const) {
  test.skipIf(!root)(`when its own stage1 ${what}`, () => {
    const uuid = podWithNetwork(gc);
    const removed = rkt.run(["rm", uuid]);
    expect([removed.status, removed.stdout, removed.stderr]).toEqual([0, `"${uuid}"\n`, ""]);
    expect(traces()).toBe(tracesBefore());
  });
}

test.skipIf(!root)("when its own stage1 is gone", () => {
  const uuid = podWithNetwork("exit 0");
  sh(`umount -R ${join(old.podDir("run", uuid), "stage1/rootfs")} && rm -r ${join(rkt.dataDir, "cas/tree")}/deps-*`);
  rkt.ok(["gc", "--grace-period=0s"]);
  expect([rkt.pods(), traces()]).toEqual([[], tracesBefore()]);
});

test.skipIf(!root)("and when that does it, it is not done twice", () => {
  const done = join(rkt.dir, "done");
  const gc = `ip netns del "$(basename "$(cat netns)")"; rm -rf net /var/lib/cni/networks/default; touch ${done}`;
  const uuid = podWithNetwork(gc);
  rkt.ok(["rm", uuid]);
  expect([existsSync(done), rkt.pods()]).toEqual([true, []]);
  sh("iptables -w -t nat -F && iptables -w -t nat -X");
});
