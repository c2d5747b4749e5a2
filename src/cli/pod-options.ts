/** From flag values to what src/stage0 takes. Every check that needs no image or store is made here, before anything is touched. */

import { resolve } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import {
  type ExposedPort,
  type Mount,
  type NameValue,
  parseAcIdentifier,
  parseMount,
  parsePort,
  parseVolume,
} from "../spec/appc/mod.ts";
import type { AppOptions } from "../stage0/app-options.ts";
import {
  callerEnvironment,
  parseAppVariables,
  parseEnvironment,
  parseVariables,
  readVariableFiles,
} from "../stage0/environment.ts";
import type { PullPolicy } from "../stage0/obtain-image.ts";
import type { PodOptions } from "../stage0/pod-manifest.ts";
import type { DnsOptions } from "../stage0/resolver-files.ts";
import {
  parseExitPolicy,
  parseRestart,
  SECCOMP_LOG_ANNOTATION,
  SUPERVISION_ANNOTATION,
} from "../stage1-contract/policies.ts";
import type { FlagValues, ImageArgument } from "./command.ts";
import { ofFlag, wholeNumber } from "./flag-words.ts";
import { appIsolators, podIsolators } from "./limit-flags.ts";
import { loggedFilter, seccompFlag } from "./seccomp-flag.ts";

export function readPodOptions(flags: FlagValues): PodOptions {
  const volumes = flags.list("volume").map((word) => ofFlag("volume", word, parseVolume));
  const twice = volumes.find((volume, index) => volumes.findIndex((other) => other.name === volume.name) !== index);
  if (twice !== undefined) throw new RktError("USAGE", `duplicate volume name ${quoted(twice.name)}`);
  return {
    volumes,
    mounts: flags.list("mount").map((word) => ofFlag("mount", word, parseMount)),
    ports: flags.list("port").map((word) => ofFlag("port", word, parsePort)),
    environment: {
      inherited: flags.bool("inherit-env") ? callerEnvironment(process.env) : [],
      fromFiles: readVariableFiles(flags.list("set-env-file").map((file) => resolve(file))),
      set: parseEnvironment(flags.list("set-env"), "set-env"),
    },
    annotations: [...namedValues(flags, "annotation"), ...supervision(flags)],
    userAnnotations: parseVariables(flags.list("user-annotation"), "user-annotation"),
    userLabels: parseVariables(flags.list("user-label"), "user-label"),
    isolators: podIsolators(flags),
  };
}

/** Of a pod that gets its apps later. */
export function readSandboxOptions(
  flags: FlagValues,
  port: (word: string) => ExposedPort,
): Pick<PodOptions, "ports" | "annotations" | "userAnnotations" | "userLabels"> {
  return {
    ports: flags.list("port").map((word) => ofFlag("port", word, port)),
    annotations: namedValues(flags, "annotation"),
    userAnnotations: parseVariables(flags.list("user-annotation"), "user-annotation"),
    userLabels: parseVariables(flags.list("user-label"), "user-label"),
  };
}

/** The flags that say how long the pod lives become annotations, which stage1 reads. */
function supervision(flags: FlagValues): NameValue[] {
  const put = (flag: string, name: string, isRight: boolean, expected: string) => {
    const value = flags.string(flag);
    if (!isRight) throw new RktError("USAGE", `Cannot use ${quoted(value)} for --${flag}: expected ${expected}`);
    return flags.given(flag) ? [{ name: parseAcIdentifier(name), value }] : [];
  };
  const [restart, exitPolicy] = [parseRestart(flags.string("restart")), parseExitPolicy(flags.string("exit-policy"))];
  const { restart: restartName, exitPolicy: exitPolicyName, recordExit } = SUPERVISION_ANNOTATION;
  return [
    ...put("restart", restartName, restart !== undefined, "no, always, on-failure or on-failure:TIMES"),
    ...put("exit-policy", exitPolicyName, exitPolicy !== undefined, "any-failure, all or any"),
    ...(flags.bool("record-exit") ? [{ name: parseAcIdentifier(recordExit), value: "true" }] : []),
  ];
}

