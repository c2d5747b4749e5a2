/**
 * What makes the host's loopback addresses lead into a pod: the host's interface towards it must let packets of 127.0.0.0/8 out (route_localnet), and answers to ::1 in
 * (a local route). An interface may be shared by pods (a bridge): it is given back its old state when the last of them is gone. Which pods use it, and what it was
 * before, is written in /run/rkt/links/INTERFACE/UUID.
 */

import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { lockWithBackoff } from "../host/lock.ts";

const LINKS = "/run/rkt/links";

/** Milliseconds. What is done under the lock takes less than one. */
const PATIENCE = 10_000;

/** An interface's name becomes part of paths: nothing that leads elsewhere (the kernel refuses "/" and white space, and "." and ".."). */
const INTERFACE = /^(?!\.\.?$)[^/\s]{1,15}$/;

/**
 * Opens the interface for the host's 127.0.0.0/8 (`families` has 4) and ::1 (6). The rules that guard it are in place before (port-rules.ts). Throws SYSTEM_CALL.
 */
export async function openLink(host: Host, uuid: string, link: string, families: readonly (4 | 6)[]): Promise<void> {
  await withLock(host, () => {
    const users = usersOf(link);
    const before = users.map((user) => readOr(join(LINKS, link, user), "")).find((text) => text !== "");
    const now = families.includes(4) ? routeLocalnet(link) : "0";
    mkdirSync(join(LINKS, link), { recursive: true, mode: 0o755 });
    // Written before anything is changed, so that a teardown after a crash finds it.
    writeFileSync(join(LINKS, link, uuid), before ?? now, { mode: 0o644 });
    try {
      if (now !== "1" && families.includes(4)) writeFileSync(localnetFile(link), "1");
      if (families.includes(6)) addLoopbackRoute(host, link);
    } catch (cause) {
      throw new RktError(
        "SYSTEM_CALL",
        `Cannot forward ports: ${quoted(link)} cannot be opened for loopback addresses`,
        {
          cause,
        },
      );
    }
  });
}

/** Gives up a pod's use of the interface; the last one gives it back its state. Fine when there is nothing. */
export async function closeLink(host: Host, uuid: string, link: string): Promise<void> {
  if (!INTERFACE.test(link)) throw new RktError("INVALID_INPUT", `Cannot use ${quoted(link)}: expected an interface`);
  await withLock(host, () => {
    const file = join(LINKS, link, uuid);
    const before = readOr(file, undefined);
    if (before === undefined) return;
    if (usersOf(link).every((user) => user === uuid)) {
      if (before === "0" && routeLocalnet(link) === "1") writeFileSync(localnetFile(link), "0");
      removeLoopbackRoute(host, link);
      unlinkSync(file);
      rmdirSync(join(LINKS, link));
    } else unlinkSync(file);
  });
}

/** Interfaces that pods have opened, and the pods. */
export function openLinks(): { link: string; uuid: string }[] {
  return listed(LINKS).flatMap((link) => usersOf(link).map((uuid) => ({ link, uuid })));
}

/** Whether an interface still lets 127.0.0.0/8 out. */
export function isOpen(link: string): boolean {
  return routeLocalnet(link) === "1";
}

async function withLock(host: Host, action: () => void): Promise<void> {
  mkdirSync(LINKS, { recursive: true, mode: 0o755 });
  const fd = openSync(LINKS, "r");
  try {
    await lockWithBackoff(host, fd, "exclusive", { what: quoted(LINKS), timeout: PATIENCE });
    action();
  } finally {
    closeSync(fd);
  }
}

function usersOf(link: string): string[] {
  return listed(join(LINKS, link));
}

function listed(dir: string): string[] {
  try {
    return readdirSync(dir).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** ip-sysctl (Documentation/networking/ip-sysctl.rst). */
function localnetFile(link: string): string {
  if (!INTERFACE.test(link)) throw new RktError("INVALID_INPUT", `Cannot use ${quoted(link)}: expected an interface`);
  return `/proc/sys/net/ipv4/conf/${link}/route_localnet`;
}

/** "0", "1", or "" where the interface is gone. */
function routeLocalnet(link: string): string {
  return (readOr(localnetFile(link), "") ?? "").trim();
}

function readOr<T>(path: string, otherwise: T): string | T {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return otherwise;
    throw error;
  }
}

/**
 * Answers to ::1 come back over the pod's link, and the kernel looks for a route of loopback addresses on the link that a packet came by (rt6_need_strict in
 * net/ipv6/route.c). Packets that have ::1 on the wire are dropped before that (ip6_rcv), so this opens nothing. The metric puts it behind the real one.
 */
function addLoopbackRoute(host: Host, link: string): void {
  const [RTM_NEWROUTE, NLM_F_CREATE, NLM_F_EXCL] = [24, 0x400, 0x200];
  const index = interfaceIndex(link);
  if (index === undefined) return;
  try {
    host.routeRequest(loopbackRoute(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, index));
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

function removeLoopbackRoute(host: Host, link: string): void {
  const RTM_DELROUTE = 25;
  const index = interfaceIndex(link);
  if (index === undefined) return;
  try {
    host.routeRequest(loopbackRoute(RTM_DELROUTE, 0, index));
  } catch (error) {
    if (!isErrno(error, "ESRCH", "ENODEV")) throw error;
  }
}

/** Behind the route of the loopback interface; a metric for each link, or the kernel takes a second route for the first. */
const LAST = 2048;

/** struct nlmsghdr, struct rtmsg and three attributes (rtnetlink(7)): `local ::1 dev LINK table local metric 2048+INDEX`. */
function loopbackRoute(type: number, flags: number, index: number): Uint8Array {
  const [NLM_F_REQUEST, NLM_F_ACK, AF_INET6, RT_TABLE_LOCAL, RTPROT_STATIC, RTN_LOCAL] = [1, 4, 10, 255, 4, 2];
  const [RTA_DST, RTA_OIF, RTA_PRIORITY] = [1, 4, 6];
  const message = Buffer.alloc(64);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(type, 4);
  message.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK | flags, 6);
  message.set([AF_INET6, 128, 0, 0, RT_TABLE_LOCAL, RTPROT_STATIC, 0, RTN_LOCAL], 16);
  message.writeUInt16LE(20, 28);
  message.writeUInt16LE(RTA_DST, 30);
  message[47] = 1; // ::1
  message.writeUInt16LE(8, 48);
  message.writeUInt16LE(RTA_OIF, 50);
  message.writeUInt32LE(index, 52);
  message.writeUInt16LE(8, 56);
  message.writeUInt16LE(RTA_PRIORITY, 58);
  message.writeUInt32LE(LAST + index, 60);
  return message;
}

/** From /proc, which shows the network namespace that this process is in; /sys shows the one that it was mounted in. */
function interfaceIndex(link: string): number | undefined {
  const lines = (readOr("/proc/net/if_inet6", "") ?? "").split("\n");
  const found = lines.map((line) => line.trim().split(/\s+/)).find((words) => words[5] === link);
  return found?.[1] === undefined ? undefined : Number.parseInt(found[1], 16);
}
