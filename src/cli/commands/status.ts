/** rkt status: one pod's state, and waiting for it to change. */

import { ExitStatus, RktError } from "../../core/errors.ts";
import { printable, quoted } from "../../core/text.ts";
import { linux } from "../../host/mod.ts";
import {
  closePod,
  createdAt,
  deniedCalls,
  exitStatuses,
  isFinished,
  isReady,
  type Pod,
  type PodReader,
  type PodState,
  podIsolation,
  podLabel,
  podManifest,
  podNamesByUuid,
  podNetworks,
  podReader,
  recordedPid,
  retrievePod,
  startedAt,
  waitForPod,
} from "../../pod/mod.ts";
import type { RuntimeApp } from "../../spec/appc/mod.ts";
import { type Isolation, logsDeniedCalls } from "../../stage1-contract/mod.ts";
import type { Command, CommandInput, Output } from "../command.ts";
import { parseDuration } from "../duration.ts";
import { goTime } from "../human.ts";
import { FORMAT_FLAG, formatted, type JsonFormat, jsonFormat } from "../output-format.ts";
import { podJson, type SignerOf } from "../pod-json.ts";
import { lostSupervisorNote, networksText } from "../pod-text.ts";
import { podWord, UUID_FILE_FLAG } from "../pod-words.ts";
import { imageSigners } from "../signer.ts";

export const command: Command = {
  name: "status",
  summary: "Check the status of a rkt pod",
  usage: "[--wait=bool|timeout] [--wait-ready=bool|timeout] UUID",
  description: `Prints assorted information about the pod such as its state, pid and exit status.

--wait and --wait-ready take a boolean or a timeout. True (the meaning of the bare flag) waits for ever, false does not wait; a duration waits that long: for ever when it is negative, not at all when it is zero.`,
  flags: [
    {
      name: "wait",
      kind: "string",
      default: "false",
      bare: "true",
      usage: "wait for the pod to finish; the output tells its state then",
    },
    { name: "wait-ready", kind: "string", default: "false", bare: "true", usage: "wait until the pod is ready" },
    FORMAT_FLAG,
    UUID_FILE_FLAG,
  ],
  run: statusCommand,
};

async function statusCommand(input: CommandInput): Promise<void> {
  const { engine, flags, output } = input;
  const finish = waitTime(flags.string("wait"));
  const ready = waitTime(flags.string("wait-ready"));
  const format = jsonFormat(flags);
  const word = uuidWord(input);
  const reader = podReader(engine.dataDir, linux);
  let pod = retrievePod(reader, word);
  if (ready !== 0) pod = await waitFor(reader, pod, ready, "error waiting for pod readiness", readiness);
  if (finish !== 0)
    pod = await waitFor(reader, pod, finish, "error waiting for pod to finish", ({ state }) => isFinished(state));
  try {
    const name = podNamesByUuid(engine.dataDir).get(pod.uuid);
    await tellStatus(pod, format, { name, signerOf: await imageSigners(engine) }, output);
    if (pod.supervisorLost) output.error(lostSupervisorNote(pod));
  } finally {
    closePod(linux, pod);
  }
}

/** rkt's one failure of this command that does not end with 254. */
function uuidWord(input: CommandInput): string {
  try {
    return podWord(input);
  } catch (error) {
    throw error instanceof RktError && error.code === "NOT_FOUND" ? new ExitStatus(1, error) : error;
  }
}

const TRUE = ["", "1", "t", "T", "TRUE", "true", "True"];
const FALSE = ["0", "f", "F", "FALSE", "false", "False"];

/** Milliseconds; negative: for ever. */
function waitTime(text: string): number {
  if (TRUE.includes(text)) return -1;
  return FALSE.includes(text) ? 0 : parseDuration(text);
}

async function waitFor(
  reader: PodReader,
  first: Pod,
  timeout: number,
  what: string,
  reached: (pod: Pod) => boolean,
): Promise<Pod> {
  const failure = (code: "CONFLICT" | "NOT_FOUND", text: string) =>
    new RktError(code, what, { cause: new RktError(code, text) });
  const waited = await waitForPod(reader, first, timeout, reached);
  if (waited === undefined) throw failure("NOT_FOUND", `pod ${quoted(first.uuid)} is gone`);
  if (!waited.reached) throw failure("CONFLICT", "context deadline exceeded");
  return waited.pod;
}