/** `mount`: the flag for mounts, and how it is written. */
export function readAppOptions(
  image: ImageArgument,
  mount: readonly [flag: string, parse: (word: string) => Mount] = ["mount", parseMount],
): AppOptions {
  const { flags } = image;
  const logged = flags.given("seccomp") ? loggedFilter(flags.string("seccomp")) : undefined;
  const text = (name: string) => (flags.given(name) ? flags.string(name) : undefined);
  // An empty word leaves what the image says, as under rkt 1.x: scripts pass variables that may be empty.
  const override = (name: string) => text(name) || undefined;
  const list = (name: string) => (flags.given(name) ? flags.list(name) : undefined);
  // Under both names of the flag.
  const capabilities = (mode: string) => {
    const [now, before] = [list(`caps-${mode}`), list(`cap-${mode}`)];
    return now === undefined ? before : [...now, ...(before ?? [])];
  };
  return {
    name: override("name"),
    exec: override("exec"),
    args: image.args,
    user: override("user"),
    group: override("group"),
    supplementaryGids: list("supplementary-gids")?.map(supplementaryGroup),
    workingDirectory: workingDirectory(override("working-dir")),
    readOnlyRootFs: flags.given("readonly-rootfs") ? flags.bool("readonly-rootfs") : undefined,
    environment: parseEnvironment(flags.list("environment"), "environment", parseAppVariables),
    mounts: flags.list(mount[0]).map((word) => ofFlag(mount[0], word, mount[1])),
    annotations: [
      ...acNamed(parseAppVariables(flags.list("annotation"), "annotation")),
      ...stdioAnnotations(flags),
      ...(logged === undefined ? [] : [{ name: parseAcIdentifier(SECCOMP_LOG_ANNOTATION), value: "true" }]),
    ],
    userAnnotations: parseAppVariables(flags.list("user-annotation"), "user-annotation"),
    userLabels: parseAppVariables(flags.list("user-label"), "user-label"),
    isolators: appIsolators(flags),
    capsRetain: capabilities("retain"),
    capsRemove: capabilities("remove"),
    seccomp: logged?.isolator ?? (flags.given("seccomp") && !logged ? seccompFlag(flags.string("seccomp")) : undefined),
  };
}

/** `--pull-policy`, with the two flags that came before it. Throws USAGE. */
export function readPullPolicy(flags: FlagValues): PullPolicy {
  if (flags.bool("store-only") && flags.bool("no-store"))
    throw new RktError("USAGE", "both --store-only and --no-store specified");
  if (flags.bool("store-only")) return "never";
  if (flags.bool("no-store")) return "update";
  const policy = flags.string("pull-policy");
  if (policy !== "new" && policy !== "never" && policy !== "update") {
    throw new RktError("USAGE", `Cannot use ${quoted(policy)} for --pull-policy: expected never, new or update`);
  }
  return policy;
}

export function readDnsOptions(flags: FlagValues): DnsOptions {
  const servers = flags.list("dns");
  if (servers.length > 1 && servers.some((server) => server === "host" || server === "none")) {
    throw new RktError("USAGE", 'Cannot use --dns: "host" and "none" stand alone');
  }
  return {
    servers,
    search: flags.list("dns-search"),
    options: flags.list("dns-opt"),
    domain: flags.string("dns-domain"),
    hostsEntries: flags.list("hosts-entry"),
  };
}

/** A number; or a name or a path, which the image's own files must know when the pod starts. */
function supplementaryGroup(word: string): number | string {
  if (/^-?[0-9]/.test(word)) return wholeNumber(word, "supplementary-gids", 0, 4294967294);
  if (/^\/|^[A-Za-z_][A-Za-z0-9_.-]*\$?$/.test(word)) return word;
  throw new RktError(
    "USAGE",
    `Cannot use ${quoted(word)} for --supplementary-gids: expected numbers, names or absolute paths`,
  );
}

/** rkt 1.x's flags become annotations of the app, which stage1 reads. */
function stdioAnnotations(flags: FlagValues): NameValue[] {
  return ["stdin", "stdout", "stderr"].flatMap((name) => {
    if (!flags.given(name)) return [];
    const mode = flags.string(name);
    const modes = [...(name === "stdin" ? [] : ["log"]), "null", "stream", "tty", "interactive"];
    if (!modes.includes(mode))
      throw new RktError("USAGE", `Cannot use ${quoted(mode)} for --${name}: expected ${modes.join(", ")}`);
    return [{ name: `coreos.com/rkt/stage2/${name}`, value: mode }];
  });
}

/** An app that is given the pod's own terminal by `--stdin=interactive` and its like: as with --interactive for the pod. */
export function isInteractive({ flags }: ImageArgument): boolean {
  return ["stdin", "stdout", "stderr"].some((name) => flags.string(name) === "interactive");
}

/** The image grammar takes a working directory as it is, but it must be absolute (appc: "workingDirectory must be an absolute path"). */
function workingDirectory(path: string | undefined): string | undefined {
  if (path !== undefined && !path.startsWith("/"))
    throw new RktError("USAGE", `Cannot use ${quoted(path)} for --working-dir: expected an absolute path`);
  return path;
}

function namedValues(flags: FlagValues, name: string): NameValue[] {
  return acNamed(parseVariables(flags.list(name), name));
}

function acNamed(pairs: readonly NameValue[]): NameValue[] {
  return pairs.map(({ name, value }) => ({ name: parseAcIdentifier(name), value }));
}
