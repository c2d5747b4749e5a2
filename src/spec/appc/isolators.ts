/**
 * Isolators: typed readers for those that rkt applies, and makers for command-line flags. The rules are in isolator-rules.ts.
 * Where one name stands several times, the last counts unless it says otherwise below, as in rkt 1.x.
 */

import { flag, type Place } from "../document.ts";
import type { JsonValue } from "../json-value.ts";
import {
  defaultLimit,
  ISOLATOR,
  knownIsolator,
  processes,
  apparmorProfile as readApparmorProfile,
  removeFilter,
  resource,
  retainFilter,
  type SeccompFilter,
  score,
  shares,
  textMap,
  textSet,
} from "./isolator-rules.ts";
import { parseQuantity, quantityMilli, quantityUnits } from "./quantity.ts";
import { readSeccompProfile, type SeccompProfile } from "./seccomp-profile.ts";
import type { Isolator } from "./types.ts";

export { ISOLATOR, type Resource, type SeccompFilter } from "./isolator-rules.ts";
export type { SeccompAction, SeccompProfile, SeccompRule } from "./seccomp-profile.ts";

/** Names of the capabilities, as written ("CAP_NET_ADMIN"); undefined when the isolator is absent. */
export interface CapabilitySets {
  readonly retain: readonly string[] | undefined;
  readonly remove: readonly string[] | undefined;
}

/** Memory limit in bytes. */
export function memoryLimit(isolators: readonly Isolator[]): number | undefined {
  const limit = read(isolators, ISOLATOR.memory, resource)?.limit;
  return limit === undefined ? undefined : quantityUnits(limit);
}

/** CPU limit in thousandths of a core. */
export function cpuLimitMilli(isolators: readonly Isolator[]): number | undefined {
  const limit = read(isolators, ISOLATOR.cpu, resource)?.limit;
  return limit === undefined ? undefined : quantityMilli(limit);
}

/** 2 to 262144. */
export function cpuShares(isolators: readonly Isolator[]): number | undefined {
  return read(isolators, ISOLATOR.cpuShares, shares);
}

/** -1000 to 1000. */
export function oomScoreAdj(isolators: readonly Isolator[]): number | undefined {
  return read(isolators, ISOLATOR.oomScoreAdj, score);
}

/** One of several that says so is enough, as in rkt 1.x. */
export function noNewPrivileges(isolators: readonly Isolator[]): boolean {
  return isolators.some(
    (one) => one.name === ISOLATOR.noNewPrivileges && read([one], ISOLATOR.noNewPrivileges, flag) === true,
  );
}

/** Sets of the same kind add up, as in rkt 1.x: what one of them takes away stays away. */
export function capabilitySets(isolators: readonly Isolator[]): CapabilitySets {
  const all = (name: string): string[] | undefined => {
    const sets = isolators.flatMap((one) => (one.name === name ? (read([one], name, textSet) ?? []) : []));
    return sets.length === 0 ? undefined : [...new Set(sets)];
  };
  return { retain: all(ISOLATOR.capsRetain), remove: all(ISOLATOR.capsRemove) };
}

/** The one filter; the schema refuses a second, and retain beside remove. */
export function seccompFilter(isolators: readonly Isolator[]): SeccompFilter | undefined {
  return read(isolators, ISOLATOR.seccompRetain, retainFilter) ?? read(isolators, ISOLATOR.seccompRemove, removeFilter);
}

/** The app is to run without a filter, not even the default one. */
export function asksForNoFilter(isolators: readonly Isolator[]): boolean {
  const filter = seccompFilter(isolators);
  return filter?.mode === "retain" && filter.set.includes("@appc.io/all");
}

/** A profile in Docker's form, in place of a filter. */
export function seccompProfile(isolators: readonly Isolator[]): SeccompProfile | undefined {
  return read(isolators, ISOLATOR.seccompProfile, readSeccompProfile);
}

export function apparmorProfile(isolators: readonly Isolator[]): string | undefined {
  return read(isolators, ISOLATOR.apparmorProfile, readApparmorProfile);
}

/** How many processes and threads there may be. */
export function pidsLimit(isolators: readonly Isolator[]): number | undefined {
  return read(isolators, ISOLATOR.pids, processes);
}

