/**
 * As much of OpenPGP (RFC 4880) as is needed before gpgv takes over: armor off, packets counted, the fingerprint of a key. gpgv reads binary keyrings only, and
 * a signature file must hold detached signatures and nothing else.
 */

/** RFC 4880, section 4.3. */
export const TAG = { signature: 2, publicKey: 6, userId: 13, publicSubkey: 14 } as const;

export interface Packet {
  readonly tag: number;
  readonly body: Buffer;
}

/**
 * The binary form of `file`: itself when it is binary, else the content of its first armored block of `kind`. Undefined when it is neither, or damaged.
 */
export function dearmor(file: Uint8Array, kind: "PUBLIC KEY BLOCK" | "SIGNATURE"): Buffer | undefined {
  // RFC 4880, section 4.2: the first bit of a packet is always one, that of text never.
  if (((file[0] ?? 0) & 0x80) !== 0) return Buffer.from(file);
  const lines = Buffer.from(file)
    .toString("latin1")
    .split(/\r?\n/)
    .map((line) => line.trimEnd());
  const begin = lines.indexOf(`-----BEGIN PGP ${kind}-----`);
  const end = lines.indexOf(`-----END PGP ${kind}-----`, begin);
  // Headers ("Version: …") end with a blank line.
  const blank = lines.indexOf("", begin);
  if (begin < 0 || end < 0 || blank < 0 || blank > end) return undefined;
  const body = lines.slice(blank + 1, end).filter((line) => line !== "");
  const checksum = /^=([A-Za-z0-9+/]{4})$/.exec(body.at(-1) ?? "")?.[1];
  const base64 = (checksum === undefined ? body : body.slice(0, -1)).join("");
  return /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? decode(base64, checksum) : undefined;
}

function decode(base64: string, checksum: string | undefined): Buffer | undefined {
  const bytes = Buffer.from(base64, "base64");
  if (bytes.length === 0) return undefined;
  // Without a checksum (RFC 9580 drops it) the signature itself is the check.
  if (checksum !== undefined && Buffer.from(checksum, "base64").readUIntBE(0, 3) !== crc24(bytes)) return undefined;
  return bytes;
}

/** RFC 4880, section 6.1. */
function crc24(bytes: Uint8Array): number {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) {
      crc <<= 1;
      if ((crc & 0x1000000) !== 0) crc ^= 0x1864cfb;
    }
  }
  return crc & 0xffffff;
}

/** Every packet; undefined when the bytes are not a sequence of complete packets (RFC 4880, section 4.2). Partial lengths are for streams, and refused. */
export function packetsOf(bytes: Buffer): Packet[] | undefined {
  const packets: Packet[] = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] ?? 0;
    if ((first & 0x80) === 0) return undefined;
    const isNew = (first & 0x40) !== 0;
    const length = isNew ? newLength(bytes, at + 1) : oldLength(bytes, at + 1, first & 3);
    if (length === undefined || length.body + length.size > bytes.length) return undefined;
    packets.push({
      tag: isNew ? first & 0x3f : (first >> 2) & 0x0f,
      body: bytes.subarray(length.body, length.body + length.size),
    });
    at = length.body + length.size;
  }
  return packets;
}

interface Length {
  /** Where the body starts. */
  body: number;
  size: number;
}

function newLength(bytes: Buffer, at: number): Length | undefined {
  const first = bytes[at];
  const second = bytes[at + 1];
  if (first === undefined) return undefined;
  if (first < 192) return { body: at + 1, size: first };
  if (first < 224 && second !== undefined) return { body: at + 2, size: ((first - 192) << 8) + second + 192 };
  if (first === 255 && at + 5 <= bytes.length) return { body: at + 5, size: bytes.readUInt32BE(at + 1) };
  return undefined;
}

function oldLength(bytes: Buffer, at: number, kind: number): Length | undefined {
  const width = [1, 2, 4][kind];
  if (width === undefined || at + width > bytes.length) return undefined;
  return { body: at + width, size: bytes.readUIntBE(at, width) };
}

/** 40 lower-case hex digits of the first key; undefined when the bytes do not begin with a version 4 public key. */
export function keyFingerprint(bytes: Buffer): string | undefined {
  const key = packetsOf(bytes)?.[0];
  return key?.tag === TAG.publicKey ? packetFingerprint(key) : undefined;
}

/** The fingerprints of all primary keys in a keyring; none of one that is not of version 4. */
export function keyringFingerprints(bytes: Buffer): string[] {
  return (packetsOf(bytes) ?? [])
    .filter(({ tag }) => tag === TAG.publicKey)
    .flatMap((packet) => packetFingerprint(packet) ?? []);
}

/** RFC 4880, section 12.2: 40 lower-case hex digits; undefined for a key that is not of version 4. */
export function packetFingerprint({ body }: Packet): string | undefined {
  if (body[0] !== 4 || body.length > 0xffff) return undefined;
  const head = Buffer.from([0x99, body.length >> 8, body.length & 0xff]);
  return new Bun.CryptoHasher("sha1").update(head).update(body).digest("hex");
}

/** The armored form of a public key. */
export function armorKey(bytes: Buffer): string {
  const lines = bytes.toString("base64").replace(/(.{64})(?=.)/g, "$1\n");
  const checksum = Buffer.alloc(3);
  checksum.writeUIntBE(crc24(bytes), 0, 3);
  return `-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n${lines}\n=${checksum.toString("base64")}\n-----END PGP PUBLIC KEY BLOCK-----\n`;
}

/** True when the bytes are detached signatures only: a signed message in their place would be checked instead of the image. */
export function areSignatures(bytes: Buffer): boolean {
  const packets = packetsOf(bytes);
  return packets !== undefined && packets.length > 0 && packets.every(({ tag }) => tag === TAG.signature);
}
