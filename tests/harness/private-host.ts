/**
 * Namespaces of mounts and of the network of this test program's own, which play the host: no routes but loopback, no interfaces, no firewall rules, no leases,
 * an empty /run/netns. What else runs on the machine meanwhile neither sees nor disturbs it.
 */

import { mkdirSync } from "node:fs";
import { CLONE, MS } from "../../src/host/constants.ts";
import { linux } from "../../src/host/linux.ts";

/** For the rest of this process' life; call it once, before anything is mounted or started. Needs root. */
export function enterPrivateHost(): void {
  linux.unshare(CLONE.NEWNS | CLONE.NEWNET);
  linux.mount(null, "/", null, MS.REC | MS.PRIVATE, null);
  linux.interfaceUp("lo");
  for (const directory of ["/var/lib/cni", "/run/rkt", "/run/netns"]) {
    mkdirSync(directory, { recursive: true });
    linux.mount("tmpfs", directory, "tmpfs", 0, null);
  }
}
