/**
 * Messages of Protocol Buffers (protobuf.dev, "Encoding"; proto3): what the API of rkt 1.x needs of it. A message's fields are a table; decoding skips what the table
 * does not have, encoding leaves out what has its default. Numbers of 64 bits are numbers: times and sizes stay below 2^63, and beyond 2^53 they round.
 */

import { RktError } from "../core/errors.ts";

export type FieldKind = "string" | "bytes" | "bool" | "int32" | "int64" | "sint32" | "enum" | MessageType;

export interface Field {
  readonly number: number;
  readonly kind: FieldKind;
  readonly repeated?: true;
}

/** Fields by name. */
export interface MessageType {
  readonly name: string;
  readonly fields: Readonly<Record<string, Field>>;
}

export type Message = { readonly [field: string]: FieldValue };
export type FieldValue = string | number | bigint | boolean | Uint8Array | Message | readonly FieldValue[] | undefined;

const [VARINT, FIXED64, LENGTH, FIXED32] = [0, 1, 2, 5];

/** Throws INVALID_INPUT for bytes that are no such message. */
export function decodeMessage(type: MessageType, bytes: Uint8Array): Message {
  const reader = { bytes, at: 0 };
  const message: Record<string, FieldValue> = {};
  for (const [name, field] of Object.entries(type.fields)) message[name] = field.repeated ? [] : defaultOf(field.kind);
  const byNumber = new Map(Object.entries(type.fields).map(([name, field]) => [field.number, { name, field }]));
  while (reader.at < bytes.length) {
    const key = Number(readVarint(reader));
    const [number, wire] = [key >>> 3, key & 7];
    const known = byNumber.get(number);
    if (known === undefined) skip(reader, wire);
    else readField(reader, wire, known, message);
  }
  return message;
}

export function encodeMessage(type: MessageType, message: Message): Uint8Array {
  return Buffer.concat(
    Object.entries(type.fields).flatMap(([name, field]) => {
      const value = message[name];
      if (value === undefined) return [];
      if (!field.repeated) return isDefault(value) ? [] : writeField(field, value);
      const list = value as readonly FieldValue[];
      if (list.length === 0 || isDelimited(field.kind)) return list.flatMap((item) => writeField(field, item));
      const packed = Buffer.concat(list.map((item) => scalar(field.kind, item)));
      return [varint(BigInt((field.number << 3) | LENGTH)), varint(BigInt(packed.length)), packed];
    }),
  );
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

function readField(
  reader: Reader,
  wire: number,
  { name, field }: { name: string; field: Field },
  message: Record<string, FieldValue>,
): void {
  const add = (value: FieldValue) => {
    if (field.repeated) message[name] = [...(message[name] as readonly FieldValue[]), value];
    else message[name] = value;
  };
  if (isDelimited(field.kind)) {
    if (wire !== LENGTH) throw malformed(`field ${name} has wire type ${wire}`);
    const content = readDelimited(reader);
    if (typeof field.kind === "object") add(decodeMessage(field.kind, content));
    else add(field.kind === "bytes" ? content : text(content));
    return;
  }
  if (wire === VARINT) {
    add(number(field.kind, readVarint(reader)));
    return;
  }
  if (wire !== LENGTH) throw malformed(`field ${name} has wire type ${wire}`);
  // Numbers of a list come packed, or each by itself.
  const packed = { bytes: readDelimited(reader), at: 0 };
  while (packed.at < packed.bytes.length) add(number(field.kind, readVarint(packed)));
}

function number(kind: FieldKind, value: bigint): FieldValue {
  if (kind === "bool") return value !== 0n;
  if (kind === "sint32") return Number((value >> 1n) ^ -(value & 1n));
  return Number(BigInt.asIntN(kind === "int64" ? 64 : 32, value));
}

function readVarint(reader: Reader): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = reader.bytes[reader.at++];
    if (byte === undefined) throw malformed("it ends in a number");
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw malformed("a number is too long");
}

function readDelimited(reader: Reader): Uint8Array {
  const length = Number(readVarint(reader));
  const end = reader.at + length;
  if (end > reader.bytes.length) throw malformed("a field is longer than the message");
  const content = reader.bytes.subarray(reader.at, end);
  reader.at = end;
  return content;
}

function skip(reader: Reader, wire: number): void {
  if (wire === VARINT) readVarint(reader);
  else if (wire === LENGTH) readDelimited(reader);
  else if (wire === FIXED64) reader.at += 8;
  else if (wire === FIXED32) reader.at += 4;
  else throw malformed(`wire type ${wire}`);
}

function writeField({ number: id, kind }: Field, value: FieldValue): Uint8Array[] {
  if (!isDelimited(kind)) return [varint(BigInt(id << 3)), scalar(kind, value)];
  const content =
    typeof kind === "object"
      ? encodeMessage(kind, value as Message)
      : typeof value === "string"
        ? Buffer.from(value, "utf8")
        : (value as Uint8Array);
  return [varint(BigInt((id << 3) | LENGTH)), varint(BigInt(content.length)), content];
}

function scalar(kind: FieldKind, value: FieldValue): Uint8Array {
  const whole = typeof value === "bigint" ? value : BigInt(Math.trunc(Number(value)));
  return varint(kind === "sint32" ? (whole << 1n) ^ (whole >> 63n) : whole);
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

function isDelimited(kind: FieldKind): boolean {
  return typeof kind === "object" || kind === "string" || kind === "bytes";
}

function isDefault(value: FieldValue): boolean {
  return (
    value === "" ||
    value === 0 ||
    value === 0n ||
    value === false ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

function defaultOf(kind: FieldKind): FieldValue {
  if (typeof kind === "object") return undefined;
  if (kind === "string") return "";
  if (kind === "bytes") return new Uint8Array();
  return kind === "bool" ? false : 0;
}

function text(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw malformed("a text is not UTF-8");
  }
}

function malformed(why: string): RktError {
  return new RktError("INVALID_INPUT", `Cannot read the message: ${why}`);
}
