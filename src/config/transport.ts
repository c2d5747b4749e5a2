/**
 * What decides how servers are reached, read where the caller is and handed to the workers as values: proxies, and the certificate authorities that count besides
 * or instead of the host's. Workers have an environment made from nothing and may not be able to walk to the files.
 */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { Config } from "./config.ts";
import { type ProxySettings, proxiesFromEnvironment } from "./proxy.ts";

export interface Transport {
  /** May hold a proxy's password: never printed. */
  readonly proxies: ProxySettings;
  readonly certificates: Certificates;
}

/** PEM text, certificates only. */
export interface Certificates {
  /** Instead of the host's bundle (SSL_CERT_FILE). */
  readonly bundle: string | undefined;
  /** Besides it (SSL_CERT_DIR, `caFiles` and `caFile` of the configuration). */
  readonly extra: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Far more than every authority of the world. */
const LARGEST_FILE = 4 * 1024 * 1024;

/**
 * The transport for this environment and configuration; `caFile`: one more file, of the registry that is spoken to. Throws INVALID_CONFIG when a named file cannot
 * be read: to go on with other authorities than the operator chose is no answer.
 */
export function transportFor(config: Config, env: Environment, caFile?: string): Transport {
  const bundle = env.SSL_CERT_FILE ? certificatesIn(env.SSL_CERT_FILE, "named by SSL_CERT_FILE") : undefined;
  const files = [...config.caFiles, ...(caFile === undefined ? [] : [caFile])];
  const extra = files.flatMap((file) => certificatesIn(file, "named by the configuration (rktKind registries)"));
  return {
    proxies: proxiesFromEnvironment(env),
    certificates: {
      bundle: bundle?.join("\n"),
      extra: [...new Set([...extra, ...certificatesBelow(env.SSL_CERT_DIR ?? "")])].join("\n"),
    },
  };
}

/** The PEM text of a client's certificate or key. Throws INVALID_CONFIG. */
export function readPem(file: string, what: string): string {
  return readText(file, what);
}

function certificatesIn(file: string, what: string): string[] {
  const found = certificates(readText(file, what));
  if (found.length > 0) return found;
  throw new RktError("INVALID_CONFIG", `Cannot use ${quoted(file)}, ${what}: it holds no certificate, expected PEM`);
}

/** A file may hold a private key as well: only the certificates are passed on. */
function certificates(text: string): string[] {
  return text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? [];
}

/** SSL_CERT_DIR as OpenSSL and Go read it: directories separated by colons; what cannot be read there does not count. */
function certificatesBelow(list: string): string[] {
  return list
    .split(":")
    .filter((dir) => dir !== "")
    .flatMap((dir) => namesIn(dir).flatMap((name) => certificatesIfReadable(join(dir, name))));
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir).sort();
  } catch {
    return [];
  }
}

function certificatesIfReadable(file: string): string[] {
  try {
    const status = statSync(file);
    return status.isFile() && status.size <= LARGEST_FILE ? certificates(readFileSync(file, "utf8")) : [];
  } catch {
    return [];
  }
}

function readText(file: string, what: string): string {
  try {
    const status = statSync(file);
    if (status.isFile() && status.size <= LARGEST_FILE) return readFileSync(file, "utf8");
  } catch (cause) {
    throw new RktError("INVALID_CONFIG", `Cannot read ${quoted(file)}, ${what}`, { cause });
  }
  throw new RktError("INVALID_CONFIG", `Cannot read ${quoted(file)}, ${what}: expected a file of at most 4 MiB`);
}
