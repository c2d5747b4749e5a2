/** The rules between files: within one directory nothing may be said twice; a later directory overrides an earlier one. Pure. */

import { quoted } from "../core/text.ts";
import type { Auth, Config, DockerCredentials, MeasurementSettings, RegistryRule } from "./config.ts";
import type { ConfigEntry, Problem } from "./entry.ts";

export interface ReadEntry {
  readonly file: string;
  readonly entry: ConfigEntry;
}

/** What the files of one configuration directory say together. Duplicates are added to `problems`. */
export function mergeFiles(files: readonly ReadEntry[], problems: Problem[]): Config {
  const auth = new Map<string, Auth>();
  const dockerAuth = new Map<string, DockerCredentials>();
  const registries = new Map<string, RegistryRule>();
  const caFiles: string[] = [];
  const single = new Map<string, string>();
  const measurement = new Map<string, unknown>();
  for (const { file, entry } of files) {
    const put = <T>(map: Map<string, T>, key: string, value: T, field: string, twice: string): void => {
      if (map.has(key)) problems.push({ file, field, text: twice });
      else map.set(key, value);
    };
    const putSingle = (field: string, value: string | undefined, twice: string): void => {
      if (value !== undefined) put(single, `${entry.kind}.${field}`, value, field, twice);
    };
    switch (entry.kind) {
      case "auth":
        for (const domain of entry.domains)
          put(auth, domain, entry.auth, "domains", `auth for domain ${quoted(domain)} is already specified`);
        break;
      case "dockerAuth":
        for (const registry of entry.registries) {
          const twice = `credentials for docker registry ${quoted(registry)} are already specified`;
          put(dockerAuth, registry, entry.credentials, "registries", twice);
        }
        break;
      case "registries":
        caFiles.push(...entry.caFiles);
        for (const rule of entry.rules) {
          const twice = `settings for registry ${quoted(rule.prefix)} are already specified`;
          put(registries, rule.prefix, { ...rule, file }, "registries", twice);
        }
        break;
      case "paths":
        putSingle("data", entry.data, "data directory is already specified");
        putSingle("stage1-images", entry.stage1Images, "stage1 images directory is already specified");
        break;
      case "stage1":
        putSingle("name", entry.name, "name and version of a default stage1 image are already specified");
        if (single.get("stage1.name") === entry.name && entry.version !== undefined)
          single.set("stage1.version", entry.version);
        putSingle("location", entry.location, "location of a default stage1 image is already specified");
        break;
      case "measurement":
        for (const [field, value] of Object.entries(entry.settings))
          put(measurement, field, value, field, "this setting of the measurement of pods is already specified");
        break;
    }
  }
  return {
    auth,
    dockerAuth,
    registries,
    caFiles,
    paths: { data: single.get("paths.data"), stage1Images: single.get("paths.stage1-images") },
    stage1: {
      name: single.get("stage1.name"),
      version: single.get("stage1.version"),
      location: single.get("stage1.location"),
    },
    // What was put there came from an entry, under its own name.
    measurement: Object.fromEntries(measurement) as Partial<MeasurementSettings>,
    warnings: [],
    hidden: [],
  };
}

/** `later` laid over `earlier`: per domain, per registry or prefix, per field; name and version of stage1 go together. */
export function override(earlier: Config, later: Config): Config {
  const named = later.stage1.name === undefined ? earlier.stage1 : later.stage1;
  return {
    auth: overlaid(earlier.auth, later.auth),
    dockerAuth: overlaid(earlier.dockerAuth, later.dockerAuth),
    registries: overlaid(earlier.registries, later.registries),
    caFiles: [...new Set([...earlier.caFiles, ...later.caFiles])],
    paths: {
      data: later.paths.data ?? earlier.paths.data,
      stage1Images: later.paths.stage1Images ?? earlier.paths.stage1Images,
    },
    stage1: {
      name: named.name,
      version: named.version,
      location: later.stage1.location ?? earlier.stage1.location,
    },
    measurement: { ...earlier.measurement, ...later.measurement },
    warnings: [],
    hidden: [],
  };
}

/** The entries of `later` stand last: one registry goes by several names, and of those the last counts. */
function overlaid<T>(earlier: ReadonlyMap<string, T>, later: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...[...earlier].filter(([key]) => !later.has(key)), ...later]);
}
