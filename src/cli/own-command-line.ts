/** Command lines of this same rkt, for processes that outlive this one: the pod's own (`--detach`), and the one that removes it (`--rm`). */

import type { Engine } from "../core/engine.ts";
import type { FlagSpec, FlagValues } from "./command.ts";

/** The global options that make another rkt see what this one sees. */
export function globalWords(engine: Engine): string[] {
  const { insecure } = engine;
  const options = Object.entries(insecure).flatMap(([name, is]) => (is ? [name] : []));
  return [
    ...[`--dir=${engine.dataDir.root}`, `--system-config=${engine.systemConfigDir}`],
    `--local-config=${engine.localConfigDir}`,
    ...(engine.userConfigDir === "" ? [] : [`--user-config=${engine.userConfigDir}`]),
    ...(options.length === 0 ? [] : [`--insecure-options=${options.join(",")}`]),
    ...(engine.debug ? ["--debug"] : []),
  ];
}

/** The flags of `specs` that were given, as words. */
export function flagWords(specs: readonly FlagSpec[], flags: FlagValues): string[] {
  return specs.flatMap(({ name, kind }) => {
    if (!flags.given(name)) return [];
    if (kind === "bool") return [`--${name}=${flags.bool(name)}`];
    return (kind === "list" ? flags.list(name) : [flags.string(name)]).map((value) => `--${name}=${value}`);
  });
}

export function removalWords(engine: Engine, uuid: string): string[] {
  return [...globalWords(engine), "rm", uuid];
}
