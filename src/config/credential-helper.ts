/** `docker-credential-NAME get` (docker/docker-credential-helpers): the registry's address on stdin, {"ServerURL","Username","Secret"} on stdout. */

import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { RegistryCredentials } from "./config.ts";
import { record } from "./fields.ts";

export interface HelperEnvironment {
  /** Directories to search for the program, separated by colons. */
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds to wait for the answer; default: a minute, since a helper may ask its user for a password. */
  readonly patience?: number;
}

const PATIENCE = 60_000;
const LONGEST_ANSWER = 64 * 1024;
/** What helpers print, with status 1, when they have nothing for this registry. */
const NOTHING = "credentials not found in native keychain";

/**
 * Asks the helper as the user that this process runs as. Undefined: it has none. Throws AUTHENTICATION when it is missing or fails; what it printed is never
 * shown, since it may hold a secret.
 */
export async function askHelper(
  name: string,
  registry: string,
  environment: HelperEnvironment,
): Promise<RegistryCredentials | undefined> {
  const program = `docker-credential-${name}`;
  const path = findProgram(program, environment.path);
  if (path === undefined) throw failed(program, registry, `there is no such program in ${quoted(environment.path)}`);
  const { status, stdout } = await run(path, addressOf(registry), environment).catch((cause: unknown) => {
    throw failed(program, registry, cause instanceof Error && "code" in cause ? String(cause.code) : "it cannot run");
  });
  if (status !== 0) {
    if (stdout.includes(NOTHING)) return undefined;
    throw failed(
      program,
      registry,
      `it ended with ${status === undefined ? "a signal, or took too long" : `status ${status}`}`,
    );
  }
  const credentials = decode(stdout);
  if (credentials === undefined) throw failed(program, registry, "its answer is not of the agreed form");
  return credentials === "none" ? undefined : credentials;
}

/** Docker Hub's key in every keychain is the address of its first version. */
function addressOf(registry: string): string {
  return registry === "registry-1.docker.io" ? "https://index.docker.io/v1/" : registry;
}

function findProgram(program: string, path: string): string | undefined {
  // Relative directories are left out: what lies in the current directory is not the caller's choice.
  for (const dir of path.split(":").filter((one) => one.startsWith("/"))) {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return join(dir, program);
    } catch {
      // The next directory.
    }
  }
  return undefined;
}

async function run(
  path: string,
  input: string,
  { env, path: search, patience = PATIENCE }: HelperEnvironment,
): Promise<{ status: number | undefined; stdout: string }> {
  const child = spawn(path, ["get"], {
    cwd: "/",
    env: { ...env, PATH: search },
    stdio: ["pipe", "pipe", "ignore"],
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  child.once("error", reject);
  child.once("close", (code) => resolve(code ?? undefined));
  // A child of the helper may hold its output open: the end is not waited for.
  const giveUp = () => {
    child.kill("SIGKILL");
    child.stdout.destroy();
    resolve(undefined);
  };
  const late = setTimeout(giveUp, patience);
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (chunk) => {
    stdout += String(chunk);
    if (stdout.length > LONGEST_ANSWER) giveUp();
  });
  child.stdin.on("error", () => {}); // A helper that does not read is judged by its answer.
  child.stdin.end(`${input}\n`);
  try {
    return { status: await promise, stdout };
  } finally {
    clearTimeout(late);
  }
}

function decode(stdout: string): RegistryCredentials | "none" | undefined {
  try {
    const fields = record(JSON.parse(stdout));
    const { Username: user, Secret: secret } = fields ?? {};
    if (typeof user !== "string" || typeof secret !== "string") return undefined;
    if (secret === "") return "none";
    // The agreed sign of an identity token.
    return user === "<token>" ? { refreshToken: secret } : { basic: { user, password: secret } };
  } catch {
    return undefined;
  }
}

function failed(program: string, registry: string, why: string): RktError {
  return new RktError(
    "AUTHENTICATION",
    `Cannot get credentials for ${quoted(registry)} from ${quoted(program)}: ${why}`,
    {
      hint: `try it: echo ${registry} | ${program} get`,
    },
  );
}
