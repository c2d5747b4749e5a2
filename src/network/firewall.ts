/** Which program of the host keeps its firewall: iptables, of either kind, or nft where there is no iptables. Rules are removed by the one that made them. */

import { readFileSync, realpathSync } from "node:fs";
import { RktError } from "../core/errors.ts";
import { printable, quoted } from "../core/text.ts";
import { isErrno } from "../host/errno.ts";
import { findExecutable, type ProgramResult, programEnvironment, runProgram, systemPath } from "./program.ts";

/** "iptables": of a kind that its file does not tell; that the system's default program handles it is the best guess. */
export const FIREWALLS = ["iptables-nft", "iptables-legacy", "iptables", "nft"] as const;
export type Firewall = (typeof FIREWALLS)[number];

/** The host's firewall. Throws HOST_PROGRAM when there is none. */
export function hostFirewall(): Firewall {
  const iptables = find("iptables-restore");
  if (iptables !== undefined) {
    const program = realpathSync(iptables);
    return program.includes("nft") ? "iptables-nft" : program.includes("legacy") ? "iptables-legacy" : "iptables";
  }
  if (find("nft") !== undefined) return "nft";
  throw new RktError("HOST_PROGRAM", `Cannot forward ports: the programs "iptables" and "nft" are missing`, {
    hint: "install iptables or nftables",
  });
}

/** Runs `iptables-restore` or `ip6tables-restore` of that kind. Throws as {@link run}. */
export async function restoreRules(firewall: Firewall, family: 4 | 6, rules: string, action: string): Promise<void> {
  await run(iptables(firewall, family, "restore"), ["--noflush", "--wait"], rules, action);
}

/**
 * What `iptables-save` or `ip6tables-save` of that kind prints of one table; "" where the kernel lacks it. `tables` are looked at one by one: a table that is not in
 * use yet must not be made by looking (legacy).
 */
export async function savedRules(firewall: Firewall, family: 4 | 6, tables: readonly string[]): Promise<string> {
  const texts: string[] = [];
  for (const table of tables) {
    if (firewall === "iptables-legacy" && !legacyTables(family).includes(table)) continue;
    try {
      texts.push(await run(iptables(firewall, family, "save"), ["-t", table], "", "list forwarded ports"));
    } catch (error) {
      if (!(error instanceof RktError && error.code === "UNSUPPORTED")) throw error;
    }
  }
  return texts.join("");
}

/** The tables that the legacy firewall has in the current network namespace. */
function legacyTables(family: 4 | 6): string[] {
  try {
    return readFileSync(`/proc/net/${family === 4 ? "ip" : "ip6"}_tables_names`, "utf8").split("\n");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return []; // Its module is not loaded.
    throw error;
  }
}

/** Runs `nft` with rules on its input, or with `args`. */
export async function nft(args: readonly string[], rules: string, action: string): Promise<string> {
  return run("nft", args, rules, action);
}

/** "iptables-nft-save", or the default program where that one is not installed. */
function iptables(firewall: Firewall, family: 4 | 6, what: "restore" | "save"): string {
  const base = family === 4 ? "iptables" : "ip6tables";
  const own = `${firewall.replace("iptables", base)}-${what}`;
  return find(own) === undefined ? `${base}-${what}` : own;
}

/** Throws UNSUPPORTED when the kernel lacks the table, HOST_PROGRAM when the program is missing or fails. */
async function run(program: string, args: readonly string[], input: string, action: string): Promise<string> {
  const path = find(program);
  if (path === undefined) {
    throw new RktError("HOST_PROGRAM", `Cannot ${action}: the program ${quoted(program)} is missing`, {
      hint: `install ${program === "nft" ? "nftables" : "iptables"}`,
    });
  }
  const result = await runProgram([path, ...args], programEnvironment(), input);
  if (result.status !== 0) throw failure(program, action, result);
  return result.stdout;
}

/** What iptables (legacy: "unable to initialize table 'nat'"; nft: "Failed to initialize nft", "missing kernel module") says on a kernel without NAT. */
const NO_TABLE = /initiali[sz]e|table [`'"]?(?:nat|raw)|missing kernel module|No chain\/target\/match/i;

function failure(program: string, action: string, { status, stderr }: ProgramResult): RktError {
  const words = printable(stderr.trim().replaceAll("\n", "; "), 1000);
  if (NO_TABLE.test(stderr)) {
    return new RktError("UNSUPPORTED", `Cannot ${action}: iptables cannot use the kernel's "nat" table: ${words}`, {
      hint: "the kernel needs NAT and the addrtype match (modules iptable_nat or nft_chain_nat, xt_nat, xt_MASQUERADE, xt_addrtype)",
    });
  }
  return new RktError("HOST_PROGRAM", `Cannot ${action}: ${program} failed with status ${status}: ${words}`);
}

function find(program: string): string | undefined {
  return findExecutable(program, systemPath().split(":"));
}

/** Every firewall program that is installed, for a look at what others than today's default may have left. */
export function installedFirewalls(): Firewall[] {
  const kinds = FIREWALLS.filter((kind) => kind !== "iptables" && find(kind === "nft" ? kind : `${kind}-save`));
  return kinds.some((kind) => kind !== "nft") || find("iptables-save") === undefined ? kinds : ["iptables", ...kinds];
}
