/** The credentials that a person gave `docker login` or `podman login`, found as the user that this process runs as. */

import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Emit } from "../core/events.ts";
import { quoted } from "../core/text.ts";
import { isErrno, O } from "../host/mod.ts";
import type { RegistryCredentials } from "./config.ts";
import { askHelper, type HelperEnvironment } from "./credential-helper.ts";
import { type DockerConfig, parseDockerConfig } from "./docker-config.ts";
import { canonicalName, longestPrefix } from "./registries.ts";

export interface CredentialSearch {
  /** host[:port]. */
  readonly registry: string;
  readonly repository: string;
}

/** Whose files are read. */
export interface Person {
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly helpers: HelperEnvironment;
  /** The only owner whose files count; undefined: whatever this process can read. Root must not act on a file that somebody else writes. */
  readonly owner: number | undefined;
}

const LARGEST_FILE = 1024 * 1024;

/**
 * The credentials for a repository in the first file that has some, or undefined. What is wrong with a file or a helper is a warning: the image may be public, and if
 * not, the server's refusal stands beside it.
 */
export async function userCredentials(
  search: CredentialSearch,
  person: Person,
  emit: Emit,
): Promise<RegistryCredentials | undefined> {
  for (const file of filesOf(person)) {
    const config = readDockerConfig(file, person, emit);
    const found = config && (await credentialsFrom(config, search, person, emit));
    if (found === undefined) continue;
    emit({ kind: "debug", source: "image", text: `using the credentials for ${search.registry} of ${quoted(file)}` });
    return found;
  }
  return undefined;
}

/** containers-auth.json(5): a named file is the only one; else those of podman, then Docker's. */
function filesOf({ home, env }: Person): string[] {
  if (env.REGISTRY_AUTH_FILE) return [env.REGISTRY_AUTH_FILE];
  const runtime = env.XDG_RUNTIME_DIR ? [join(env.XDG_RUNTIME_DIR, "containers/auth.json")] : [];
  const docker = env.DOCKER_CONFIG || (home === "" ? "" : join(home, ".docker"));
  return [
    ...runtime,
    ...(home === "" ? [] : [join(env.XDG_CONFIG_HOME || join(home, ".config"), "containers/auth.json")]),
    ...(docker === "" ? [] : [join(docker, "config.json")]),
  ];
}

async function credentialsFrom(
  config: DockerConfig,
  { registry, repository }: CredentialSearch,
  person: Person,
  emit: Emit,
): Promise<RegistryCredentials | undefined> {
  const host = canonicalName(registry);
  const helper = longestPrefix(host, config.credHelpers)?.value ?? config.credsStore;
  try {
    const kept = helper === undefined ? undefined : await askHelper(helper, host, person.helpers);
    if (kept !== undefined) return kept;
  } catch (error) {
    emit({ kind: "warning", text: error instanceof Error ? error.message : String(error) });
  }
  return longestPrefix(canonicalName(`${registry}/${repository}`), config.auths)?.value;
}

function readDockerConfig(file: string, person: Person, emit: Emit): DockerConfig | undefined {
  const ignored = (why: string) => {
    emit({ kind: "warning", text: `not using the credentials in ${quoted(file)}: ${why}` });
    return undefined;
  };
  let fd: number;
  try {
    fd = openSync(file, O.RDONLY | O.CLOEXEC | O.NONBLOCK);
  } catch (error) {
    return isErrno(error, "ENOENT", "ENOTDIR") ? undefined : ignored("it cannot be read");
  }
  try {
    const status = fstatSync(fd);
    if (!status.isFile() || status.size > LARGEST_FILE) return ignored("expected a file of at most 1 MiB");
    if (person.owner !== undefined && (status.uid !== person.owner || (status.mode & 0o022) !== 0))
      return ignored(`expected a file that only user ${person.owner} can write`);
    const config = parseDockerConfig(readFileSync(fd, "utf8"));
    if (config === undefined) return ignored("expected a JSON object");
    if (config.auths.size > 0 && (status.mode & 0o004) !== 0)
      emit({ kind: "warning", text: `the credentials in ${quoted(file)} can be read by every user: chmod 0600` });
    return config;
  } finally {
    closeSync(fd);
  }
}
