/**
 * Measuring: record, then extend, under the log's lock. Whoever comes next looks whether the last record was extended, and does it if not: the log is always what the register
 * holds, plus at most one record at its end.
 */

import type { MeasurementSettings } from "../config/mod.ts";
import type { DataDir } from "../core/data-dir.ts";
import type { Host } from "../host/host.ts";
import { type BankValues, digestsOf, extended, sameValues, zeros } from "./banks.ts";
import { formatEvent, type MeasuredEvent } from "./event.ts";
import { currentBootId, type LogContent, type LogPlace, type OpenLog, withLog } from "./log.ts";
import { judge, replay, type Verdict } from "./replay.ts";
import { extendRegister, readRegister } from "./tpm.ts";

export interface Measured {
  /** Number of the first event's record in the log of this boot. */
  readonly record: number;
  readonly pcr: number;
  /** The register had been extended by somebody else: the log alone does not explain it. */
  readonly disturbed: boolean;
}

/** A log with a register that holds what the log leads to. */
export interface SettledLog {
  readonly log: OpenLog;
  readonly register: BankValues;
  readonly disturbed: boolean;
}

/** How many others may be in front, each waiting for a TPM that gives no answer, before this one gives up too. */
const PATIENCE = 4;

/** Measures `events`, one after the other. Throws HOST_PROGRAM and UNSUPPORTED (the TPM), SYSTEM_CALL and INVALID_INPUT (the log), CONFLICT (its lock). */
export function measure(
  host: Host,
  dataDir: DataDir,
  settings: MeasurementSettings,
  events: readonly MeasuredEvent[],
): Promise<Measured> {
  return withSettledLog(host, dataDir, settings, async ({ log, register, disturbed }) => {
    const record = nextNumber(log);
    let value = register;
    for (const event of events) value = await put(log, settings, value, event);
    return { record, pcr: settings.pcr, disturbed };
  });
}

/** Calls `act` with the log of this boot, alone, after the register was brought to what the log says, or the log to what the register says. */
export function withSettledLog<T>(
  host: Host,
  dataDir: DataDir,
  settings: MeasurementSettings,
  act: (settled: SettledLog) => Promise<T>,
): Promise<T> {
  const place = logPlace(dataDir, settings);
  return withLog(host, place, settings.timeout * PATIENCE, async (log) => act(await settle(log, settings)));
}

/** The log of this boot. */
export function logPlace(dataDir: DataDir, { pcr }: Pick<MeasurementSettings, "pcr">): LogPlace {
  return { dataDir, pcr, bootId: currentBootId() };
}

/**
 * The log of this boot, what the register holds, and what is to be said about the two. Changes nothing. Under the lock, so that no pod is measured in between. A register that nobody has
 * extended yet, and no log, explain each other.
 */
export async function lookAtLog(host: Host, dataDir: DataDir, settings: MeasurementSettings): Promise<LogLook> {
  return withLog(host, logPlace(dataDir, settings), settings.timeout * PATIENCE, async (log) => {
    const register = await readRegister(settings);
    const content = log.read();
    const untouched = content.records.length === 0 && [...register].every(([bank, value]) => value === zeros(bank));
    const verdict: Verdict = untouched ? { kind: "explained" } : judge(replay(content.records), register);
    return { ...content, register, verdict };
  });
}

export interface LogLook extends LogContent {
  readonly register: BankValues;
  readonly verdict: Verdict;
}

async function settle(log: OpenLog, settings: MeasurementSettings): Promise<SettledLog> {
  const register = await readRegister(settings);
  const last = log.last();
  if (last === undefined) {
    const event = { kind: "boot", bootId: log.place.bootId, register } as const;
    return { log, register: await put(log, settings, register, event), disturbed: false };
  }
  const after = extended(last.before, last.digests);
  if (sameValues(register, after)) return { log, register, disturbed: false };
  if (sameValues(register, last.before)) {
    // A command whose tool was killed is done or not by now: the kernel, like swtpm, takes commands one after the other, and the register was read after it.
    await extendRegister(settings, last.digests);
    return { log, register: after, disturbed: false };
  }
  return { log, register: await put(log, settings, register, { kind: "found", register }), disturbed: true };
}

/** Gives the register's value after it. */
async function put(
  log: OpenLog,
  settings: MeasurementSettings,
  before: BankValues,
  event: MeasuredEvent,
): Promise<BankValues> {
  const text = formatEvent(event);
  const digests = digestsOf(text, before);
  log.append({ number: nextNumber(log), pcr: settings.pcr, digests, text, before, time: Date.now() * 1000 });
  await extendRegister(settings, digests);
  return extended(before, digests);
}

function nextNumber(log: OpenLog): number {
  const last = log.last();
  return last === undefined ? 0 : last.number + 1;
}
