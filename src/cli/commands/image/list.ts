/** rkt image list: the images of the store. */

import type { DataDir } from "../../../core/data-dir.ts";
import { formatDigest } from "../../../core/digest.ts";
import { RktError } from "../../../core/errors.ts";
import { signerText } from "../../../core/signer-text.ts";
import type { StoredImage } from "../../../core/spine.ts";
import { printable, quoted } from "../../../core/text.ts";
import { renderedSize } from "../../../render/rendered-size.ts";
import { shortAppString } from "../../../spec/appc/app-string.ts";
import { ordered } from "../../../spec/json-text.ts";
import { listImages } from "../../../store/list-images.ts";
import { warnOfLostIndex } from "../../../store/rebuild-index.ts";
import type { Command, CommandInput, FlagValues, Output } from "../../command.ts";
import { CommandLineError } from "../../command-line-error.ts";
import { goTime, humanSize, humanTime } from "../../human.ts";
import { FORMAT_FLAG, formatted, jsonFormat } from "../../output-format.ts";
import type { StoreUsage } from "../../store-usage.ts";
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
  /** OCI: of the manifest; ACI: of the archive as it came. "sha256:…", "sha512:…". */
  readonly digest: string;
  /** Who signed it, as root recorded it. */
  readonly signer: string;
  /** With --disk-usage: bytes on the disk, and those that nothing else needs. */
  readonly disk: number | undefined;
  readonly unique: number | undefined;
}

const HEADINGS = {
  id: "ID",
  name: "NAME",
  size: "SIZE",
  importtime: "IMPORT TIME",
  lastused: "LAST USED",
  digest: "DIGEST",
  signer: "SIGNER",
} as const;
type Field = keyof typeof HEADINGS;
const FIELDS = Object.keys(HEADINGS) as Field[];
/** rkt 1.x's. */
const DEFAULT_FIELDS: readonly Field[] = ["id", "name", "size", "importtime", "lastused"];
const DISK_HEADINGS = ["DISK", "UNIQUE"];

type SortField = "name" | "importtime" | "lastused" | "size";
const SORT_FIELDS: readonly SortField[] = ["name", "importtime", "lastused", "size"];

export const command: Command = {
  name: "list",
  summary: "List images in the local store",
  usage: "[--fields=…] [--sort=…] [--order=asc|desc] [--full] [--no-legend] [--disk-usage] [--format=json|json-pretty]",
  description: `Optionally, allows the user to specify the fields and sort order.

SIZE is the archive or the layers as they came, and the files in the unpacked layers; what images share counts for each. With --disk-usage (root only) the blocks on the disk are counted as du does: of each image all that it uses, and what would be free without it; then where every byte of the data directory is.`,
  flags: [
    {
      name: "fields",
      kind: "list",
      default: DEFAULT_FIELDS.join(),
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
    { name: "disk-usage", kind: "bool", usage: "count bytes on the disk, and account for the whole data directory" },
    { name: "no-legend", kind: "bool", usage: "suppress a legend with the list" },
    { name: "full", kind: "bool", usage: "use long output format" },
    FORMAT_FLAG,
  ],
  readsImages: true,
  run: listCommand,
};

async function listCommand({ engine, flags, output }: CommandInput): Promise<void> {
  const format = jsonFormat(flags);
  const fields = options(flags, "fields", FIELDS);
  const order = compare(options(flags, "sort", SORT_FIELDS), isDescending(flags));
  const usage = flags.bool("disk-usage") ? await usageOf(engine, output) : undefined;
  const entries = listImages(engine.dataDir, { emit: engine.emit })
    .map((image) => entryOf(engine.dataDir, image, usage))
    .sort(order);
  if (entries.length === 0) warnOfLostIndex(engine.dataDir, engine);
  if (format !== undefined) {
    // Go's nil slice.
    const images = entries.length === 0 ? null : entries.map(entryJson);
    output.stdout(
      formatted(usage === undefined ? images : ordered(["images", images], ["disk_usage", { ...usage.sums }]), format),
    );
    return;
  }
  const full = flags.bool("full");
  const headings = [...fields.map((field) => HEADINGS[field]), ...(usage === undefined ? [] : DISK_HEADINGS)];
  const legend = flags.bool("no-legend") ? [] : [headings];
  const rows = entries.map((entry) => [
    ...fields.map((field) => cell(entry, field, full)),
    ...[entry.disk, entry.unique].filter((bytes) => bytes !== undefined).map((bytes) => sizeText(bytes, full)),
  ]);
  output.stdout(formatTable([...legend, ...rows]));
  if (usage !== undefined) {
    const sums = Object.entries(usage.sums).map(([name, bytes]) => [name, sizeText(bytes, full)]);
    output.stdout(`\n${formatTable(sums)}`);
  }
}

/** Loaded only here: the plain list is read by scripts, often. */
async function usageOf({ dataDir, emit }: CommandInput["engine"], output: Output): Promise<StoreUsage> {
  if (process.geteuid?.() !== 0) {
    throw new RktError("PERMISSION", "Cannot count bytes on the disk: permission denied", {
      hint: "only root sees the unpacked layers: run as root, or without --disk-usage",
    });
  }
  const { storeUsage } = await import("../../store-usage.ts");
  return storeUsage(dataDir, emit, output.error);
}

function sizeText(bytes: number, full: boolean): string {
  return full ? String(bytes) : humanSize(bytes);
}

function entryOf(dataDir: DataDir, image: StoredImage, usage: StoreUsage | undefined): Entry {
  const blob = image.manifest ?? image.layers[0];
  const onDisk = usage?.images.get(image.id);
  return {
    id: image.id,
    name: printable(shortAppString(image)),
    bareName: image.name,
    size: image.size + renderedSize(dataDir, image),
    importTime: image.importTime,
    lastUsed: image.lastUsed,
    digest: blob === undefined ? "" : formatDigest(blob.digest),
    signer: printable(signerText(image)),
    disk: onDisk?.disk,
    unique: onDisk?.unique,
  };
}

/** rkt 1.x's keys first. */
function entryJson(entry: Entry): ReturnType<typeof ordered> {
  return ordered(
    ["id", entry.id],
    ["name", entry.name],
    ["import_time", entry.importTime],
    ["last_used_time", entry.lastUsed],
    ["size", entry.size],
    ["digest", entry.digest],
    ["signer", entry.signer],
    ["disk", entry.disk],
    ["unique", entry.unique],
  );
}

function cell(entry: Entry, field: Field, full: boolean): string {
  const time = (at: bigint) => (full ? goTime(at) : humanTime(new Date(Number(at / 1_000_000n))));
  switch (field) {
    case "id":
      return full ? entry.id : entry.id.slice(0, "sha512-".length + 12);
    case "name":
      return entry.name;
    case "size":
      return sizeText(entry.size, full);
    case "importtime":
      return time(entry.importTime);
    case "lastused":
      return time(entry.lastUsed);
    case "digest":
      return full ? entry.digest : entry.digest.slice(0, entry.digest.indexOf(":") + 13);
    case "signer":
      return full
        ? entry.signer
        : entry.signer.replace(/^(openpgp:)[0-9a-f]{24}|^(key:[0-9a-f]{16})[0-9a-f]{48}$/, "$1$2");
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
