/** Puts forwarded ports into the kernel and takes them out. IPv4. */

import { readFileSync, writeFileSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { printable, quoted } from "../core/text.ts";
import { forwardingRules, removalRules } from "./port-rules.ts";
import { findExecutable, type ProgramResult, programEnvironment, runProgram, systemPath } from "./program.ts";
import type { ForwardedPort } from "./types.ts";

/**
 * Forwards `ports` of the host to `podIp`, from outside, from the host's own addresses and from 127.0.0.1. Throws UNSUPPORTED when the kernel has no
 * nat table, HOST_PROGRAM when iptables is missing or fails; the rules are one transaction, so nothing is left then.
 */
export async function forwardPorts(uuid: string, podIp: string, ports: readonly ForwardedPort[]): Promise<void> {
  enableLocalRouting(podIp);
  const result = await iptables("iptables-restore", ["--noflush", "--wait"], forwardingRules(uuid, podIp, ports));
  if (result.status !== 0) throw firewallFailure("forward ports", result);
}

/** Removes what {@link forwardPorts} made; fine when there is nothing, or no nat table that could hold it. Throws HOST_PROGRAM. */
export async function unforwardPorts(uuid: string): Promise<void> {
  const saved = await iptables("iptables-save", ["-t", "nat"], "");
  if (saved.status !== 0) {
    const failure = firewallFailure("list forwarded ports", saved);
    if (failure.code === "UNSUPPORTED") return;
    throw failure;
  }
  const rules = removalRules(uuid, saved.stdout);
  if (rules === undefined) return;
  const result = await iptables("iptables-restore", ["--noflush", "--wait"], rules);
  if (result.status !== 0) throw firewallFailure("remove forwarded ports", result);
}

async function iptables(program: string, args: readonly string[], input: string): Promise<ProgramResult> {
  const path = findExecutable(program, systemPath().split(":"));
  if (path === undefined) {
    throw new RktError("HOST_PROGRAM", `Cannot forward ports: the program ${quoted(program)} is missing`, {
      hint: "install iptables",
    });
  }
  return runProgram([path, ...args], programEnvironment(), input);
}

/** What iptables (legacy: "unable to initialize table 'nat'"; nft: "Failed to initialize nft", "missing kernel module") says on a kernel without NAT. */
const NO_NAT_TABLE = /initiali[sz]e|table [`'"]?nat|missing kernel module|No chain\/target\/match/i;

function firewallFailure(action: string, { status, stderr }: ProgramResult): RktError {
  const words = printable(stderr.trim().replaceAll("\n", "; "), 1000);
  if (NO_NAT_TABLE.test(stderr)) {
    return new RktError("UNSUPPORTED", `Cannot ${action}: iptables cannot use the kernel's "nat" table: ${words}`, {
      hint: "the kernel needs NAT and the addrtype match (modules iptable_nat or nft_chain_nat, xt_nat, xt_MASQUERADE, xt_addrtype)",
    });
  }
  return new RktError("HOST_PROGRAM", `Cannot ${action}: iptables failed with status ${status}: ${words}`);
}

/**
 * A packet from 127.0.0.1 may leave through the pod's interface (ip-sysctl: route_localnet), or the host could not reach its own forwarded port by "localhost".
 * Only on the interface that leads to the pod; it ends with the pod where the interface does (ptp).
 */
function enableLocalRouting(podIp: string): void {
  const name = interfaceTowards(podIp, readFileSync("/proc/net/route", "utf8"));
  if (name === undefined) {
    throw new RktError("SYSTEM_CALL", `Cannot forward ports: the host has no route to the pod's address ${podIp}`);
  }
  const file = `/proc/sys/net/ipv4/conf/${name}/route_localnet`;
  try {
    if (readFileSync(file, "utf8").trim() !== "1") writeFileSync(file, "1");
  } catch (cause) {
    throw new RktError("SYSTEM_CALL", `Cannot forward ports: ${quoted(file)} cannot be set to 1`, { cause });
  }
}

/** The interface that the routing table (text of /proc/net/route) names for an address: longest prefix, lowest metric; no rejecting route. */
export function interfaceTowards(ip: string, table: string): string | undefined {
  const RTF_UP = 0x1;
  const RTF_REJECT = 0x200;
  // The file prints addresses as the number that the bytes are in memory: the first byte is the lowest (little-endian machines, the only ones supported).
  const target = ip.split(".").reduceRight((number, byte) => number * 256 + Number(byte), 0);
  let best: { name: string; prefix: number; metric: number } | undefined;
  for (const line of table.split("\n").slice(1)) {
    const [name, destination, , flags, , , metric, mask] = line.trim().split(/\s+/);
    if (name === undefined || mask === undefined) continue;
    const bits = Number.parseInt(flags ?? "", 16);
    const network = Number.parseInt(mask, 16);
    if ((bits & RTF_UP) === 0 || (bits & RTF_REJECT) !== 0) continue;
    if ((target & network) >>> 0 !== Number.parseInt(destination ?? "", 16)) continue;
    const prefix = network.toString(2).replaceAll("0", "").length;
    const candidate = { name, prefix, metric: Number(metric) };
    if (best === undefined || prefix > best.prefix || (prefix === best.prefix && candidate.metric < best.metric)) {
      best = candidate;
    }
  }
  return best?.name;
}
