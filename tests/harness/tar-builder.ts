/** Archives built byte by byte: what no honest tool would write, and what it would, without any of the code under test. */

type Bytes = string | Uint8Array;

export interface Member {
  name: Bytes;
  /** Type character; "0" (a file) by default, "5" when the name ends in a slash. */
  type?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  data?: Bytes;
  /** Written into the header instead of the data's length. */
  size?: number;
  link?: Bytes;
  major?: number;
  minor?: number;
  /** Written instead of the right checksum. */
  checksum?: number;
  /** "ustar\0" + "00" by default; "gnu" or "v7". */
  magic?: "ustar" | "gnu" | "v7";
  prefix?: string;
  /** Records of an extended header that is put before the member. */
  pax?: Readonly<Record<string, Bytes>> | readonly (readonly [string, Bytes])[];
  /** Last change to the header block, before its checksum is computed. */
  patch?: (header: Buffer) => void;
}

const BLOCK = 512;

/** An archive with its end mark. */
export function tar(...members: (Member | Buffer)[]): Buffer {
  return Buffer.concat([...members.map((member) => (Buffer.isBuffer(member) ? member : memberBytes(member))), END]);
}

export const END = Buffer.alloc(2 * BLOCK);

/** Header and padded data, without an end mark. */
export function memberBytes(member: Member): Buffer {
  const data = bytes(member.data ?? "");
  const parts = member.pax === undefined ? [] : [paxHeader(member.pax)];
  return Buffer.concat([...parts, headerBlock(member, data.length), pad(data)]);
}

/** An extended header: local ("x") or global ("g"). */
export function paxHeader(records: NonNullable<Member["pax"]>, type: "x" | "g" = "x"): Buffer {
  const entries: readonly (readonly [string, Bytes])[] = Array.isArray(records) ? records : Object.entries(records);
  const data = Buffer.concat(entries.map(([key, value]) => paxRecord(key, bytes(value))));
  return Buffer.concat([headerBlock({ name: "PaxHeader", type }, data.length), pad(data)]);
}

/** A GNU long name ("L") or long link target ("K") for the member that follows. */
export function gnuLong(type: "L" | "K", text: Bytes): Buffer {
  const data = Buffer.concat([bytes(text), Buffer.from([0])]);
  return Buffer.concat([headerBlock({ name: "././@LongLink", type, magic: "gnu" }, data.length), pad(data)]);
}

/** Big-endian base-256 with the marker bit. */
export function base256(value: bigint, length: number): Buffer {
  const field = Buffer.alloc(length);
  let rest = value < 0n ? value + (1n << BigInt(8 * length)) : value;
  for (let index = length - 1; index >= 0; index -= 1) {
    field[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  field[0] = (field[0] ?? 0) | 0x80;
  return field;
}

function headerBlock(member: Member, dataLength: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  const name = bytes(member.name);
  const type = member.type ?? (name.at(-1) === 0x2f ? "5" : "0");
  header.set(name.subarray(0, 100), 0);
  octal(header, 100, 8, member.mode ?? (type === "5" ? 0o755 : 0o644));
  octal(header, 108, 8, member.uid ?? 0);
  octal(header, 116, 8, member.gid ?? 0);
  octal(header, 124, 12, member.size ?? dataLength);
  octal(header, 136, 12, member.mtime ?? 1_000_000_000);
  header.write(type, 156, "latin1");
  header.set(bytes(member.link ?? "").subarray(0, 100), 157);
  if (member.magic !== "v7") {
    header.write(member.magic === "gnu" ? "ustar  \0" : "ustar\u000000", 257, "latin1");
    octal(header, 329, 8, member.major ?? 0);
    octal(header, 337, 8, member.minor ?? 0);
  }
  header.write(member.prefix ?? "", 345, "latin1");
  member.patch?.(header);
  header.fill(0x20, 148, 156);
  octal(header, 148, 7, member.checksum ?? header.reduce((sum, byte) => sum + byte, 0));
  return header;
}

function octal(header: Buffer, offset: number, length: number, value: number): void {
  header.write(value.toString(8).padStart(length - 1, "0"), offset, "latin1");
  header[offset + length - 1] = 0;
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function pad(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);
}

function bytes(value: Bytes): Buffer {
  return typeof value === "string" ? Buffer.from(value, "utf8") : Buffer.from(value);
}
