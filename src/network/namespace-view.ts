/** What is in a network namespace, seen from inside. */

import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { CLONE } from "../host/constants.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { joinNetns } from "./netns.ts";
import { ip6Bytes } from "./routes.ts";

export interface NamespaceView {
  readonly interfaces: ReadonlySet<string>;
  hasAddress(ip: string): boolean;
}

/** Looks into the namespace at `path`; this process is back in its own when it returns. Synchronous, on the main thread: /proc/self/net is that thread's. */
export function viewNamespace(host: Host, path: string): NamespaceView {
  const own = openSync("/proc/self/ns/net", "r");
  let texts: readonly [devices: string, trie: string, addresses6: string];
  try {
    joinNetns(host, path);
    try {
      texts = [read("/proc/self/net/dev"), read("/proc/self/net/fib_trie"), read("/proc/self/net/if_inet6")];
    } finally {
      host.setns(own, CLONE.NEWNET);
    }
  } finally {
    closeSync(own);
  }
  return parseView(...texts);
}

/** Pure. The texts of /proc/net/dev, fib_trie and if_inet6. */
export function parseView(devices: string, trie: string, addresses6: string): NamespaceView {
  const local4 = new Set([...trie.matchAll(/\|-- (\S+)\n\s*\/32 host LOCAL/g)].map((match) => match[1] ?? ""));
  const local6 = new Set(addresses6.split("\n").map((line) => line.trim().slice(0, 32)));
  return {
    interfaces: new Set([...devices.matchAll(/^\s*([^\s:|]+):/gm)].map((match) => match[1] ?? "")),
    hasAddress: (ip) =>
      ip.includes(":") ? local6.has(Buffer.from(ip6Bytes(ip) ?? []).toString("hex")) : local4.has(ip),
  };
}

/** The namespaces (as readlink(2) of /proc/PID/ns/net shows them) that have a process, each with one of its processes. */
export function inhabitedNamespaces(): Map<string, number> {
  const found = new Map<string, number>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      found.set(readlinkSync(`/proc/${entry}/ns/net`), Number(entry));
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ESRCH", "EACCES")) throw error;
    }
  }
  return found;
}

/** "" where the kernel lacks IPv6. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "";
    throw error;
  }
}
