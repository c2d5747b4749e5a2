/** Which proxy a request goes through: the variables that curl, Go and others read, read once by the caller and handed to the worker. */

/** Values of the variables; absent ones are undefined. May hold a proxy's credentials: never printed. */
export interface ProxySettings {
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Comma-separated hosts, domains (".example.com" and "example.com" alike), "host:port", IPv4 networks ("10.0.0.0/8") and "*". */
  readonly none: string | undefined;
}

export const NO_PROXIES: ProxySettings = { http: undefined, https: undefined, none: undefined };

/** Reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in capitals or not. */
export function proxiesFromEnvironment(env: Readonly<Record<string, string | undefined>>): ProxySettings {
  const read = (name: string) => env[name] || env[name.toLowerCase()] || undefined;
  return { http: read("HTTP_PROXY"), https: read("HTTPS_PROXY"), none: read("NO_PROXY") };
}

/** The proxy's URL for `url`, or undefined for a direct connection. Loopback is always direct, as in Go's client. */
export function proxyFor(url: URL, proxies: ProxySettings): string | undefined {
  const proxy = url.protocol === "https:" ? proxies.https : proxies.http;
  if (proxy === undefined || isExcepted(url, proxies.none ?? "")) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
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
  const network = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(entry);
  if (network !== null) return inNetwork(host, network[1] ?? "", Number(network[2]));
  const withPort = /^(.*[^:]):(\d+)$/.exec(entry);
  if (withPort !== null && withPort[2] !== port) return false;
  const name = (withPort?.[1] ?? entry).replace(/^\*?\./, "").replace(/^\[|\]$/g, "");
  return host === name || host.endsWith(`.${name}`);
}

function inNetwork(host: string, network: string, bits: number): boolean {
  const [a, b] = [ipv4(host), ipv4(network)];
  if (a === undefined || b === undefined || bits > 32) return false;
  // A shift by 32 is a shift by 0 in JavaScript.
  return bits === 0 || a >>> (32 - bits) === b >>> (32 - bits);
}

function ipv4(text: string): number | undefined {
  const parts = text.split(".").map(Number);
  if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) return undefined;
  return parts.reduce((address, part) => address * 256 + part, 0);
}
