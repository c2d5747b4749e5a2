/** Addresses that the plugin host-local has given out: a file an address, in it the container's id and the interface (its README; unchanged since CNI 0.1). */

import { closeSync, openSync, readdirSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { objectOf, textOf } from "../core/json.ts";
import { isUuid } from "../core/uuid.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { lockWithBackoff } from "../host/lock.ts";
import { ipVersion } from "../spec/ip.ts";
import type { NetworkConf } from "./conf.ts";

export interface Lease {
  readonly network: string;
  readonly ip: string;
  /** The pod's UUID: leases of other runtimes' containers are not looked at. */
  readonly uuid: string;
  readonly ifName: string | undefined;
  readonly path: string;
}

/** The leases of pods in a network. */
export function leasesOf(conf: NetworkConf): Lease[] {
  return leaseDirs(conf).flatMap((dir) =>
    listed(dir).flatMap((file) => {
      // host-local writes "_" for the colons of IPv6 addresses where a file system does not bear them; on Linux the name is the address.
      const ip = file.replaceAll("_", ":");
      if (ipVersion(ip) === 0) return [];
      const [uuid = "", ifName] = readFileSync(join(dir, file), "utf8").trim().split(/\r?\n/);
      return isUuid(uuid) ? [{ network: conf.name, ip, uuid, ifName, path: join(dir, file) }] : [];
    }),
  );
}

/** Gives the address back, unless it has another owner by now. Under the plugin's own lock. */
export async function releaseLease(host: Host, lease: Lease): Promise<void> {
  const lock = openSync(join(lease.path, "..", "lock"), "a", 0o600);
  try {
    await lockWithBackoff(host, lock, "exclusive", { what: `the leases of network ${lease.network}`, timeout: 10_000 });
    if (readFileSync(lease.path, "utf8").startsWith(lease.uuid)) unlinkSync(lease.path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  } finally {
    closeSync(lock);
  }
}

function leaseDirs(conf: NetworkConf): string[] {
  const dirs = conf.plugins.flatMap(({ fields }) => {
    const ipam = objectOf(fields.ipam);
    return ipam.type === "host-local" ? [join(textOf(ipam.dataDir) ?? "/var/lib/cni/networks", conf.name)] : [];
  });
  return [...new Set(dirs)];
}

function listed(dir: string): string[] {
  try {
    return readdirSync(dir).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
