/** `rkt config`: the configuration as rkt understood it, as configuration entries again. Credentials are shown: that is what it is for. */

import { type Auth, type Config, loadConfig } from "../../config/mod.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  name: "config",
  summary: "Print configuration for each stage in JSON format",
  usage: "",
  description: `The output is JSON with "stage0" as its key and rkt configuration entries as values.
The entries have the format of rkt's configuration files; those for several domains or registries are split into one each.`,
  flags: [{ name: "pretty-print", kind: "bool", default: "true", usage: "apply indent to format the output" }],
  run({ engine, flags, output }) {
    const entries = { stage0: configEntries(loadConfig(engine)) };
    output.stdout(`${JSON.stringify(entries, undefined, flags.bool("pretty-print") ? "\t" : undefined)}\n`);
  },
};

function configEntries(config: Config): object[] {
  const header = (rktKind: string) => ({ rktVersion: "v1", rktKind });
  return [
    ...sorted(config.auth).map(([domain, auth]) => ({ ...header("auth"), domains: [domain], ...credentialsOf(auth) })),
    ...sorted(config.dockerAuth).map(([registry, { user, password }]) => ({
      ...header("dockerAuth"),
      registries: [registry],
      credentials: { user, password },
    })),
    { ...header("paths"), data: config.paths.data ?? "", "stage1-images": config.paths.stage1Images ?? "" },
    {
      ...header("stage1"),
      name: config.stage1.name ?? "",
      version: config.stage1.version ?? "",
      location: config.stage1.location ?? "",
    },
  ];
}

function credentialsOf(auth: Auth): { type: string; credentials: object } {
  switch (auth.kind) {
    case "basic":
      return { type: "basic", credentials: { user: auth.user, password: auth.password } };
    case "oauth":
      return { type: "oauth", credentials: { token: auth.token } };
    case "aws": {
      const { accessKeyId, secretAccessKey, region } = auth;
      return { type: "aws", credentials: { accessKeyID: accessKeyId, secretAccessKey, awsRegion: region ?? "" } };
    }
  }
}

/** By name: the same configuration always gives the same output. */
function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
