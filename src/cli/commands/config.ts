/** `rkt config`: the configuration as rkt understood it, as configuration entries again. Its output ends up in tickets and logs, so passwords are asked for. */

import { type Auth, type Config, loadConfig, type MeasurementSettings, measurementSettings } from "../../config/mod.ts";
import { quoted } from "../../core/text.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  name: "config",
  summary: "Print configuration for each stage in JSON format",
  usage: "",
  description: `The output is JSON with "stage0" as its key and rkt configuration entries as values.
The entries have the format of rkt's configuration files; those for several domains or registries are split into one each.
Passwords, tokens and secret keys are replaced by "REDACTED", unless --show-secrets is given.`,
  flags: [
    { name: "pretty-print", kind: "bool", default: "true", usage: "apply indent to format the output" },
    { name: "show-secrets", kind: "bool", usage: "print passwords, tokens and secret keys" },
  ],
  run({ engine, flags, output }) {
    const config = loadConfig(engine);
    for (const text of config.warnings) engine.emit({ kind: "warning", text });
    for (const path of config.hidden)
      engine.emit({ kind: "warning", text: `passed over ${quoted(path)}: permission denied` });
    const show: Show = flags.bool("show-secrets") ? (secret) => secret : () => "REDACTED";
    const entries = { stage0: configEntries(config, show) };
    output.stdout(`${JSON.stringify(entries, undefined, flags.bool("pretty-print") ? "\t" : undefined)}\n`);
  },
};

/** A secret as it may be printed. */
type Show = (secret: string) => string;

function configEntries(config: Config, show: Show): object[] {
  const header = (rktKind: string) => ({ rktVersion: "v1", rktKind });
  return [
    ...sorted(config.auth).map(([domain, auth]) => ({
      ...header("auth"),
      domains: [domain],
      ...credentialsOf(auth, show),
    })),
    ...sorted(config.dockerAuth).map(([registry, { user, password }]) => ({
      ...header("dockerAuth"),
      registries: [registry],
      credentials: { user, password: show(password) },
    })),
    ...registryEntries(config).map((entry) => ({ ...header("registries"), ...entry })),
    { ...header("paths"), data: config.paths.data ?? "", "stage1-images": config.paths.stage1Images ?? "" },
    {
      ...header("stage1"),
      name: config.stage1.name ?? "",
      version: config.stage1.version ?? "",
      location: config.stage1.location ?? "",
    },
    // Only where somebody set something: programs compare this output with rkt 1.x's.
    ...(Object.keys(config.measurement).length === 0
      ? []
      : [{ ...header("measurement"), ...measurementEntry(measurementSettings(config)) }]),
  ];
}

function measurementEntry({ rkt1Events, ...settings }: MeasurementSettings): object {
  return { ...settings, "rkt1-events": rkt1Events };
}

function registryEntries(config: Config): object[] {
  const rules = sorted(config.registries).map(([, { file: _, connection, mirrors, ...rule }]) => ({
    registries: [
      { ...rule, ...connection, mirrors: mirrors.map(({ connection: own, ...mirror }) => ({ ...mirror, ...own })) },
    ],
  }));
  return config.caFiles.length === 0 ? rules : [...rules, { caFiles: config.caFiles }];
}

function credentialsOf(auth: Auth, show: Show): { type: string; credentials: object } {
  switch (auth.kind) {
    case "basic":
      return { type: "basic", credentials: { user: auth.user, password: show(auth.password) } };
    case "oauth":
      return { type: "oauth", credentials: { token: show(auth.token) } };
    case "aws": {
      const { accessKeyId, secretAccessKey, region } = auth;
      return {
        type: "aws",
        credentials: { accessKeyID: accessKeyId, secretAccessKey: show(secretAccessKey), awsRegion: region ?? "" },
      };
    }
  }
}

/** By name: the same configuration always gives the same output. */
function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
