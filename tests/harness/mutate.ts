/** Damaged input for decoders: valid input, changed in a few places, in bytes or in the structure of its JSON. */

import { below, pick, type Random } from "./random.ts";

const BYTES = [0, 1, 0x0a, 0x20, 0x22, 0x2f, 0x30, 0x37, 0x5c, 0x7f, 0x80, 0xff];

/** A copy of one of `seeds` with one to eight changes: bits, bytes, pieces taken out, doubled, or put in from another seed. */
export function mutateBytes(random: Random, seeds: readonly Uint8Array[]): Buffer {
  let bytes: Buffer = Buffer.from(pick(random, seeds));
  for (let count = 1 + below(random, 8); count > 0; count -= 1) bytes = changeBytes(random, bytes, seeds);
  return bytes;
}

function changeBytes(random: Random, bytes: Buffer, seeds: readonly Uint8Array[]): Buffer {
  const at = below(random, bytes.length + 1);
  const length = 1 + below(random, random() < 0.8 ? 16 : 1024);
  const [head, rest] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (below(random, 8)) {
    case 0:
    case 1:
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(random, 8));
      return bytes;
    case 2:
      if (at < bytes.length) bytes[at] = pick(random, BYTES);
      return bytes;
    case 3:
      return Buffer.concat([head, rest.subarray(length)]);
    case 4:
      return Buffer.concat([head, rest.subarray(0, length), rest]);
    case 5:
      return Buffer.concat([
        head,
        Buffer.alloc(length, pick(random, BYTES)),
        rest.subarray(random() < 0.5 ? length : 0),
      ]);
    case 6: {
      const other = pick(random, seeds);
      const from = below(random, other.length + 1);
      return Buffer.concat([head, other.subarray(from, from + length), rest.subarray(random() < 0.5 ? length : 0)]);
    }
  }
  return random() < 0.2 ? Buffer.from(head) : bytes;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const TEXTS = [
  ...[
    "",
    " ",
    "0",
    "-1",
    "a",
    "A",
    "../../etc/passwd",
    "/",
    "//",
    ".",
    "..",
    "a/b",
    "sha256:00",
    "\0",
    "\n",
    "\u001b[2J",
  ],
  ...[
    "\ud800",
    "é",
    "\u202e",
    "__proto__",
    "constructor",
    "toString",
    "true",
    "null",
    "1e3",
    "0x10",
    "١",
    "%2e%2e",
    "*",
  ],
  "x".repeat(300),
  `sha256:${"0".repeat(64)}`,
  `sha512-${"f".repeat(64)}`,
];
const NUMBERS = [0, -0, -1, 1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), 1e21, 1e308, 5e-324];
const KEYS = ["__proto__", "constructor", "name", "", "length", "size", "a\0b", "toString", "hasOwnProperty"];

/** JSON text: one of `seeds` with one to four values replaced, left out, doubled or moved; at times with damaged bytes or a key twice. */
export function mutateJson(random: Random, seeds: readonly Json[]): Buffer {
  let value = copy(pick(random, seeds));
  for (let count = 1 + below(random, 4); count > 0; count -= 1) value = changeJson(random, value, seeds);
  let text = JSON.stringify(value);
  if (random() < 0.05) text = text.replace(/"([^"]+)":/, `"$1":${pick(random, ["null", "[]", '"x"', "1"])},"$1":`);
  // What JSON.stringify never writes, and a reader must survive.
  if (random() < 0.03) text = text.replace(/:[0-9]+/, `:${pick(random, ["1e999", "-0", "01", "1.", "NaN"])}`);
  if (random() < 0.02) text = `${"[".repeat(below(random, 20_000))}${text}`;
  const bytes = Buffer.from(text);
  return random() < 0.15 ? mutateBytes(random, [bytes]) : bytes;
}

function changeJson(random: Random, value: Json, seeds: readonly Json[]): Json {
  if (value === null || typeof value !== "object" || random() < 0.04) return otherJson(random, seeds);
  if (Array.isArray(value)) {
    const at = below(random, value.length + 1);
    const chosen = value[at];
    const kind = random();
    if (chosen === undefined || kind < 0.08) value.splice(at, 0, otherJson(random, seeds));
    else if (kind < 0.16) value.splice(at, 1);
    else if (kind < 0.24) value.splice(at, 0, copy(chosen));
    else value[at] = changeJson(random, chosen, seeds);
    return value;
  }
  const keys = Object.keys(value);
  const key = pick(random, keys.length === 0 ? KEYS : keys);
  const kind = random();
  if (kind < 0.08) delete value[key];
  else if (kind < 0.14)
    set(value, pick(random, random() < 0.5 ? KEYS : keysOf(pick(random, seeds))), otherJson(random, seeds));
  else if (kind < 0.18) set(value, pick(random, KEYS), own(value, key));
  else set(value, key, changeJson(random, own(value, key), seeds));
  return value;
}

/** By way of text, as a document comes: a key `__proto__` stays a key. */
function copy(value: Json): Json {
  return JSON.parse(JSON.stringify(value));
}

/** Reading `__proto__` where it is no key would give the prototype of all objects. */
function own(object: { [key: string]: Json }, key: string): Json {
  return Object.hasOwn(object, key) ? (object[key] ?? null) : null;
}

/** Assigning would call the setter of `__proto__`. */
function set(object: { [key: string]: Json }, key: string, value: Json): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

function otherJson(random: Random, seeds: readonly Json[]): Json {
  switch (below(random, 7)) {
    case 0:
      return null;
    case 1:
      return random() < 0.5;
    case 2:
      return pick(random, NUMBERS);
    case 3:
      return random() < 0.5 ? [] : {};
    case 4:
      return copy(pick(random, valuesOf(pick(random, seeds))));
  }
  return pick(random, TEXTS);
}

function keysOf(value: Json): string[] {
  const keys = value !== null && typeof value === "object" && !Array.isArray(value) ? Object.keys(value) : [];
  return keys.length === 0 ? KEYS : keys;
}

/** The value and all values anywhere below. */
function valuesOf(value: Json): Json[] {
  if (value === null || typeof value !== "object") return [value];
  return [value, ...Object.values(value).flatMap(valuesOf)];
}

/** Text: one of `seeds` with changed bytes, or pieces of several put together. */
export function mutateText(random: Random, seeds: readonly string[]): Buffer {
  if (random() < 0.3) {
    const part = () => {
      const text = random() < 0.7 ? pick(random, seeds) : pick(random, TEXTS);
      return text.slice(below(random, text.length + 1));
    };
    return Buffer.from(Array.from({ length: 1 + below(random, 3) }, part).join(""));
  }
  return mutateBytes(
    random,
    seeds.map((seed) => Buffer.from(seed)),
  );
}
