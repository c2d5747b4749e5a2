/**
 * Kind `registries`: mirrors, certificate authorities, plain http and blocked registries, by prefix of the image's name. Pure.
 *
 * Unlike the kinds of rkt 1.x an unknown field is an error: a misspelled "blocked" must not unblock.
 */

import { isAbsolute } from "node:path";
import { quoted } from "../core/text.ts";
import type { MirrorPull, RegistryConnection, RegistryMirror, RegistryRule } from "./config.ts";
import type { Complain, ConfigEntry } from "./entry.ts";
import { type Fields, orUndefined, record, text } from "./fields.ts";

type Rule = Omit<RegistryRule, "file">;

const FILE_FIELDS = ["rktKind", "rktVersion", "registries", "caFiles"];
const CONNECTION_FIELDS = ["insecure", "caFile", "clientCertificate", "clientKey"];
const RULE_FIELDS = ["prefix", "location", "mirrors", "blocked", ...CONNECTION_FIELDS];
const MIRROR_FIELDS = ["location", "pull", ...CONNECTION_FIELDS];

export function checkRegistries(fields: Fields, complain: Complain): ConfigEntry {
  refuseUnknown(fields, FILE_FIELDS, "", complain);
  const rules = list(fields, "registries", "", complain).map((value, at) =>
    checkRule(value, `registries[${at}]`, complain),
  );
  const caFiles = list(fields, "caFiles", "", complain).map((value, at) =>
    absolutePath({ caFiles: value }, "caFiles", `caFiles[${at}]`, complain),
  );
  return {
    kind: "registries",
    rules: rules.filter((rule) => rule !== undefined),
    caFiles: caFiles.filter((file) => file !== undefined),
  };
}

function checkRule(value: unknown, where: string, complain: Complain): Rule | undefined {
  const fields = objectAt(value, where, RULE_FIELDS, complain);
  if (fields === undefined) return undefined;
  const prefix = place(fields, "prefix", where, complain);
  if (prefix === undefined) complain(`${where}.prefix`, "no prefix specified");
  const mirrors = list(fields, "mirrors", `${where}.`, complain).map((mirror, at) =>
    checkMirror(mirror, `${where}.mirrors[${at}]`, complain),
  );
  return {
    prefix: prefix ?? "",
    location: place(fields, "location", where, complain),
    mirrors: mirrors.filter((mirror) => mirror !== undefined),
    blocked: bool(fields, "blocked", where, complain) ?? false,
    connection: checkConnection(fields, where, complain),
  };
}

function checkMirror(value: unknown, where: string, complain: Complain): RegistryMirror | undefined {
  const fields = objectAt(value, where, MIRROR_FIELDS, complain);
  if (fields === undefined) return undefined;
  const location = place(fields, "location", where, complain);
  if (location === undefined) complain(`${where}.location`, "no location specified");
  return {
    location: location ?? "",
    pull: checkPull(fields, where, complain),
    connection: checkConnection(fields, where, complain),
  };
}

const PULLS: readonly MirrorPull[] = ["all", "digest-only", "tag-only"];

function checkPull(fields: Fields, where: string, complain: Complain): MirrorPull {
  const value = text(fields, "pull", complain, `${where}.`);
  const pull = PULLS.find((known) => known === value);
  if (value !== "" && pull === undefined) complain(`${where}.pull`, `expected one of "${PULLS.join('", "')}"`);
  return pull ?? "all";
}

function checkConnection(fields: Fields, where: string, complain: Complain): Partial<RegistryConnection> {
  const path = (name: string) => absolutePath(fields, name, `${where}.${name}`, complain);
  const insecure = bool(fields, "insecure", where, complain);
  const [caFile, clientCertificate, clientKey] = [path("caFile"), path("clientCertificate"), path("clientKey")];
  if ((clientCertificate === undefined) !== (clientKey === undefined))
    complain(`${where}.clientCertificate`, "expected clientCertificate and clientKey together");
  return {
    ...(insecure === undefined ? {} : { insecure }),
    ...(caFile === undefined ? {} : { caFile }),
    ...(clientCertificate === undefined ? {} : { clientCertificate, clientKey }),
  };
}

/** HOST[:PORT][/PATH], in the grammar of image names. */
const PLACE =
  /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

function place(fields: Fields, name: string, where: string, complain: Complain): string | undefined {
  const value = text(fields, name, complain, `${where}.`);
  if (value !== "" && !PLACE.test(value))
    complain(
      `${where}.${name}`,
      `${quoted(value)} is no place of images, expected HOST[:PORT][/PATH] in small letters`,
    );
  return orUndefined(value);
}

function absolutePath(fields: Fields, name: string, where: string, complain: Complain): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string" && isAbsolute(value)) return value;
  complain(where, "expected an absolute path");
  return undefined;
}

function bool(fields: Fields, name: string, where: string, complain: Complain): boolean | undefined {
  const value = fields[name];
  if (value === undefined || value === null || typeof value === "boolean") return value ?? undefined;
  complain(`${where}.${name}`, "expected true or false");
  return undefined;
}

function list(fields: Fields, name: string, prefix: string, complain: Complain): readonly unknown[] {
  const value = fields[name] ?? [];
  if (Array.isArray(value)) return value;
  complain(`${prefix}${name}`, "expected a list");
  return [];
}

function objectAt(value: unknown, where: string, known: readonly string[], complain: Complain): Fields | undefined {
  const fields = record(value);
  if (fields === undefined) complain(where, "expected an object");
  else refuseUnknown(fields, known, `${where}.`, complain);
  return fields;
}

function refuseUnknown(fields: Fields, known: readonly string[], prefix: string, complain: Complain): void {
  for (const name of Object.keys(fields))
    if (!known.includes(name)) complain(`${prefix}${name}`, `unknown field, expected one of "${known.join('", "')}"`);
}
