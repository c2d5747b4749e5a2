/**
 * The one credential for one repository. First what the operator wrote into `auth.d`, then what the calling person gave `docker login` or `podman login`.
 *
 * Who that person is: without sudo, the user who runs rkt. Under sudo, the user who called sudo (SUDO_UID): their files are read, and their credential helpers run, by a
 * process that has become that user, since root must neither read what they point at nor run a program from their PATH. Only then root's own files count, and helpers for
 * those come from the system's directories alone.
 */

import type { Emit } from "../core/events.ts";
import { type Account, accountOfUid } from "../host/accounts.ts";
import { startWorker } from "../host/worker.ts";
import type { Config, RegistryCredentials } from "./config.ts";
import { dockerCredentials } from "./credentials.ts";
import { type CredentialAnswer, decodeCredentialAnswer } from "./credentials-messages.ts";
import { type CredentialSearch, type Person, userCredentials } from "./user-credentials.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Configurations whose warnings were told: several servers may be asked for one image. */
const warned = new WeakSet<Config>();

/** Never throws for what is wrong with a person's files or helpers: that becomes a warning. An empty result: none are known. */
export async function findCredentials(
  config: Config,
  search: CredentialSearch,
  env: Environment,
  emit: Emit,
): Promise<RegistryCredentials> {
  if (!warned.has(config)) for (const text of config.warnings) emit({ kind: "warning", text });
  warned.add(config);
  const configured = dockerCredentials(config, search.registry, search.repository);
  if (configured !== undefined) return { basic: configured };
  const sudoer = sudoCaller(env);
  const asked = sudoer === undefined ? undefined : await askAs(sudoer, search, env, emit);
  const found = asked ?? (await userCredentials(search, ownPerson(env), emit));
  if (found === undefined && config.hidden.length > 0)
    emit({
      kind: "debug",
      source: "image",
      text: `not looking for credentials in ${config.hidden.join(", ")}: permission denied`,
    });
  return found ?? {};
}

function ownPerson(env: Environment): Person {
  const uid = process.geteuid?.() ?? -1;
  const root = uid === 0;
  const home = accountOfUid(uid)?.home ?? "";
  return {
    // Root's HOME may be left from somebody else (sudo -E, su): root's files are those in root's own home.
    home: root ? home : (env.HOME ?? home),
    env,
    helpers: { path: root ? SYSTEM_PATH : (env.PATH ?? SYSTEM_PATH), env: withoutRuntime(env) },
    owner: root ? 0 : undefined,
  };
}

/** Variables that steer the runtime are not for programs that we start. */
function withoutRuntime(env: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith("BUN_"),
    ),
  );
}

function sudoCaller(env: Environment): (Account & { home: string }) | undefined {
  const uid = env.SUDO_UID ?? "";
  if (process.geteuid?.() !== 0 || !/^[1-9][0-9]{0,9}$/.test(uid)) return undefined;
  return accountOfUid(Number(uid));
}

/** What a person's files and helpers need to know, and nothing else of root's environment. */
const PASSED_ON = [
  ...["PATH", "LANG", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"],
  ...["DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "GNUPGHOME", "GPG_TTY", "PASSWORD_STORE_DIR"],
];

async function askAs(
  person: Account & { home: string },
  search: CredentialSearch,
  env: Environment,
  emit: Emit,
): Promise<RegistryCredentials | undefined> {
  const passed = PASSED_ON.flatMap((name): [string, string][] => (env[name] === undefined ? [] : [[name, env[name]]]));
  const worker = startWorker({
    worker: "credentials",
    account: person,
    descriptors: [],
    request: search,
    env: { ...Object.fromEntries(passed), HOME: person.home, USER: person.name, LOGNAME: person.name },
  });
  let answer: CredentialAnswer | undefined;
  try {
    for await (const message of worker.messages()) {
      answer = decodeCredentialAnswer(message);
      if (answer.kind === "event") emit(answer.event);
    }
  } catch (error) {
    // Somebody else's process: what becomes of it must not keep root from its own credentials.
    emit({ kind: "warning", text: error instanceof Error ? error.message : String(error) });
  } finally {
    worker.kill();
  }
  return answer?.kind === "credentials" ? answer.credentials : undefined;
}
