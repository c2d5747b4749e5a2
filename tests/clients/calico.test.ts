/** calico-node's unit: stage1-fly by its path. Needs root. */

import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { dirname, join } from "node:path";
import { caller, hostFile } from "../harness/clients.ts";
import { buildAci } from "../harness/images.ts";
import { RKT, type TestRkt, testRkt } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const calico = caller("calico");
let rkt: TestRkt;
beforeAll(() => {
  rkt = testRkt();
});
afterAll(() => rkt?.[Symbol.dispose]());

calico.covers(
  ["rkt run --stage1-path=S --insecure-options=image --volume=… --mount volume=… IMG"],
  "the agent works on the host's own network, and sees the host's directory",
  () => {
    const aci = join(rkt.dir, "node.aci");
    const script = "cat /run/calico/file; readlink /proc/self/ns/net; echo written > /run/calico/new";
    buildAci(aci, { name: "quay.io/calico/node", app: { exec: ["/bin/sh", "-c", script], user: "0", group: "0" } });
    const run = hostFile(rkt, "run");
    const stage1 = join(dirname(RKT), "stage1-fly.aci");
    const words = [`--stage1-path=${stage1}`, "--insecure-options=image", `--volume=run,kind=host,source=${run}`];
    const ran = rkt.run(["run", ...words, "--mount", "volume=run,target=/run/calico", aci]);
    const net = Bun.spawnSync(["readlink", "/proc/self/ns/net"]).stdout.toString();
    expect([ran.status, ran.stdout]).toEqual([0, `from run\n${net}`]);
    expect(Bun.spawnSync(["cat", join(run, "new")]).stdout.toString()).toBe("written\n");
  },
);

calico.nothingLeftOut();
