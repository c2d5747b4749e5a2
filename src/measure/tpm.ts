/**
 * The machine's TPM, through Debian's tpm2-tools: one short program for each question. Its environment is made from nothing: TPM2TOOLS_TCTI of whoever starts rkt would put a TPM
 * of their own in the place of the machine's (and, by its `cmd:` form, run a program as root), TSS2_LOGFILE would make root write a file. A TPM that gives no answer
 * costs the time limit, not the pod's start for ever.
 */

import { existsSync } from "node:fs";
import type { MeasurementSettings } from "../config/mod.ts";
import { RktError } from "../core/errors.ts";
import { printable, quoted } from "../core/text.ts";
import { BANKS, type Bank, type BankValues, isBankValue } from "./banks.ts";

export type TpmSettings = Pick<MeasurementSettings, "pcr" | "tcti" | "timeout">;

const TOOL = "/usr/bin/tpm2";

/** What the register holds, in every bank that the TPM keeps it in. Throws HOST_PROGRAM, UNSUPPORTED (no TPM). */
export async function readRegister(settings: TpmSettings): Promise<BankValues> {
  const { pcr } = settings;
  const output = await runTool(settings, "pcrread", [BANKS.map((bank) => `${bank}:${pcr}`).join("+")]);
  const values = parseRegister(output, pcr);
  if (values.size > 0) return values;
  throw new RktError("UNSUPPORTED", `Cannot measure: the TPM keeps PCR ${pcr} in none of ${BANKS.join(", ")}`);
}

/** `tpm2 pcrread` writes "  sha256:" and below it "    15: 0xABC…"; a bank that the TPM does not keep has no line below it. */
export function parseRegister(output: string, pcr: number): BankValues {
  const values = new Map<Bank, string>();
  let bank: Bank | undefined;
  for (const line of output.split("\n")) {
    const name = /^\s*([a-z0-9_]+)\s*:\s*$/.exec(line)?.[1];
    if (name !== undefined) bank = BANKS.find((one) => one === name);
    const [, index, digits = ""] = /^\s*([0-9]+)\s*:\s*0x([0-9A-Fa-f]+)\s*$/.exec(line) ?? [];
    const value = digits.toLowerCase();
    if (bank !== undefined && index === String(pcr) && isBankValue(bank, value)) values.set(bank, value);
  }
  return values;
}

/** All banks in one command of the TPM: they cannot come apart. */
export async function extendRegister(settings: TpmSettings, digests: BankValues): Promise<void> {
  const list = [...digests].map(([bank, digest]) => `${bank}=${digest}`).join(",");
  await runTool(settings, "pcrextend", [`${settings.pcr}:${list}`]);
}

/** Throws HOST_PROGRAM: the tool is missing, failed, or was ended after the time limit. Gives its standard output. */
export async function runTool(settings: TpmSettings, tool: string, args: readonly string[]): Promise<string> {
  const { tcti, timeout } = settings;
  const device = /^device:(.*)$/.exec(tcti)?.[1];
  if (device !== undefined && !existsSync(device))
    throw new RktError("UNSUPPORTED", `Cannot use the TPM: this host has no ${quoted(device)}`, {
      hint: "a TPM 2.0 is switched on in the firmware's settings; the kernel's driver is tpm_tis or tpm_crb",
    });
  if (!existsSync(TOOL))
    throw new RktError("HOST_PROGRAM", `Cannot use the TPM: ${quoted(TOOL)} is missing`, {
      hint: "install the package tpm2-tools",
    });
  const child = Bun.spawn([TOOL, tool, `--tcti=${tcti}`, ...args], {
    ...{ cwd: "/", env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" } },
    ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  });
  const ended = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  const result = await withinSeconds(timeout, ended);
  if (result === undefined) {
    child.kill("SIGKILL");
    // Waited for, so that the pod inherits no dead child; not for long: a driver that hangs in the kernel keeps even a killed process.
    await withinSeconds(1, child.exited);
    child.unref();
    throw new RktError("HOST_PROGRAM", `Cannot use the TPM: no answer within ${timeout} s ("tpm2 ${tool}")`);
  }
  const [stdout, stderr, status] = result;
  if (status === 0) return stdout;
  throw new RktError("HOST_PROGRAM", `Cannot use the TPM: "tpm2 ${tool}" failed: ${reasonOf(stderr, status)}`);
}

async function withinSeconds<T>(seconds: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<undefined>((done) => {
    timer = setTimeout(() => done(undefined), seconds * 1000);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** The tools end with "ERROR: Unable to run pcrread"; what the matter is stands in the lines before. */
function reasonOf(stderr: string, status: number): string {
  const lines = stderr.split("\n").filter((line) => /^ERROR/.test(line) && !/Unable to run/.test(line));
  const reason = lines.at(-1)?.replace(/^ERROR:?\s*/, "");
  return reason === undefined ? `exit status ${status}` : printable(reason, 200);
}
