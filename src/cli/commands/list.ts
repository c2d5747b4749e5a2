/** rkt list: the pods of this host. Imports file by file: what it does not need would cost it a third of its time. */

import { errorLine } from "../../core/errors.ts";
import { APPC_VERSION } from "../../core/version.ts";
import type { Host } from "../../host/host.ts";
import { linux } from "../../host/linux.ts";
import { eachPod, LISTED_PLACES, type Pod, podReader } from "../../pod/find.ts";
import { appImageName, appNames } from "../../pod/names.ts";
import { podNamesByUuid } from "../../pod/pod-name.ts";
import { createdAt, manifestExpected, podNetworks, startedAt } from "../../pod/view.ts";
import type { Writable } from "../../spec/json-text.ts";
import type { Command, CommandInput, Output } from "../command.ts";
import { goTime, humanTime } from "../human.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../output-format.ts";
import { lostSupervisorNote, networksText } from "../pod-text.ts";
import { formatTable } from "../table.ts";

export const command: Command = {
  name: "list",
  summary: "List pods",
  usage: "[--full] [--no-legend] [--format=json|json-pretty]",
  description: "Displays a table of information about the pods, also of those that are over, until they are removed.",
  flags: [
    { name: "no-legend", kind: "bool", usage: "suppress a legend with the list" },
    { name: "full", kind: "bool", usage: "use long output format" },
    FORMAT_FLAG,
  ],
  run: listCommand,
};

async function listCommand({ engine, flags, output }: CommandInput): Promise<void> {
  const format = jsonFormat(flags);
  const podJson = format === undefined ? undefined : (await import("../pod-json.ts")).podJson;
  const reader = podReader(engine.dataDir, linux);
  const names = podNamesByUuid(engine.dataDir);
  // A column of rkt 1.x's callers does not move: the last one, where there is something to show.
  const named = names.size > 0;
  const full = flags.bool("full");
  const rows: string[][] = flags.bool("no-legend")
    ? []
    : [[...(full ? FULL_LEGEND : SHORT_LEGEND), ...(named ? ["NAME"] : [])]];
  const pods: Writable[] = [];
  const notes: string[] = [];
  const problems: string[] = [];
  for (const pod of eachPod(reader, LISTED_PLACES, (text) => notes.push(text))) {
    const name = names.get(pod.uuid);
    const onProblem = (what: string) => (error: unknown) => problems.push(`${what}:\n  ${errorLine(error)}`);
    if (podJson !== undefined)
      pods.push(podJson(linux, pod, onProblem(`Unable to read pod ${pod.uuid} manifest`), { name }));
    else
      for (const [index, row] of podRows(linux, pod, full, onProblem).entries())
        rows.push(named ? [...row, index === 0 ? (name ?? "") : ""] : row);
    if (pod.supervisorLost) notes.push(lostSupervisorNote(pod));
  }
  // Go's nil slice.
  if (format !== undefined) output.stdout(formatted(pods.length === 0 ? null : pods, format));
  else output.stdout(formatTable(rows));
  for (const note of notes) output.error(note);
  if (problems.length > 0) tellProblems(output, problems);
}

const SHORT_LEGEND = ["UUID", "APP", "IMAGE NAME", "STATE", "CREATED", "STARTED", "NETWORKS"];
const FULL_LEGEND = ["UUID", "APP", "IMAGE NAME", "IMAGE ID", "STATE", "CREATED", "STARTED", "NETWORKS"];

type OnProblem = (what: string) => (error: unknown) => void;

/** One row an app; what is the pod's stands in the first only. */
function podRows(host: Host, pod: Pod, full: boolean, onProblem: OnProblem): string[][] {
  const names = attempt(
    () => (manifestExpected(pod) ? appNames(host, pod) : []),
    onProblem(`Unable to read pod ${pod.uuid} manifest`),
  );
  const networks = attempt(() => podNetworks(host, pod), onProblem(`Unable to read the networks of pod ${pod.uuid}`));
  const time = (at: bigint | undefined) => (at === undefined ? "" : full ? goTime(at) : humanTime(dateOf(at)));
  const columns = {
    uuid: full ? pod.uuid : pod.uuid.slice(0, 8),
    state: pod.state,
    created: time(createdAt(host, pod)),
    started: time(startedAt(host, pod)),
    networks: networksText(networks ?? []),
  };
  const apps = (names ?? []).map(({ name, imageId }) => ({
    app: name,
    image:
      attempt(() => appImageName(host, pod, name), onProblem(`pod ${pod.uuid} ImageManifest could not be loaded`)) ??
      "--",
    id: imageId.slice(0, "sha512-".length + 12),
  }));
  if (apps.length === 0) apps.push(NO_APP);
  return apps.map(({ app, image, id }, index) => {
    const { uuid, state, created, started, networks } = index === 0 ? columns : NO_POD;
    return full
      ? [uuid, app, image, id, state, created, started, networks]
      : [uuid, app, image, state, created, started, networks];
  });
}

const NO_APP = { app: "-", image: "-", id: "-" };
const NO_POD = { uuid: "", state: "", created: "", started: "", networks: "" };

function dateOf(nanoseconds: bigint): Date {
  return new Date(Number(nanoseconds / 1_000_000n));
}

function attempt<T>(read: () => T, onProblem: (error: unknown) => void): T | undefined {
  try {
    return read();
  } catch (error) {
    onProblem(error);
    return undefined;
  }
}

/** rkt's block of errors; the status stays 0, because the list itself is complete. */
function tellProblems(output: Output, problems: readonly string[]): void {
  const line = "-".repeat(40);
  output.error(`${problems.length} error(s) encountered when listing pods:`);
  for (const text of [line, ...problems.flatMap((problem) => [problem, line])]) output.error(text);
  output.error("misc:");
  output.error(`  rkt's appc version: ${APPC_VERSION}`);
  output.error(line);
}
