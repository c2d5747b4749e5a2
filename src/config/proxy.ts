/** Which proxy a request goes through: the variables that curl, Go and others read, read once by the caller and handed to the worker. */

import { RktError } from "../core/errors.ts";
import { ipVersion } from "../spec/ip.ts";

/** Values of the variables; absent ones are undefined. May hold a proxy's credentials: never printed. */
export interface ProxySettings {
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Comma-separated hosts, domains (".example.com" and "example.com" alike), "host:port", networks ("10.0.0.0/8", "fd00::/8") and "*". */
  readonly none: string | undefined;
}

export const NO_PROXIES: ProxySettings = { http: undefined, https: undefined, none: undefined };

/** Reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in capitals or not. Throws INVALID_INPUT for a proxy that cannot be used, without showing it. */
export function proxiesFromEnvironment(env: Readonly<Record<string, string | undefined>>): ProxySettings {
  const read = (name: string) => env[name] || env[name.toLowerCase()] || undefined;
  const proxy = (name: string) => checked(name, read(name));
  return { http: proxy("HTTP_PROXY"), https: proxy("HTTPS_PROXY"), none: read("NO_PROXY") };
}

function checked(name: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const url = value.includes("://") ? value : `http://${value}`;
  if (URL.canParse(url) && ["http:", "https:"].includes(new URL(url).protocol)) return url;
  throw new RktError(
    "INVALID_INPUT",
    `Cannot use the proxy in ${name}: expected http://HOST:PORT or https://HOST:PORT`,
  );
}

/** The proxy's URL for `url`, or undefined for a direct connection. Loopback is always direct, as in Go's client. */
export function proxyFor(url: URL, proxies: ProxySettings): string | undefined {
  const proxy = url.protocol === "https:" ? proxies.https : proxies.http;
  return proxy === undefined || isExcepted(url, proxies.none ?? "") ? undefined : proxy;
}

function isExcepted(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (host === "localhost" || host === "::1" || host.startsWith("127.")) return true;
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return list
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== "" && matches(entry, host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === "*") return true;
  const slash = entry.indexOf("/");
  if (slash >= 0) return inNetwork(host, entry.slice(0, slash), entry.slice(slash + 1));
  const withPort = /^(.*[^:]):(\d+)$/.exec(entry);
  if (withPort !== null && withPort[2] !== port) return false;
  const name = (withPort?.[1] ?? entry).replace(/^\*?\./, "").replace(/^\[|\]$/g, "");
  return host === name || host.endsWith(`.${name}`);
}

/** Addresses are compared bit by bit; a host that is a name is in no network. */
function inNetwork(host: string, network: string, prefix: string): boolean {
  const [a, b] = [addressBits(host), addressBits(network)];
  const length = Number(prefix);
  return /^\d{1,3}$/.test(prefix) && a.length === b.length && length <= a.length && a.length > 0
    ? a.slice(0, length) === b.slice(0, length)
    : false;
}

/** An address as a string of 32 or 128 bits; "" for what is none. */
function addressBits(text: string): string {
  if (ipVersion(text) === 4)
    return text
      .split(".")
      .map((part) => bits(Number(part), 8))
      .join("");
  if (ipVersion(text) !== 6) return "";
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => part.split(":").filter(Boolean).flatMap(group);
  const [before, after] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => bits(0, 16));
  return [...before, ...zeros, ...after].join("");
}

/** "fe80", or the last two groups written as an IPv4 address. */
function group(text: string): string[] {
  if (!text.includes(".")) return [bits(Number.parseInt(text, 16), 16)];
  const address = addressBits(text);
  return [address.slice(0, 16), address.slice(16)];
}

function bits(value: number, width: number): string {
  return value.toString(2).padStart(width, "0");
}
