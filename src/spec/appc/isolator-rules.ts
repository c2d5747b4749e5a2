/** The schema's rules for isolators (spec/ace.md "Isolators"; schema/types/isolator.go, isolator_linux_specific.go, isolator_resources.go). */

import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { complaint, entries, field, flag, isPresent, items, optionalInteger, type Place, text } from "../document.ts";
import type { JsonValue } from "../json-value.ts";
import { readIdentifier } from "./lists.ts";
import { parseQuantity, type Quantity, quantityUnits } from "./quantity.ts";
import { readSeccompProfile } from "./seccomp-profile.ts";
import type { Isolator } from "./types.ts";

export const ISOLATOR = {
  memory: "resource/memory",
  cpu: "resource/cpu",
  blockBandwidth: "resource/block-bandwidth",
  blockIops: "resource/block-iops",
  networkBandwidth: "resource/network-bandwidth",
  pids: "resource/pids",
  cpuShares: "os/linux/cpu-shares",
  oomScoreAdj: "os/linux/oom-score-adj",
  capsRetain: "os/linux/capabilities-retain-set",
  capsRemove: "os/linux/capabilities-remove-set",
  seccompRetain: "os/linux/seccomp-retain-set",
  seccompRemove: "os/linux/seccomp-remove-set",
  seccompProfile: "os/linux/seccomp-profile",
  apparmorProfile: "os/linux/apparmor-profile",
  noNewPrivileges: "os/linux/no-new-privileges",
  selinuxContext: "os/linux/selinux-context",
  sysctl: "os/unix/sysctl",
} as const;

/** Request and limit of a resource; undefined when not given. */
export interface Resource {
  readonly request: Quantity | undefined;
  readonly limit: Quantity | undefined;
}

export interface SeccompFilter {
  readonly mode: "retain" | "remove";
  /** System calls and wildcards ("@docker/default-whitelist"). Not empty. */
  readonly set: readonly string[];
  /** "EPERM", … or "" for the default. */
  readonly errno: string;
}

/** Isolators of an app: known ones only (an unknown limit would silently not hold), each with a right value, none in conflict. */
export function readAppIsolators(place: Place): Isolator[] {
  const seen = new Set<string>();
  return items(place).map((item) => {
    const isolator = readIsolator(item);
    const known = knownIsolator(isolator.name);
    if (known === undefined) throw complaint(item, `invalid isolator: ${quoted(isolator.name)} is not known`);
    if (isSeccomp(isolator.name) && [...seen].some(isSeccomp)) {
      throw complaint(item, "too many seccomp isolators specified");
    }
    if (seen.has(isolator.name) && !known.several) {
      throw complaint(item, `isolators set contains too many instances of type ${isolator.name}`);
    }
    seen.add(isolator.name);
    return isolator;
  });
}

/** Isolators of a pod: unknown ones pass, and are named when the pod starts. */
export function readPodIsolators(place: Place): Isolator[] {
  return items(place).map(readIsolator);
}

function readIsolator(item: Place): Isolator {
  const name = readIdentifier(field(item, "name"));
  const value = field(item, "value");
  knownIsolator(name)?.check(value);
  // What is kept as it came is written again later, by a function that calls itself for each level.
  if (isDeeper(value.value, 32)) throw complaint(value, "is nested too deeply");
  return { name, value: value.value ?? null };
}

function isSeccomp(name: string): boolean {
  return name === ISOLATOR.seccompRetain || name === ISOLATOR.seccompRemove || name === ISOLATOR.seccompProfile;
}

function isDeeper(value: JsonValue | undefined, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((item) => isDeeper(item, levels - 1));
}

interface Known {
  check(value: Place): unknown;
  /** May stand several times. */
  readonly several: boolean;
}

const KNOWN: Readonly<Record<string, Known>> = {
  [ISOLATOR.memory]: { check: resource, several: true },
  [ISOLATOR.cpu]: { check: resource, several: true },
  [ISOLATOR.blockBandwidth]: { check: defaultLimit, several: true },
  [ISOLATOR.blockIops]: { check: defaultLimit, several: true },
  [ISOLATOR.networkBandwidth]: { check: defaultLimit, several: true },
  [ISOLATOR.pids]: { check: processes, several: true },
  [ISOLATOR.cpuShares]: { check: shares, several: false },
  [ISOLATOR.oomScoreAdj]: { check: score, several: false },
  [ISOLATOR.capsRetain]: { check: textSet, several: true },
  [ISOLATOR.capsRemove]: { check: textSet, several: true },
  [ISOLATOR.seccompRetain]: { check: retainFilter, several: false },
  [ISOLATOR.seccompRemove]: { check: removeFilter, several: false },
  [ISOLATOR.seccompProfile]: { check: readSeccompProfile, several: false },
  [ISOLATOR.apparmorProfile]: { check: apparmorProfile, several: false },
  [ISOLATOR.noNewPrivileges]: { check: flag, several: true },
  [ISOLATOR.selinuxContext]: { check: selinuxContext, several: false },
  [ISOLATOR.sysctl]: { check: textMap, several: false },
};

