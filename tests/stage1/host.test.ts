/** The whole suite, or, where the host's own systemd cannot run a pod (systemd 256 and later on cgroup v1 controllers), that rkt says so before anything is started. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { hostSystemdRunsPods, hostSystemdVersion } from "../harness/host-systemd.ts";
import { buildAci } from "../harness/images.ts";
import { testRkt } from "../harness/rkt.ts";
import { stage1Suite } from "./suite.ts";

if (hostSystemdRunsPods()) stage1Suite("host");
else
  test("stage1 host > a systemd that does not support the host's cgroups is refused, with a way out", () => {
    using rkt = testRkt();
    const aci = join(rkt.dir, "busybox.aci");
    buildAci(aci);
    const result = rkt.run([
      ...["--insecure-options=image", "run", "--stage1-name=coreos.com/rkt/stage1-host", "--net=none", aci],
    ]);
    expect(result.status).toBe(254);
    expect(result.stderr).toContain(
      `version ${hostSystemdVersion()} does not support this host's cgroup v1 controllers`,
    );
    expect(result.stderr).toContain("--stage1-name=coreos.com/rkt/stage1-nspawn");
  });
