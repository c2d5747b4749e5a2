/** From flag values to what src/stage0 takes. Every check that needs no image or store is made here, before anything is touched. */

import { resolve } from "node:path";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { type NameValue, parseAcIdentifier, parseMount, parsePort, parseVolume } from "../spec/appc/mod.ts";
import type { AppOptions } from "../stage0/app-options.ts";
import { callerEnvironment, parseVariables, readVariableFile } from "../stage0/environment.ts";
import type { PullPolicy } from "../stage0/obtain-image.ts";
import type { PodOptions } from "../stage0/pod-manifest.ts";
import type { DnsOptions } from "../stage0/resolver-files.ts";
import type { FlagValues, ImageArgument } from "./command.ts";

export function readPodOptions(flags: FlagValues): PodOptions {
  const volumes = flags.list("volume").map(parseVolume);
  const twice = volumes.find((volume, index) => volumes.findIndex((other) => other.name === volume.name) !== index);
  if (twice !== undefined) throw new RktError("USAGE", `duplicate volume name ${quoted(twice.name)}`);
  return {
    volumes,
    mounts: flags.list("mount").map(parseMount),
    ports: flags.list("port").map(parsePort),
    environment: {
      inherited: flags.bool("inherit-env") ? callerEnvironment(process.env) : [],
      fromFiles: flags.list("set-env-file").flatMap((file) => readVariableFile(resolve(file))),
      set: parseVariables(flags.list("set-env"), "set-env"),
    },
    annotations: namedValues(flags, "annotation"),
    userAnnotations: parseVariables(flags.list("user-annotation"), "user-annotation"),
    userLabels: parseVariables(flags.list("user-label"), "user-label"),
  };
}

export function readAppOptions(image: ImageArgument): AppOptions {
  const { flags } = image;
  const text = (name: string) => (flags.given(name) ? flags.string(name) : undefined);
  const list = (name: string) => (flags.given(name) ? flags.list(name) : undefined);
  return {
    name: text("name"),
    exec: text("exec"),
    args: image.args,
    user: text("user"),
    group: text("group"),
    supplementaryGids: flags
      .list("supplementary-gids")
      .map((word) => wholeNumber(word, "supplementary-gids", 0, 4294967294)),
    workingDirectory: workingDirectory(text("working-dir")),
    readOnlyRootFs: flags.given("readonly-rootfs") ? flags.bool("readonly-rootfs") : undefined,
    environment: parseVariables(flags.list("environment"), "environment"),
    mounts: flags.list("mount").map(parseMount),
    annotations: namedValues(flags, "annotation"),
    userAnnotations: parseVariables(flags.list("user-annotation"), "user-annotation"),
    userLabels: parseVariables(flags.list("user-label"), "user-label"),
    memory: text("memory"),
    cpu: text("cpu"),
    cpuShares: flags.given("cpu-shares") ? wholeNumber(flags.string("cpu-shares"), "cpu-shares", 2, 262144) : undefined,
    oomScoreAdj: flags.given("oom-score-adj")
      ? wholeNumber(flags.string("oom-score-adj"), "oom-score-adj", -1000, 1000)
      : undefined,
    capsRetain: list("caps-retain"),
    capsRemove: list("caps-remove"),
    seccomp: text("seccomp"),
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

/** The image grammar takes a working directory as it is, but it must be absolute (appc: "workingDirectory must be an absolute path"). */
function workingDirectory(path: string | undefined): string | undefined {
  if (path !== undefined && !path.startsWith("/"))
    throw new RktError("USAGE", `Cannot use ${quoted(path)} for --working-dir: expected an absolute path`);
  return path;
}

function namedValues(flags: FlagValues, name: string): NameValue[] {
  return parseVariables(flags.list(name), name).map((pair) => ({
    name: parseAcIdentifier(pair.name),
    value: pair.value,
  }));
}

function wholeNumber(word: string, flag: string, least: number, most: number): number {
  const value = /^-?[0-9]+$/.test(word) ? Number(word) : Number.NaN;
  if (!(value >= least && value <= most))
    throw new RktError("USAGE", `Cannot use ${quoted(word)} for --${flag}: expected a number from ${least} to ${most}`);
  return value;
}