export function knownIsolator(name: string): Known | undefined {
  return Object.hasOwn(KNOWN, name) ? KNOWN[name] : undefined;
}

export function resource(value: Place): Resource {
  if (flag(field(value, "default"))) throw complaint(value, "default must be false");
  return { request: quantity(field(value, "request")), limit: quantity(field(value, "limit")) };
}

/** Host-wide defaults (block and network bandwidth): only a limit, and only as default. */
export function defaultLimit(value: Place): Quantity | undefined {
  if (!flag(field(value, "default"))) throw complaint(value, "default must be true");
  if (isPresent(field(value, "request"))) {
    throw complaint(value, "request not supported by this resource, must be empty");
  }
  return quantity(field(value, "limit"));
}

/** How many processes and threads; at least one. Beyond the specification, in the form of its resources. */
export function processes(value: Place): number {
  return positiveUnits(field(value, "limit"));
}

/** A quantity of at least one, in whole units. */
export function positiveUnits(place: Place): number {
  const amount = quantity(place);
  if (amount === undefined || amount.nano < 1_000_000_000n) throw complaint(place, "must be at least 1");
  return quantityUnits(amount);
}

/** A quantity as text or bare number, not below zero. */
function quantity(place: Place): Quantity | undefined {
  if (!isPresent(place)) return undefined;
  const written = typeof place.value === "number" ? String(place.value) : text(place).trim();
  try {
    const parsed = parseQuantity(written);
    if (parsed.nano < 0n) throw complaint(place, `must not be negative, got ${quoted(written)}`);
    return parsed;
  } catch (error) {
    if (error instanceof RktError && !error.message.startsWith("Cannot read")) throw complaint(place, error.message);
    throw error;
  }
}

export function shares(value: Place): number {
  return required(value, ISOLATOR.cpuShares, 2, 262144);
}

export function score(value: Place): number {
  return required(value, ISOLATOR.oomScoreAdj, -1000, 1000);
}

function required(value: Place, name: string, min: number, max: number): number {
  const number = optionalInteger(value, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  if (number === undefined || number < min || number > max) {
    throw complaint(value, `${name} must be between ${min} and ${max}, got ${number ?? "nothing"}`);
  }
  return number;
}

export function textSet(value: Place): string[] {
  const set = items(field(value, "set")).map(text);
  if (set.length === 0) throw complaint(value, "set must be non-empty");
  return set;
}

export function retainFilter(value: Place): SeccompFilter {
  return filter(value, "retain");
}

export function removeFilter(value: Place): SeccompFilter {
  return filter(value, "remove");
}

function filter(value: Place, mode: SeccompFilter["mode"]): SeccompFilter {
  const set = textSet(value);
  const errno = text(field(value, "errno"));
  if (errno !== "" && !errno.startsWith("E")) {
    throw complaint(value, `errno must start with an 'E' character, got ${quoted(errno)}`);
  }
  if (!/^[A-Z0-9]*$/.test(errno)) {
    throw complaint(value, `errno can only contain upper case or numeric characters, got ${quoted(errno)}`);
  }
  return { mode, set, errno };
}

function selinuxContext(value: Place): void {
  for (const name of ["user", "role", "type", "level"]) {
    const part = text(field(value, name));
    if (part === "" || (name !== "level" && part.includes(":"))) {
      throw complaint(value, `invalid ${name} value ${quoted(part)}`);
    }
  }
}

/** The name becomes part of a unit file and of /proc/self/attr/exec. */
export function apparmorProfile(value: Place): string {
  const name = text(field(value, "name"));
  if (!/^[\x21-\x7e]{1,255}$/.test(name))
    throw complaint(value, "name must be the name of a profile, without white space");
  return name;
}

export function textMap(value: Place): [string, string][] {
  return entries(value).map(([name, item]) => [name, text(item)]);
}
