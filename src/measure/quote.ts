/**
 * A quote: the TPM signs what the register holds, with a nonce of whoever asks; the file has the log beside it, so a verifier needs nothing else of the machine.
 *
 * The key is a primary key of the endorsement hierarchy, restricted to sign what the TPM itself has made. The TPM derives it from its own seed each time, the same
 * one: there is no key file that could be lost, copied or exchanged, and no persistent handle that is taken from others.
 */

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { MeasurementSettings } from "../config/mod.ts";
import type { DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { Host } from "../host/host.ts";
import { complaint, field, items, optionalInteger, type Place, readDocument, text } from "../spec/document.ts";
import { jsonText, ordered } from "../spec/json-text.ts";
import { withLog } from "./log.ts";
import { logPlace, withSettledLog } from "./measure.ts";
import { decodeRecord, type LogRecord, recordJson } from "./record.ts";
import { judge, replay } from "./replay.ts";
import { runTool, type TpmSettings } from "./tpm.ts";

export interface Quote {
  readonly pcr: number;
  /** TPMS_ATTEST, as the TPM made it. */
  readonly attest: Buffer;
  /** TPMT_SIGNATURE over it. */
  readonly signature: Buffer;
  readonly log: readonly LogRecord[];
}

/** Also for the verifier, who gets it as hexadecimal digits: 8 to 32 bytes (TPMs of SHA-256 take no longer ones). */
export function parseNonce(hex: string): Buffer {
  if (/^([0-9a-fA-F]{2}){8,32}$/.test(hex)) return Buffer.from(hex, "hex");
  throw new RktError("USAGE", `Cannot use ${quoted(hex)} as a nonce: expected 8 to 32 bytes as hexadecimal digits`);
}

/** Throws DIGEST_MISMATCH when the log does not explain the register: no verifier would accept it. And what {@link measure} throws. */
export function makeQuote(host: Host, dataDir: DataDir, settings: MeasurementSettings, nonce: Buffer): Promise<Quote> {
  return withSettledLog(host, dataDir, settings, async ({ log, register }) => {
    const { records } = log.read();
    const verdict = judge(replay(records), register);
    if (verdict.kind !== "explained") {
      throw new RktError(
        "DIGEST_MISMATCH",
        `Cannot make a quote: the log does not explain what PCR ${settings.pcr} holds`,
        { hint: "`rkt tpm replay` says more; with the next boot, log and register begin anew" },
      );
    }
    return withKey(dataDir, settings, async (dir) => {
      const [message, signature] = [join(dir, "attest"), join(dir, "signature")];
      await runTool(settings, "quote", [
        ...["-c", join(dir, "key.ctx"), "-l", `sha256:${settings.pcr}`, "-q", nonce.toString("hex")],
        ...["-m", message, "-s", signature, "-f", "tss", "-g", "sha256"],
      ]);
      return { pcr: settings.pcr, attest: readFileSync(message), signature: readFileSync(signature), log: records };
    });
  });
}

/** The public part of the key, in PEM form. Measures nothing. */
export function publicKey(host: Host, dataDir: DataDir, settings: MeasurementSettings): Promise<string> {
  return withLog(host, logPlace(dataDir, settings), settings.timeout, () =>
    withKey(dataDir, settings, async (dir) => readFileSync(join(dir, "key.pem"), "utf8")),
  );
}

const KEY_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign";

/** Calls `act` with a directory that has the key's context and public part; under the log's lock, so it is this process's alone. */
async function withKey<T>(dataDir: DataDir, settings: TpmSettings, act: (dir: string) => Promise<T>): Promise<T> {
  const dir = join(dataDir.measured, "quote");
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { mode: 0o700 });
  try {
    await runTool(settings, "createprimary", [
      ...["-C", "e", "-G", "ecc256:ecdsa-sha256:null", "-g", "sha256", "-a", KEY_ATTRIBUTES],
      ...["-c", join(dir, "key.ctx"), "-f", "pem", "-o", join(dir, "key.pem")],
    ]);
    return await act(dir);
  } finally {
    // Without a resource manager between them, what a tool has loaded stays in the TPM's few places.
    if (/^(swtpm|mssim):/.test(settings.tcti)) await runTool(settings, "flushcontext", ["-t"]).catch(() => undefined);
    rmSync(dir, { recursive: true, force: true });
  }
}

const KIND = "rkt/quote";
const VERSION = 1;

export function formatQuote({ pcr, attest, signature, log }: Quote): string {
  const fields = ordered(
    ["kind", KIND],
    ["version", VERSION],
    ["pcr", pcr],
    ["attest", attest.toString("base64")],
    ["signature", signature.toString("base64")],
    ["log", log.map(recordJson)],
  );
  return `${jsonText(fields)}\n`;
}

/** Throws INVALID_INPUT. Nothing in it is believed yet. */
export function parseQuote(json: string): Quote {
  const place = readDocument(json, "the quote");
  if (text(field(place, "kind")) !== KIND) throw complaint(field(place, "kind"), `expected "${KIND}"`);
  const version = field(place, "version");
  if (optionalInteger(version, 0, Number.MAX_SAFE_INTEGER) !== VERSION) throw complaint(version, `expected ${VERSION}`);
  const pcr = optionalInteger(field(place, "pcr"), 0, 23);
  if (pcr === undefined) throw complaint(field(place, "pcr"), "is missing");
  return {
    pcr,
    attest: bytes(field(place, "attest")),
    signature: bytes(field(place, "signature")),
    log: items(field(place, "log")).map(decodeRecord),
  };
}

/** The structures of a TPM are far smaller. */
const LONGEST = 4096;

function bytes(place: Place): Buffer {
  const base64 = text(place);
  const value = Buffer.from(base64, "base64");
  if (value.length === 0 || value.length > LONGEST || value.toString("base64") !== base64)
    throw complaint(place, `expected 1 to ${LONGEST} bytes in base64`);
  return value;
}
