/** Where the host's routing tables send a packet: read from /proc/net/route and /proc/net/ipv6_route (proc(5)), without a program. Pure. */

export interface Route {
  /** The host's interface. */
  readonly interface: string;
  /** What the route covers, as CIDR: "172.16.28.5/32" for a point-to-point link, "10.1.0.0/16" for a bridge. */
  readonly destination: string;
}

interface Candidate extends Route {
  readonly prefix: number;
  readonly metric: number;
}

const RTF_UP = 0x1;
const RTF_GATEWAY = 0x2;
const RTF_REJECT = 0x200;
const RTF_LOCAL = 0x80000000;

/** The route to an IPv4 address (text of /proc/net/route): longest prefix, lowest metric, no rejecting one, none through another router. */
export function routeTo4(ip: string, table: string): Route | undefined {
  // The file prints addresses as the number that the bytes are in memory: the first byte is the lowest (little-endian machines, the only ones supported).
  const target = ip.split(".").reduceRight((number, byte) => number * 256 + Number(byte), 0);
  const candidates: Candidate[] = [];
  for (const line of table.split("\n").slice(1)) {
    const [name, destination = "", , flags = "", , , metric, mask] = line.trim().split(/\s+/);
    if (name === undefined || mask === undefined || !isDirect(Number.parseInt(flags, 16))) continue;
    const network = Number.parseInt(mask, 16);
    const number = Number.parseInt(destination, 16);
    if ((target & network) >>> 0 !== number) continue;
    const prefix = network.toString(2).replaceAll("0", "").length;
    const address = [0, 8, 16, 24].map((shift) => (number >>> shift) & 0xff).join(".");
    candidates.push({ interface: name, destination: `${address}/${prefix}`, prefix, metric: Number(metric) });
  }
  return best(candidates);
}

/** The same for IPv6 (text of /proc/net/ipv6_route). Local and multicast routes, which the file lists too, are left out. */
export function routeTo6(ip: string, table: string): Route | undefined {
  const target = ip6Bits(ip);
  const candidates: Candidate[] = [];
  for (const line of table.split("\n")) {
    const [destination = "", length = "", , , , metric = "", , , flags = "", name] = line.trim().split(/\s+/);
    const prefix = Number.parseInt(length, 16);
    if (name === undefined || target === undefined || name === "lo") continue;
    const bits = Number.parseInt(flags, 16);
    if (!isDirect(bits) || (bits & RTF_LOCAL) !== 0) continue;
    const network = BigInt(`0x${destination}`);
    const rest = BigInt(128 - prefix);
    if (target >> rest !== network >> rest) continue;
    const address = (destination.match(/.{4}/g) ?? []).join(":");
    const cidr = `${address}/${prefix}`;
    candidates.push({ interface: name, destination: cidr, prefix, metric: Number.parseInt(metric, 16) });
  }
  return best(candidates);
}

function isDirect(flags: number): boolean {
  return (flags & RTF_UP) !== 0 && (flags & (RTF_REJECT | RTF_GATEWAY)) === 0;
}

function best(candidates: readonly Candidate[]): Route | undefined {
  const [first] = [...candidates].sort((a, b) => b.prefix - a.prefix || a.metric - b.metric);
  return first === undefined ? undefined : { interface: first.interface, destination: first.destination };
}

/** The 16 bytes of an IPv6 address; undefined when it is none. */
export function ip6Bytes(ip: string): Uint8Array | undefined {
  const bits = ip6Bits(ip);
  if (bits === undefined) return undefined;
  return Uint8Array.from({ length: 16 }, (_, index) => Number((bits >> BigInt(8 * (15 - index))) & 0xffn));
}

function ip6Bits(ip: string): bigint | undefined {
  // RFC 4291, section 2.2: the last 32 bits may be written as an IPv4 address.
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(ip);
  const [, head = "", a, b, c, d] = dotted ?? [];
  const pair = (high: string | undefined, low: string | undefined) => (Number(high) * 256 + Number(low)).toString(16);
  const text = dotted === null ? ip : `${head}${pair(a, b)}:${pair(c, d)}`;
  const [left = "", right, ...more] = text.split("::");
  const words = (part: string) => (part === "" ? [] : part.split(":"));
  const before = words(left);
  const after = right === undefined ? [] : words(right);
  const missing = 8 - before.length - after.length;
  if (more.length > 0 || (right === undefined ? missing !== 0 : missing < 1)) return undefined;
  const all = [...before, ...Array.from({ length: missing }, () => "0"), ...after];
  if (!all.every((word) => /^[0-9a-fA-F]{1,4}$/.test(word))) return undefined;
  return BigInt(`0x${all.map((word) => word.padStart(4, "0")).join("")}`);
}
