/** Flags that limit a pod or an app, as isolators. What is wrong with one is told before an image is fetched for it. */

import { RktError } from "../core/errors.ts";
import {
  apparmorIsolator,
  cpuSharesIsolator,
  ISOLATOR,
  type Isolator,
  memoryLimit,
  oomScoreAdjIsolator,
  pidsIsolator,
  rateIsolator,
  resourceIsolator,
  sysctlIsolator,
  sysctlNamespace,
} from "../spec/appc/mod.ts";
import { parseVariables } from "../stage0/environment.ts";
import type { FlagValues } from "./command.ts";
import { ofFlag, wholeNumber } from "./flag-words.ts";

/** Of all apps together. Throws USAGE. */
export function podIsolators(flags: FlagValues): Isolator[] {
  const settings = parseVariables(flags.list("sysctl"), "sysctl");
  for (const { name } of settings) sysctlNamespace(name);
  return [
    ...given(flags, "pod-memory", memoryIsolator),
    ...given(flags, "pod-cpu", cpuIsolator),
    ...given(flags, "pod-cpu-shares", sharesOf("pod-cpu-shares")),
    ...given(flags, "pod-pids", pidsIsolator),
    ...given(flags, "network-bandwidth", (text) => rateIsolator(ISOLATOR.networkBandwidth, text)),
    ...(settings.length === 0
      ? []
      : [sysctlIsolator(Object.fromEntries(settings.map((one) => [one.name, one.value])))]),
  ];
}

/** Of one app; each replaces what its image says. Throws USAGE. */
export function appIsolators(flags: FlagValues): Isolator[] {
  return [
    ...given(flags, "memory", memoryIsolator),
    ...given(flags, "cpu", cpuIsolator),
    ...given(flags, "cpu-shares", sharesOf("cpu-shares")),
    ...given(flags, "oom-score-adj", (text) => oomScoreAdjIsolator(wholeNumber(text, "oom-score-adj", -1000, 1000))),
    ...given(flags, "pids", pidsIsolator),
    ...given(flags, "block-bandwidth", (text) => rateIsolator(ISOLATOR.blockBandwidth, text)),
    ...given(flags, "block-iops", (text) => rateIsolator(ISOLATOR.blockIops, text)),
    ...given(flags, "apparmor-profile", apparmorIsolator),
    ...(flags.given("no-new-privileges")
      ? [{ name: ISOLATOR.noNewPrivileges, value: flags.bool("no-new-privileges") }]
      : []),
  ];
}

function given(flags: FlagValues, flag: string, make: (text: string) => Isolator): Isolator[] {
  return flags.given(flag) ? [ofFlag(flag, flags.string(flag), make, `--${flag}`)] : [];
}

/** Less than one page cannot hold a program; such a number is a unit forgotten ("16m": thousandths of a byte). */
function memoryIsolator(amount: string): Isolator {
  const isolator = resourceIsolator(ISOLATOR.memory, amount);
  const bytes = memoryLimit([isolator]) ?? 0;
  if (bytes < 4096) {
    throw new RktError("USAGE", `memory limit of ${bytes} bytes too low. Try a reasonable value, such as --memory=16M`);
  }
  return isolator;
}

function cpuIsolator(amount: string): Isolator {
  return resourceIsolator(ISOLATOR.cpu, amount);
}

function sharesOf(flag: string): (text: string) => Isolator {
  return (text) => cpuSharesIsolator(wholeNumber(text, flag, 2, 262144));
}
