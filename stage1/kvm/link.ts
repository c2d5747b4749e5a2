/**
 * The pod's networks, led into the machine. CNI's plugins have made an interface in the pod's network namespace, with addresses and routes. It stays as it is (what the plugins check
 * and take down is there), but every frame that arrives at it goes to a tap interface, whose other end is the guest's, and every frame of the guest's leaves by it (tc-mirred(8)). The guest has its
 * hardware address, its addresses and its routes. So every plugin works that gives an interface of Ethernet's kind.
 */

import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { basename, join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { AT_FDCWD, CLONE, type Host, O } from "../../src/host/mod.ts";
import type { NetworkResult } from "../../src/network/mod.ts";
import type { Link } from "./hypervisor.ts";

/** An interface of the guest's. */
export interface GuestLink {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** `IP/PREFIX`. */
  readonly addresses: readonly string[];
  readonly routes: readonly GuestRoute[];
}

export interface GuestRoute {
  /** `IP/PREFIX`. */
  readonly to: string;
  readonly gateway: string | undefined;
  readonly source: string | undefined;
  readonly metric: number;
}

/** Makes the taps. In the host's network namespace, before anything is unshared. Throws HOST_PROGRAM, SYSTEM_CALL. */
export function linkMachine(host: Host, network: NetworkResult): { links: Link[]; guest: GuestLink[] } {
  const namespace = basename(network.netnsPath);
  const names = network.interfaces.map(({ ifName }) => ifName);
  if (names.length === 0) return { links: [], guest: [] };
  const ip = (...words: string[]): unknown => JSON.parse(program("ip", ["-n", namespace, "-json", ...words]));
  const shown = objects(ip("address", "show"));
  const routes = [
    ...objects(ip("-4", "route", "show", "table", "main")),
    ...objects(ip("-6", "route", "show", "table", "main")),
  ];
  const taps = names.map((name, index) => ({ name, tap: `tap${index}` }));
  const fds = makeTaps(
    host,
    network.netnsPath,
    taps.map(({ tap }) => tap),
  );
  const guest = names.map((name) => guestLink(name, shown, routes));
  const bring = taps.map(({ tap }, index) => `link set dev ${tap} mtu ${guest[index]?.mtu ?? 1500} up\n`).join("");
  program("ip", ["-n", namespace, "-batch", "-"], bring);
  const redirect = (from: string, to: string) =>
    `qdisc add dev ${from} ingress\nfilter add dev ${from} parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev ${to}\n`;
  program(
    "tc",
    ["-n", namespace, "-batch", "-"],
    taps.map(({ name, tap }) => redirect(name, tap) + redirect(tap, name)).join(""),
  );
  return { links: taps.map(({ tap }, index) => ({ tap, fd: fds[index] ?? -1, mac: guest[index]?.mac ?? "" })), guest };
}

/** Pure: from what ip-address(8) and ip-route(8) tell. */
export function guestLink(
  name: string,
  shown: readonly Readonly<Record<string, unknown>>[],
  routes: readonly Readonly<Record<string, unknown>>[],
): GuestLink {
  const link = shown.find((one) => one["ifname"] === name);
  if (link === undefined || typeof link["address"] !== "string" || link["link_type"] !== "ether")
    throw new RktError(
      "UNSUPPORTED",
      `Cannot give a virtual machine the interface ${quoted(name)}: it is not of Ethernet's kind`,
    );
  // Each side makes its own link-local address from the hardware address, which is the same.
  const addresses = objects(link["addr_info"]).filter(({ scope }) => scope !== "link");
  return {
    name,
    mac: link["address"],
    mtu: typeof link["mtu"] === "number" ? link["mtu"] : 1500,
    addresses: addresses.map(({ local, prefixlen }) => `${String(local)}/${String(prefixlen)}`),
    routes: routes
      .filter(({ dev, dst }) => dev === name && !String(dst).startsWith("fe80:"))
      .map(guestRoute)
      .sort(gatewaysLast),
  };
}

function guestRoute({ dst, gateway, prefsrc, metric }: Readonly<Record<string, unknown>>): GuestRoute {
  const via = typeof gateway === "string" ? gateway : undefined;
  const everything = via?.includes(":") === true ? "::/0" : "0.0.0.0/0";
  const to = dst === "default" ? everything : String(dst);
  return {
    to: to.includes("/") ? to : `${to}/${to.includes(":") ? 128 : 32}`,
    gateway: via,
    source: typeof prefsrc === "string" ? prefsrc : undefined,
    metric: typeof metric === "number" ? metric : 0,
  };
}

/** The kernel takes a gateway only when it knows the way to it. */
function gatewaysLast(a: GuestRoute, b: GuestRoute): number {
  return Number(a.gateway !== undefined) - Number(b.gateway !== undefined);
}

/** In the pod's namespace, for as long as the descriptors are open; synchronous, and back in the host's when it returns. */
function makeTaps(host: Host, netns: string, names: readonly string[]): number[] {
  const own = openSync("/proc/self/ns/net", "r");
  const pod = openSync(netns, "r");
  try {
    host.setns(pod, CLONE.NEWNET);
    try {
      return names.map((name) => {
        const fd = host.openat(AT_FDCWD, "/dev/net/tun", O.RDWR | O.CLOEXEC, 0);
        host.attachTap(fd, name);
        return fd;
      });
    } finally {
      host.setns(own, CLONE.NEWNET);
    }
  } finally {
    closeSync(own);
    closeSync(pod);
  }
}

const DIRECTORIES = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Of the host's iproute2. */
function program(name: string, words: readonly string[], input = ""): string {
  const path = DIRECTORIES.map((directory) => join(directory, name)).find((one) => existsSync(one));
  if (path === undefined)
    throw new RktError(
      "HOST_PROGRAM",
      `Cannot find ${quoted(name)} on this host, which leads networks into a virtual machine`,
      {
        hint: "install Debian's package iproute2",
      },
    );
  const env = { PATH: DIRECTORIES.join(":"), LC_ALL: "C" };
  const { status, stdout, stderr, error } = spawnSync(path, words, { input, encoding: "utf8", env });
  if (status === 0) return stdout;
  throw new RktError(
    "HOST_PROGRAM",
    `Cannot lead the network into the virtual machine: ${quoted([name, ...words].join(" "))}: ${quoted((stderr ?? "").trim())}`,
    error === undefined ? {} : { cause: error },
  );
}

function objects(value: unknown): Readonly<Record<string, unknown>>[] {
  if (!Array.isArray(value)) return [];
  return value.filter((one): one is Record<string, unknown> => typeof one === "object" && one !== null);
}
