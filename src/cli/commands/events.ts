/** rkt events: what happened and happens to pods, apps and images. */

import { currentFacts, eventName, type RktFact, watchFacts } from "../../services/events.ts";
import { jsonText, ordered } from "../../spec/json-text.ts";
import type { Command, CommandInput } from "../command.ts";
import { CommandLineError } from "../command-line-error.ts";
import { parseDuration } from "../duration.ts";

export const command: Command = {
  name: "events",
  summary: "Print what happens to pods, apps and images",
  usage: "[--since=TIME] [--until=TIME] [--format=json]",
  description: `Prints a line for each event, until it is interrupted, or until TIME: pod-prepared, pod-prepare-aborted, pod-started, pod-exited, pod-garbage-collected, app-started, app-exited, image-imported, image-removed. With --since, first what happened since then, as far as the pods and images that are still there tell it.

TIME is a date and time (2026-01-31T12:00:00Z), seconds since 1970 (@1769860800), or how long ago (10m, 1h30m).`,
  flags: [
    { name: "since", kind: "string", usage: "also what happened since this time" },
    { name: "until", kind: "string", usage: "end at this time; at once when it is past" },
    { name: "format", kind: "string", usage: "choose the output format: 'json', an object a line; text when empty" },
  ],
  run: eventsCommand,
};

async function eventsCommand({ engine, flags, output }: CommandInput): Promise<void> {
  const format = flags.string("format");
  if (format !== "" && format !== "json") throw new CommandLineError(`Invalid format option: ${format}`);
  const [since, until] = [pointInTime(flags.string("since")), pointInTime(flags.string("until"))];
  const tell = (facts: readonly RktFact[]) => {
    for (const one of facts)
      if (until === undefined || one.time <= until) output.stdout(`${line(one, format === "json")}\n`);
  };
  const now = () => BigInt(Date.now()) * 1_000_000n;
  if (since !== undefined) tell(currentFacts(engine).filter(({ time }) => time >= since));
  await watchFacts(engine, tell, () => until !== undefined && now() > until);
}

function line({ type, id, from, time, data }: RktFact, json: boolean): string {
  const at = new Date(Number(time / 1_000_000n)).toISOString();
  if (json)
    return jsonText(
      ordered(["type", eventName(type)], ["id", id], ["from", from], ["time", time], ["data", new Map(data)]),
      "",
    );
  const details = data.map(([key, value]) => ` ${key}=${value}`).join("");
  return `${at} ${eventName(type)} ${id}${from === id ? "" : ` ${from}`}${details}`;
}

/** Nanoseconds since the epoch. */
function pointInTime(text: string): bigint | undefined {
  if (text === "") return undefined;
  if (/^@\d{1,12}$/.test(text)) return BigInt(text.slice(1)) * 1_000_000_000n;
  const at = /^\d{4}-/.test(text) ? Date.parse(text) : Date.now() - duration(text);
  if (Number.isNaN(at))
    throw new CommandLineError(`Cannot use ${text} as a time: expected 2026-01-31T12:00:00Z, @SECONDS or 10m`);
  return BigInt(Math.floor(at)) * 1_000_000n;
}

function duration(text: string): number {
  try {
    return parseDuration(text);
  } catch {
    return Number.NaN;
  }
}
