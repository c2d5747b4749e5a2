/** Simple signing: an OpenPGP message that holds what it signs (containers-signature(5)), read by gpgv. Runs in the verify worker only. */

import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { RktError } from "../../core/errors.ts";
import { unnamedFile } from "../check-signature.ts";
import { readGpgvStatus, type SignatureProblem } from "../gpgv-status.ts";
import { SignatureRefused } from "./problem.ts";

/** A payload has a few hundred bytes; a compressed message could unfold to anything. */
const LARGEST_PAYLOAD = 1024 * 1024;

export interface SignedMessage {
  readonly payload: Buffer;
  /** Primary key's. */
  readonly fingerprint: string;
}

/** The content of `message`, when exactly one signature covers it and a key of `keyring` made it. Throws SignatureRefused, HOST_PROGRAM without gpgv. */
export async function openSignedMessage(message: Uint8Array, keyring: Buffer): Promise<SignedMessage> {
  const [keyringFile, messageFile] = [unnamedFile(keyring), unnamedFile(Buffer.from(message))];
  const gpgv = spawn(
    "gpgv",
    // An empty home: no keyring, no configuration but what is named here. The content comes on stdout, the verdict on descriptor 3.
    [
      ...["--homedir", "/nonexistent", "--status-fd", "3", "--output", "-"],
      ...["--keyring", "/proc/self/fd/4", "/proc/self/fd/5"],
    ],
    {
      stdio: ["ignore", "pipe", "ignore", "pipe", keyringFile, messageFile],
      env: { PATH: process.env.PATH, LC_ALL: "C" },
    },
  );
  closeSync(keyringFile);
  closeSync(messageFile);
  const [payload, status] = await Promise.all([
    collect(gpgv.stdout, () => gpgv.kill("SIGKILL")),
    collect(gpgv.stdio[3], () => gpgv.kill("SIGKILL")),
    new Promise<void>((resolve, reject) => {
      gpgv.once("error", reject);
      gpgv.once("close", () => resolve());
    }),
  ]).catch((cause: unknown) => {
    throw new RktError("HOST_PROGRAM", 'Cannot start "gpgv" to check the signature', { cause, hint: "install gpgv" });
  });
  return { payload, fingerprint: signerOf(status.toString("utf8")) };
}

/**
 * The one signer. More than one signature or content in a message is refused: gpgv then does not say which covers what.
 */
function signerOf(status: string): string {
  const count = (keyword: string) =>
    status.split("\n").filter((line) => line.startsWith(`[GNUPG:] ${keyword} `) || line === `[GNUPG:] ${keyword}`)
      .length;
  const { good, problems } = readGpgvStatus(status);
  const [problem] = problems;
  if (problem !== undefined) throw refusal(problem);
  const [signature] = good;
  if (signature === undefined) throw new SignatureRefused("malformed", "it is no OpenPGP signed message");
  if (good.length !== 1 || count("NEWSIG") !== 1 || count("PLAINTEXT") !== 1) {
    throw new SignatureRefused("malformed", "it has several signatures or contents");
  }
  return signature.fingerprint;
}

function refusal(problem: SignatureProblem): SignatureRefused {
  switch (problem) {
    case "bad":
      return new SignatureRefused("invalid", "it was changed after it was signed");
    case "unknown-key":
      return new SignatureRefused("stranger", "it was made by none of the trusted keys");
    case "weak-digest":
      return new SignatureRefused("invalid", "it uses a digest that can be forged (SHA-1 or older)");
    case "expired-key":
      return new SignatureRefused("invalid", "it was made by an expired key");
    case "revoked-key":
      return new SignatureRefused("invalid", "it was made by a revoked key");
    case "expired":
      return new SignatureRefused("invalid", "it has expired");
    default:
      return new SignatureRefused("unsupported", "it is of a form that is not supported");
  }
}

async function collect(stream: unknown, tooMuch: () => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= LARGEST_PAYLOAD) chunks.push(chunk);
    else tooMuch();
  }
  return Buffer.concat(chunks);
}
