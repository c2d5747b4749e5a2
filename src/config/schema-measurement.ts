/** Configuration of kind `measurement`: whether and how pods are measured into the machine's TPM. Pure. */

import { quoted } from "../core/text.ts";
import { MEASUREMENT_POLICIES, type MeasurementSettings } from "./config.ts";
import type { Complain, ConfigEntry } from "./entry.ts";
import { type Fields, text } from "./fields.ts";

/**
 * The ways to a TPM that are taken. Others exist (tss2-tctildr(7)) that run a command or load a library by its path, as root; what this file may name is a TPM and
 * nothing else.
 */
const TCTI = /^(device:\/[^\0]+|(swtpm|mssim):[a-zA-Z0-9=.,:/_-]+|tabrmd(:[a-zA-Z0-9=.,_]+)?)$/;

/** The last of the static registers; 16 and 23 can be reset by programs, 17 to 22 belong to the processor's own launch (TCG PC Client Platform TPM Profile). */
const LAST_PCR = 15;
const LONGEST_TIMEOUT = 600;

export function checkMeasurement(fields: Fields, complain: Complain): ConfigEntry {
  const settings: { -readonly [K in keyof MeasurementSettings]?: MeasurementSettings[K] } = {};
  const policy = MEASUREMENT_POLICIES.find((one) => one === fields["policy"]);
  if (policy !== undefined) settings.policy = policy;
  else if (isGiven(fields["policy"]))
    complain("policy", `expected ${MEASUREMENT_POLICIES.map((one) => quoted(one)).join(", ")}`);
  const tcti = text(fields, "tcti", complain);
  if (TCTI.test(tcti)) settings.tcti = tcti;
  else if (tcti !== "")
    complain("tcti", `unknown way to a TPM ${quoted(tcti)}, expected device:PATH, swtpm:…, mssim:… or tabrmd`);
  const pcr = integer(fields, "pcr", [0, LAST_PCR], complain);
  if (pcr !== undefined) settings.pcr = pcr;
  const timeout = integer(fields, "timeout", [1, LONGEST_TIMEOUT], complain);
  if (timeout !== undefined) settings.timeout = timeout;
  const rkt1 = fields["rkt1-events"];
  if (typeof rkt1 === "boolean") settings.rkt1Events = rkt1;
  else if (isGiven(rkt1)) complain("rkt1-events", "expected true or false");
  return { kind: "measurement", settings };
}

function integer(fields: Fields, name: string, [min, max]: [number, number], complain: Complain): number | undefined {
  const value = fields[name];
  if (!isGiven(value)) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
  complain(name, `expected a whole number from ${min} to ${max}`);
  return undefined;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}