/** A pod that is over never gets ready: waiting on would be waiting for ever. */
function readiness(pod: Pod): boolean {
  if (isFinished(pod.state))
    throw new RktError(
      "WRONG_STATE",
      `error waiting for pod readiness: pod ${quoted(pod.uuid)} is not running anymore`,
    );
  return isReady(linux, pod);
}

async function tellStatus(
  pod: Pod,
  format: JsonFormat | undefined,
  { name, signerOf }: { readonly name: string | undefined; readonly signerOf: SignerOf },
  output: Output,
): Promise<void> {
  if (format !== undefined) {
    const problems: unknown[] = [];
    const isolation = podIsolation(linux, pod);
    const value = podJson(linux, pod, (error) => problems.push(error), { name, signerOf, isolation });
    if (problems.length > 0) throw new RktError("INVALID_INPUT", "unable to print status", { cause: problems[0] });
    output.stdout(formatted(value, format));
    return;
  }
  const say = (text: string) => output.stdout(`${text}\n`);
  say(`state=${pod.state}`);
  const [created, started] = [createdAt(linux, pod), startedAt(linux, pod)];
  if (created !== undefined) say(`created=${goTime(created)}`);
  if (started !== undefined) say(`started=${goTime(started)}`);
  if (pod.state === "running" || pod.state === "exited") say(`networks=${networksText(podNetworks(linux, pod))}`);
  if (name !== undefined) say(`name=${name}`);
  if (!HAS_RUN.includes(pod.state)) return;
  const pid = await pidOf(pod);
  if (pid !== undefined) say(`pid=${pid}`);
  say(`exited=${pod.state === "exited" || pod.state === "exited garbage"}`);
  const isolation = podIsolation(linux, pod);
  if (isolation !== undefined) say(`isolation=${isolationText(isolation)}`);
  const label = podLabel(linux, pod);
  if (label !== undefined) say(`selinux=${printable(label.process)}`);
  for (const app of appsOf(pod).filter(logsDeniedCalls)) {
    const denied = deniedCalls(linux, pod, app.name);
    if (denied !== undefined)
      say(`denied-${app.name}=${[...denied].map(([call, count]) => `${call}(${count})`).join(",")}`);
  }
  for (const { name, image } of appsOf(pod)) {
    const signer = signerOf(image.id);
    if (signer !== undefined) say(`signer-${name}=${printable(signer)}`);
  }
  if (pod.state === "running") return;
  for (const [app, status] of exitStatuses(
    linux,
    pod,
    appsOf(pod).map(({ name }) => name),
  ))
    say(`app-${app}=${status}`);
}

/** "mount,pid,userns(478216192:65536)": names, with what there is to say about them. */
function isolationText(isolation: Isolation): string {
  // A label has commas of its own: it has a line of its own.
  const text = ([name, about]: [string, string]) => (about === "" || name === "selinux" ? name : `${name}(${about})`);
  return printable([...isolation].map(text).join(","));
}

const HAS_RUN: readonly PodState[] = ["running", "deleting", "exited deleting", "exited", "exited garbage"];

/** A pod that has just been started may not have written it yet: a second of patience. The number of a supervisor that is gone may be another process's. */
async function pidOf(pod: Pod): Promise<number | undefined> {
  if (pod.supervisorLost) return undefined;
  const attempts = pod.state === "running" ? 10 : 0;
  for (let attempt = 0; ; attempt++) {
    const pid = recordedPid(linux, pod);
    if (pid !== undefined || attempt >= attempts) return pid;
    await Bun.sleep(100);
  }
}

/** Of a pod that is being deleted the manifest may be gone already. */
function appsOf(pod: Pod): readonly RuntimeApp[] {
  try {
    return podManifest(linux, pod).apps;
  } catch (error) {
    if (pod.state === "deleting" || pod.state === "exited deleting") return [];
    throw error;
  }
}
