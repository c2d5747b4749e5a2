/** A real registry (Debian's docker-registry) on loopback for one test. */

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { killAtEnd, runProgram, temporaryDirectory } from "./temporary.ts";

export interface TestRegistry {
  /** "http://127.0.0.1:PORT" or "https://…". */
  readonly url: string;
  /** "127.0.0.1:PORT", as in docker://HOST/name. */
  readonly host: string;
  readonly port: number;
  /** Certificate of the server (PEM file), with `tls`. */
  readonly certificate: string | undefined;
  /** Pushes the image `name` (tag) of an OCI layout as `repository:tag`, with skopeo. */
  push(layout: string, name: string, target: string, options?: { all?: boolean; format?: "oci" | "v2s2" }): void;
  stop(): void;
  [Symbol.dispose](): void;
}

export interface RegistryOptions {
  /** Basic authentication with this one account. */
  readonly account?: { user: string; password: string };
  /** A certificate of its own, or this one (PEM file, the key beside it as key.pem). */
  readonly tls?: boolean | string;
  /** Tokens of this server instead of an account. */
  readonly token?: { realm: string; service: string; issuer: string; certificate: string };
}

/** Starts a registry on a free port. `using registry = await startRegistry()`. */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const dir = temporaryDirectory("registry");
  const port = await freePort();
  const certificate =
    options.tls === true ? makeCertificate(dir.path) : options.tls === false ? undefined : options.tls;
  const config = join(dir.path, "config.yml");
  mkdirSync(join(dir.path, "data"));
  writeFileSync(config, await configFile(dir.path, port, options, certificate));
  // The registry writes its log for nobody; its exit status is enough.
  const child = spawn("docker-registry", ["serve", config], {
    stdio: "ignore",
    env: { PATH: "/usr/bin:/bin", OTEL_TRACES_EXPORTER: "none" },
  });
  const kill = killAtEnd(child);
  const scheme = certificate === undefined ? "http" : "https";
  const url = `${scheme}://127.0.0.1:${port}`;
  const stop = () => {
    kill();
    dir[Symbol.dispose]();
  };
  try {
    await answers(url, () => child.exitCode !== null);
  } catch (error) {
    stop();
    throw error;
  }
  const host = `127.0.0.1:${port}`;
  return {
    url,
    host,
    port,
    certificate,
    push(layout, name, target, { all = false, format = "oci" } = {}) {
      const { account } = options;
      const login = account === undefined ? [] : [`--dest-creds=${account.user}:${account.password}`];
      const scope = all ? ["--all"] : [`--format=${format}`];
      runProgram([
        ...["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", ...login, ...scope],
        ...[`oci:${layout}:${name}`, `docker://${host}/${target}`],
      ]);
    },
    stop,
    [Symbol.dispose]: stop,
  };
}

async function configFile(
  dir: string,
  port: number,
  options: RegistryOptions,
  certificate: string | undefined,
): Promise<string> {
  const lines = [
    "version: 0.1",
    "log: {level: error}",
    `storage: {filesystem: {rootdirectory: ${join(dir, "data")}}}`,
    "http:",
    `  addr: 127.0.0.1:${port}`,
  ];
  if (certificate !== undefined)
    lines.push(`  tls: {certificate: ${certificate}, key: ${join(dirname(certificate), "key.pem")}}`);
  if (options.token !== undefined) {
    const { realm, service, issuer, certificate: root } = options.token;
    lines.push(`auth: {token: {realm: "${realm}", service: ${service}, issuer: ${issuer}, rootcertbundle: ${root}}}`);
  }
  if (options.account !== undefined) {
    const hash = await Bun.password.hash(options.account.password, { algorithm: "bcrypt", cost: 4 });
    writeFileSync(join(dir, "htpasswd"), `${options.account.user}:${hash}\n`);
    lines.push(`auth: {htpasswd: {realm: test, path: ${join(dir, "htpasswd")}}}`);
  }
  return `${lines.join("\n")}\n`;
}

/** A certificate for loopback, and for `names` (",DNS:NAME"), valid for two days. Returns its file; the key lies beside it as key.pem. */
export function makeCertificate(dir: string, names = ""): string {
  runProgram([
    ...["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"],
    ...["-addext", `subjectAltName=DNS:localhost,IP:127.0.0.1${names}`],
    ...["-keyout", join(dir, "key.pem"), "-out", join(dir, "cert.pem")],
  ]);
  return join(dir, "cert.pem");
}

/** A port that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.once("error", reject);
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
  });
  return promise;
}

async function answers(url: string, ended: () => boolean): Promise<void> {
  for (let tries = 0; tries < 400 && !ended(); tries += 1) {
    try {
      await fetch(`${url}/v2/`, { tls: { rejectUnauthorized: false } });
      return;
    } catch {
      await Bun.sleep(25);
    }
  }
  throw new Error(`the registry at ${url} did not start`);
}
