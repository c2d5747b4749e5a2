/** rkt logs: what the apps of a pod have written. */

import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { RktError } from "../../core/errors.ts";
import { quoted } from "../../core/text.ts";
import { linux } from "../../host/mod.ts";
import {
  appNames,
  closePod,
  isAfterRun,
  openPod,
  type Pod,
  type PodReader,
  podReader,
  readPodFile,
  retrievePod,
} from "../../pod/mod.ts";
import type { Command, CommandInput, FlagValues } from "../command.ts";
import { openConsole, readConsole } from "../console-lines.ts";
import { openJournal, readJournal } from "../journal-lines.ts";
import { formatLine, type LogLine } from "../log-line.ts";
import { podWord, UUID_FILE_FLAG } from "../pod-words.ts";
import { readPointInTime } from "../point-in-time.ts";

export const command: Command = {
  name: "logs",
  summary: "Print what the apps of a pod have written",
  usage: "[-f] [--app=APPNAME] [--since=TIME] [--until=TIME] [-n LINES] [--timestamps] [--format=json] UUID",
  description: `From the pod's journal, of a running or an exited pod. A pod has one when it was started with --detach, on a host that runs systemd, or with --annotation=coreos.com/rkt/stage1/journal=true. Of a detached pod without one (fly), what it wrote to its console: without times, and not by app.

TIME is a date and time (2026-01-31T12:00:00Z; without a zone the host's), seconds since 1970 (@1769860800), or how long ago (10m, 1h30m). Control characters are shown as \\xNN on a terminal; a file or a pipe gets every byte as the app wrote it.`,
  flags: [
    { name: "follow", short: "f", kind: "bool", usage: "wait for more, until the pod is over" },
    { name: "app", kind: "string", usage: "the lines of this app only" },
    { name: "since", kind: "string", usage: "not before this time" },
    { name: "until", kind: "string", usage: "not after this time" },
    { name: "tail", short: "n", kind: "string", usage: "only the last LINES lines" },
    { name: "timestamps", kind: "bool", usage: "begin each line with its time" },
    { name: "console", kind: "bool", usage: "of a detached pod, what rkt, the pod's supervisor and its init said" },
    { name: "format", kind: "string", usage: "choose the output format: 'json', an object a line; text when empty" },
    UUID_FILE_FLAG,
  ],
  requiresRoot: true,
  run: logsCommand,
};

async function logsCommand(input: CommandInput): Promise<void> {
  const { engine, flags } = input;
  const query = readQuery(flags);
  const word = podWord(input);
  const reader = podReader(engine.dataDir, linux);
  const pod = retrievePod(reader, word);
  const open: number[] = [];
  try {
    if (["embryo", "preparing", "aborted prepare", "prepared", "garbage", "deleting"].includes(pod.state))
      throw new RktError(
        "WRONG_STATE",
        `Cannot show the logs of pod ${quoted(pod.uuid)}: it is ${pod.state}, expected running or exited`,
      );
    const apps = appNames(linux, pod).map(({ name }) => name);
    if (query.app !== undefined && !apps.includes(query.app))
      throw new RktError("NOT_FOUND", `app ${quoted(query.app)} is not present in pod`);
    const journal = query.console ? undefined : openJournal(pod, stage1TreeId(pod));
    const source = journal ?? openConsole(pod);
    if (source === undefined) throw nothingKept(pod, query.console);
    open.push(source);
    const chosen = query.app === undefined ? apps : [query.app];
    const print = printer({ ...query, apps: chosen.length > 1 && journal !== undefined });
    if (journal === undefined) {
      refuseWithoutTimes(pod, query, apps.length);
      return await readConsole(source, { ...query, isOver: () => isOver(reader, pod) }, print);
    }
    const stop = query.follow ? podEnd(reader, pod) : new Promise<void>(() => undefined);
    await readJournal(engine, pod, journal, { ...query, apps: chosen }, print, stop);
  } finally {
    for (const fd of open) linux.close(fd);
    closePod(linux, pod);
  }
}

interface Query {
  readonly follow: boolean;
  readonly app: string | undefined;
  readonly since: number | undefined;
  readonly until: number | undefined;
  readonly tail: number | undefined;
  readonly timestamps: boolean;
  readonly json: boolean;
  readonly console: boolean;
}

function readQuery(flags: FlagValues): Query {
  const tail = flags.string("tail");
  if (!/^([0-9]{1,9}|all|)$/.test(tail))
    throw new RktError("USAGE", `Cannot use ${quoted(tail)} for --tail: expected a number of lines`);
  const format = flags.string("format");
  if (format !== "" && format !== "json") throw new RktError("USAGE", `Invalid format option: ${format}`);
  const time = (flag: string) => (flags.given(flag) ? readPointInTime(flag, flags.string(flag)) : undefined);
  return {
    follow: flags.bool("follow"),
    app: flags.given("app") ? flags.string("app") : undefined,
    since: time("since"),
    until: time("until"),
    tail: tail === "" || tail === "all" ? undefined : Number(tail),
    timestamps: flags.bool("timestamps"),
    json: format === "json",
    console: flags.bool("console"),
  };
}

/** Written at once: who follows sees each line when it comes. */
function printer(format: { json: boolean; timestamps: boolean; apps: boolean }): (line: LogLine) => void {
  const terminal = isatty(1);
  return (line) => write(formatLine(line, { ...format, terminal }));
}

function write(bytes: Buffer): void {
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(1, bytes, offset);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      // `rkt logs -f | head`: nobody reads any more.
      if (code === "EPIPE") process.exit(0);
      if (code !== "EAGAIN") throw new RktError("OUTPUT", "Cannot write to standard output", { cause: error });
      Bun.sleepSync(5);
    }
  }
}

/** What a console cannot tell is refused rather than ignored. */
function refuseWithoutTimes(pod: Pod, query: Query, apps: number): void {
  const asked = [
    ...(query.since === undefined ? [] : ["--since"]),
    ...(query.until === undefined ? [] : ["--until"]),
    ...(query.timestamps ? ["--timestamps"] : []),
    ...(query.app !== undefined && apps > 1 ? ["--app"] : []),
  ];
  if (asked.length === 0) return;
  throw new RktError(
    "UNSUPPORTED",
    `Cannot use ${asked.join(", ")}: pod ${quoted(pod.uuid)} has no journal, only a console, whose lines have no time and no app`,
  );
}

function nothingKept(pod: Pod, consoleAsked: boolean): RktError {
  const what = consoleAsked
    ? "it was not started with --detach"
    : "it keeps no journal, and its output went to whoever started it";
  return new RktError("NOT_FOUND", `Cannot show the logs of pod ${quoted(pod.uuid)}: ${what}`, {
    hint: "start pods with --detach, or with --annotation=coreos.com/rkt/stage1/journal=true",
  });
}

function stage1TreeId(pod: Pod): string {
  const tree = readPodFile(linux, pod, "stage1TreeStoreID", 1024)?.text.trim() ?? "";
  return /^[a-z0-9-]+$/.test(tree) ? tree : "none";
}

function isOver(reader: PodReader, { uuid }: Pod): boolean {
  const pod = openPod(podReader(reader.dataDir, linux), uuid);
  if (pod === undefined) return true;
  closePod(linux, pod);
  return isAfterRun(pod.state);
}

/** The pod's end, and a little time for journalctl to tell the last lines. */
async function podEnd(reader: PodReader, pod: Pod): Promise<void> {
  while (!isOver(reader, pod)) await Bun.sleep(250);
  await Bun.sleep(500);
}
