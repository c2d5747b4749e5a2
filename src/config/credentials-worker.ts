/** `rkt worker credentials`: under sudo, a process that is the person who called it. Reads their files, asks their helper, answers with one credential, and ends. */

import { answer, answerEvent, answerFailure, requests } from "../host/worker-side.ts";
import { type CredentialSearch, userCredentials } from "./user-credentials.ts";

export async function runCredentialsWorker(): Promise<void> {
  const { env } = process;
  const kept = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const helpers = { path: env.PATH ?? "", env: Object.fromEntries(kept) };
  try {
    for await (const request of requests()) {
      const person = { home: env.HOME ?? "", env, helpers, owner: undefined };
      const credentials = await userCredentials(request as CredentialSearch, person, answerEvent);
      answer({ kind: "credentials", credentials });
      break;
    }
  } catch (error) {
    answerFailure(error);
  }
  process.exit(0);
}
