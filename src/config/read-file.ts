/** One configuration file: bytes → header → entry. Pure. */

import { basename, dirname } from "node:path";
import { isObject, type JsonObject } from "../core/json.ts";
import { quoted } from "../core/text.ts";
import type { ConfigEntry, ConfigKind, Problem } from "./entry.ts";
import { checkKind } from "./schema.ts";

const VERSION = "v1";

/** The entry in `json`, the content of `file`, which lies in a directory for `kinds`; or everything that is wrong with it. */
export function readConfigFile(
  file: string,
  json: string,
  kinds: readonly ConfigKind[],
): { readonly entry: ConfigEntry | undefined; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const wrong = (text: string) => ({ entry: undefined, problems: [{ file, field: "", text }] });
  const fields = parseObject(json);
  if (fields === undefined) return wrong(`failed to parse ${quoted(file)}: expected a JSON object`);
  const { rktKind, rktVersion } = fields;
  if (typeof rktKind !== "string" || rktKind === "") return wrong(`no rktKind specified in ${quoted(file)}`);
  if (typeof rktVersion !== "string" || rktVersion === "") return wrong(`no rktVersion specified in ${quoted(file)}`);
  const kind = kinds.find((one) => one === rktKind);
  if (kind === undefined) return wrong(misplaced(file, rktKind, kinds));
  if (rktVersion !== VERSION)
    return wrong(`no parser available for configuration of kind ${quoted(kind)} and version ${quoted(rktVersion)}`);
  const entry = checkKind(kind, fields, (field, text) => problems.push({ file, field, text }));
  return { entry: problems.length === 0 ? entry : undefined, problems };
}

/** The parser's own message is not passed on: it quotes the text, which may be a password. */
function parseObject(json: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function misplaced(file: string, kind: string, kinds: readonly string[]): string {
  const expected = kinds.join('", "');
  return `the configuration directory ${quoted(dirname(file))} expects to have configuration files of kinds "${expected}", but ${quoted(basename(file))} has kind of ${quoted(kind)}`;
}
