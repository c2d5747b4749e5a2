/** What a plugin answers to ADD, in every version of the specification (0.1.0, 0.3.0, 1.0.0: "Success"), as one type. */

import { RktError } from "../core/errors.ts";
import { isObject, listOf, objectOf, textOf, textsOf } from "../core/json.ts";
import { quoted } from "../core/text.ts";
import type { Address, NetworkDns, NetworkInterface } from "./types.ts";

export interface CniResult {
  readonly interface: NetworkInterface;
  readonly dns: NetworkDns | undefined;
}

/** Decodes the last result of a network. Throws HOST_PROGRAM when it is none. */
export function parseResult(network: string, ifName: string, result: unknown): CniResult {
  if (!isObject(result)) {
    throw new RktError("HOST_PROGRAM", `Cannot add network ${quoted(network)}: its plugin printed no result`);
  }
  const addresses = result.ips === undefined ? oldAddresses(result) : newAddresses(result);
  const inside = listOf(result.interfaces)
    .map(objectOf)
    .find((entry) => textOf(entry.sandbox) !== undefined && (entry.name === ifName || entry.name === undefined));
  return {
    interface: {
      network,
      ifName,
      ip4: addresses.find((address) => !address.ip.includes(":")),
      ip6: addresses.find((address) => address.ip.includes(":")),
      routes: routes(result),
      mac: textOf(inside?.mac),
      mtu: typeof inside?.mtu === "number" && inside.mtu > 0 ? inside.mtu : undefined,
    },
    dns: dns(network, result.dns),
  };
}

/** 0.1.0 and 0.2.0: `ip4` and `ip6`. */
function oldAddresses(result: Readonly<Record<string, unknown>>): Address[] {
  return [result.ip4, result.ip6].flatMap((value) => {
    const entry = objectOf(value);
    return address(entry.ip, entry.gateway);
  });
}

/** 0.3.0 and later: `ips`, each of one of `interfaces`, of which some are the host's (no sandbox). */
function newAddresses(result: Readonly<Record<string, unknown>>): Address[] {
  const interfaces = listOf(result.interfaces).map(objectOf);
  return listOf(result.ips).flatMap((value) => {
    const entry = objectOf(value);
    const owner = typeof entry.interface === "number" ? interfaces[entry.interface] : undefined;
    return owner !== undefined && textOf(owner.sandbox) === undefined ? [] : address(entry.address, entry.gateway);
  });
}

function address(cidr: unknown, gateway: unknown): Address[] {
  const match = /^([0-9.]+|[0-9a-fA-F:.]+)\/(\d{1,3})$/.exec(textOf(cidr) ?? "");
  const ip = match?.[1];
  return ip === undefined ? [] : [{ ip, prefix: Number(match?.[2]), gateway: textOf(gateway) }];
}

function routes(result: Readonly<Record<string, unknown>>): { dst: string; gw: string | undefined }[] {
  const old = [result.ip4, result.ip6].flatMap((value) => listOf(objectOf(value).routes));
  return [...listOf(result.routes), ...old].flatMap((value) => {
    const route = objectOf(value);
    const dst = textOf(route.dst);
    return dst === undefined ? [] : [{ dst, gw: textOf(route.gw) }];
  });
}

function dns(network: string, value: unknown): NetworkDns | undefined {
  const fields = objectOf(value);
  const found: NetworkDns = {
    nameservers: textsOf(fields.nameservers),
    search: textsOf(fields.search),
    domain: textOf(fields.domain),
    options: textsOf(fields.options),
    network,
  };
  const empty =
    found.nameservers.length + found.search.length + found.options.length === 0 && found.domain === undefined;
  return empty ? undefined : found;
}

/** The IPv4 netmask of a prefix length: 24 is 255.255.255.0. */
export function netmask(prefix: number): string {
  const bits = prefix <= 0 ? 0 : (0xffffffff << (32 - Math.min(prefix, 32))) >>> 0;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join(".");
}