/** Bytes (or operations) a second, for reading and for writing, on every block device; bytes a second on the network. */
export function rateLimit(
  isolators: readonly Isolator[],
  name: typeof ISOLATOR.blockBandwidth | typeof ISOLATOR.blockIops | typeof ISOLATOR.networkBandwidth,
): number | undefined {
  const limit = read(isolators, name, defaultLimit);
  return limit === undefined ? undefined : quantityUnits(limit);
}

/** Kernel settings by name ("net.ipv4.ip_forward"), sorted. */
export function sysctls(isolators: readonly Isolator[]): readonly (readonly [string, string])[] {
  return read(isolators, ISOLATOR.sysctl, textMap) ?? [];
}

/** The last isolator called `name`, read; undefined when there is none. Throws INVALID_INPUT. */
function read<T>(isolators: readonly Isolator[], name: string, reader: (value: Place) => T): T | undefined {
  const isolator = isolators.findLast((one) => one.name === name);
  if (isolator === undefined) return undefined;
  return reader({ document: `the isolator ${name}`, path: "", value: isolator.value });
}

// --- making them, for command-line flags ---

/** `--memory`, `--cpu`: request and limit are the same amount. Throws INVALID_INPUT unless `amount` is a quantity. */
export function resourceIsolator(name: typeof ISOLATOR.memory | typeof ISOLATOR.cpu, amount: string): Isolator {
  parseQuantity(amount);
  return checked({ name, value: { default: false, request: amount, limit: amount } });
}

/** `--cpu-shares`. Throws INVALID_INPUT out of range. */
export function cpuSharesIsolator(value: number): Isolator {
  return checked({ name: ISOLATOR.cpuShares, value });
}

/** `--oom-score-adj`. Throws INVALID_INPUT out of range. */
export function oomScoreAdjIsolator(value: number): Isolator {
  return checked({ name: ISOLATOR.oomScoreAdj, value });
}

/** `--caps-retain`, `--caps-remove`. Throws INVALID_INPUT when the set is empty. */
export function capabilitiesIsolator(mode: "retain" | "remove", set: readonly string[]): Isolator {
  return checked({ name: mode === "retain" ? ISOLATOR.capsRetain : ISOLATOR.capsRemove, value: { set } });
}

/** A seccomp filter. Throws INVALID_INPUT when the set is empty or `errno` is not a name of an error. */
export function seccompIsolator({ mode, set, errno }: SeccompFilter): Isolator {
  return checked({ name: mode === "retain" ? ISOLATOR.seccompRetain : ISOLATOR.seccompRemove, value: { set, errno } });
}

/** `--pids`. Throws INVALID_INPUT unless `amount` is at least one. */
export function pidsIsolator(amount: string): Isolator {
  parseQuantity(amount);
  return checked({ name: ISOLATOR.pids, value: { limit: amount } });
}

/** `--block-bandwidth`, `--block-iops`, `--network-bandwidth`. Throws INVALID_INPUT unless `amount` is a quantity. */
export function rateIsolator(
  name: typeof ISOLATOR.blockBandwidth | typeof ISOLATOR.blockIops | typeof ISOLATOR.networkBandwidth,
  amount: string,
): Isolator {
  parseQuantity(amount);
  return checked({ name, value: { default: true, limit: amount } });
}

/** `--sysctl`. */
export function sysctlIsolator(settings: Readonly<Record<string, string>>): Isolator {
  return checked({ name: ISOLATOR.sysctl, value: settings });
}

/** `--seccomp=profile=FILE`, with the file's content. Throws INVALID_INPUT naming the field. */
export function seccompProfileIsolator(profile: JsonValue): Isolator {
  return checked({ name: ISOLATOR.seccompProfile, value: profile });
}

/** `--apparmor-profile`. */
export function apparmorIsolator(name: string): Isolator {
  return checked({ name: ISOLATOR.apparmorProfile, value: { name } });
}

/** `isolators` without those called `names`, then `added`: how a flag replaces what the image says. */
export function replaceIsolators(
  isolators: readonly Isolator[],
  names: readonly string[],
  added: Isolator,
): Isolator[] {
  return [...isolators.filter((one) => !names.includes(one.name)), added];
}

function checked(isolator: Isolator): Isolator {
  knownIsolator(isolator.name)?.check({ document: `the isolator ${isolator.name}`, path: "", value: isolator.value });
  return isolator;
}
