/** rkt image list: the images of the store. */

import type { DataDir } from "../../../core/data-dir.ts";
import type { StoredImage } from "../../../core/spine.ts";
import { printable, quoted } from "../../../core/text.ts";
import { layerSize } from "../../../render/collect.ts";
import { layerIds } from "../../../render/layer-id.ts";
import { shortAppString } from "../../../spec/appc/app-string.ts";
import { ordered } from "../../../spec/json-text.ts";
import { listImages } from "../../../store/list-images.ts";
import type { Command, CommandInput, FlagValues } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";
import { goTime, humanSize, humanTime } from "../../human.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../../output-format.ts";
import { formatTable } from "../../table.ts";

/** An image as the list shows it. Times in nanoseconds. */
interface Entry {
  readonly id: string;
  readonly name: string;
  /** Without the version: what "name" sorts by. */
  readonly bareName: string;
  readonly size: number;
  readonly importTime: bigint;
  readonly lastUsed: bigint;
}

const HEADINGS = { id: "ID", name: "NAME", size: "SIZE", importtime: "IMPORT TIME", lastused: "LAST USED" } as const;
type Field = keyof typeof HEADINGS;
const FIELDS = Object.keys(HEADINGS) as Field[];

type SortField = Exclude<Field, "id">;
const SORT_FIELDS: readonly SortField[] = ["name", "importtime", "lastused", "size"];

export const command: Command = {
  name: "list",
  summary: "List images in the local store",
  usage: "[--fields=…] [--sort=…] [--order=asc|desc] [--full] [--no-legend] [--format=json|json-pretty]",
  description: "Optionally, allows the user to specify the fields and sort order.",
  flags: [
    {
      name: "fields",
      kind: "list",
      default: FIELDS.join(),
      usage: `comma-separated list of fields to display. Accepted values: ${FIELDS.map((field) => quoted(field)).join(", ")}`,
    },
    {
      name: "sort",
      kind: "list",
      default: "importtime",
      usage: `sort the output according to the provided comma-separated list of fields. Accepted values: ${SORT_FIELDS.map((field) => quoted(field)).join(", ")}`,
    },
    {
      name: "order",
      kind: "string",
      default: "asc",
      usage: 'choose the sorting order if at least one sort field is provided (--sort). Accepted values: "asc", "desc"',
    },
    { name: "no-legend", kind: "bool", usage: "suppress a legend with the list" },
    { name: "full", kind: "bool", usage: "use long output format" },
    FORMAT_FLAG,
  ],
  run: listCommand,
};

function listCommand({ engine, flags, output }: CommandInput): void {
  const format = jsonFormat(flags);
  const fields = options(flags, "fields", FIELDS);
  const order = compare(options(flags, "sort", SORT_FIELDS), isDescending(flags));
  const entries = listImages(engine.dataDir, { emit: engine.emit })
    .map((image) => entryOf(engine.dataDir, image))
    .sort(order);
  if (format !== undefined) {
    // Go's nil slice.
    output.stdout(formatted(entries.length === 0 ? null : entries.map(entryJson), format));
    return;
  }
  const full = flags.bool("full");
  const legend = flags.bool("no-legend") ? [] : [fields.map((field) => HEADINGS[field])];
  const rows = entries.map((entry) => fields.map((field) => cell(entry, field, full)));
  output.stdout(formatTable([...legend, ...rows]) || "\n");
}

function entryOf(dataDir: DataDir, image: StoredImage): Entry {
  return {
    id: image.id,
    name: printable(shortAppString(image)),
    bareName: image.name,
    size: image.size + renderedSize(dataDir, image),
    importTime: image.importTime,
    lastUsed: image.lastUsed,
  };
}

/** What the unpacked image takes; only root can see it, and layers that images share count for each. */
function renderedSize(dataDir: DataDir, image: StoredImage): number {
  try {
    return layerIds(image).reduce((sum, layerId) => sum + layerSize(dataDir, layerId), 0);
  } catch {
    // An image that cannot be rendered is listed all the same.
    return 0;
  }
}

function entryJson({ id, name, importTime, lastUsed, size }: Entry): ReturnType<typeof ordered> {
  return ordered(["id", id], ["name", name], ["import_time", importTime], ["last_used_time", lastUsed], ["size", size]);
}

function cell(entry: Entry, field: Field, full: boolean): string {
  const time = (at: bigint) => (full ? goTime(at) : humanTime(new Date(Number(at / 1_000_000n))));
  switch (field) {
    case "id":
      return full ? entry.id : entry.id.slice(0, "sha512-".length + 12);
    case "name":
      return entry.name;
    case "size":
      return full ? String(entry.size) : humanSize(entry.size);
    case "importtime":
      return time(entry.importTime);
    case "lastused":
      return time(entry.lastUsed);
  }
}

/** By each of `fields` in turn. */
function compare(fields: readonly SortField[], descending: boolean): (a: Entry, b: Entry) => number {
  const key = (entry: Entry, field: SortField): string | number | bigint => {
    if (field === "name") return entry.bareName;
    if (field === "size") return entry.size;
    return field === "importtime" ? entry.importTime : entry.lastUsed;
  };
  return (a, b) => {
    for (const field of fields) {
      const [x, y] = [key(a, field), key(b, field)];
      if (x !== y) return x < y !== descending ? -1 : 1;
    }
    return 0;
  };
}

/** The words of a list flag, in any case. Throws USAGE `unknown option "x"`, `duplicated option "x"` (rkt's words). */
function options<T extends string>(flags: FlagValues, name: string, known: readonly T[]): T[] {
  const chosen: T[] = [];
  for (const word of flags.list(name)) {
    const option = known.find((candidate) => candidate === word.toLowerCase());
    const problem = option === undefined ? "unknown" : chosen.includes(option) ? "duplicated" : undefined;
    if (option === undefined || problem !== undefined) {
      throw new CommandLineError(
        `invalid argument ${quoted(flags.list(name).join())} for --${name}: ${problem} option ${quoted(word)}`,
      );
    }
    chosen.push(option);
  }
  return chosen;
}

function isDescending(flags: FlagValues): boolean {
  const order = flags.string("order");
  if (["asc", "desc"].includes(order.toLowerCase())) return order.toLowerCase() === "desc";
  throw new CommandLineError(`invalid argument ${quoted(order)} for --order: wrong sort order`);
}
