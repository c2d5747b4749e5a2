/**
 * The kinds of configuration files: their fields, checked one by one, and brought into one form. Pure. The formats and the words of the errors are rkt's
 * (Documentation/configuration.md of rkt 1.30); unknown fields are ignored, as there.
 */

import { isAbsolute } from "node:path";
import { quoted } from "../core/text.ts";
import type { Auth, DockerCredentials } from "./config.ts";
import type { Complain, ConfigEntry, ConfigKind } from "./entry.ts";
import { type Fields, names, needed, orUndefined, record, text } from "./fields.ts";
import { checkMeasurement } from "./schema-measurement.ts";
import { checkRegistries } from "./schema-registries.ts";

/** Checks a file of `kind`. Undefined when something was complained about. */
export function checkKind(kind: ConfigKind, fields: Fields, complain: Complain): ConfigEntry | undefined {
  switch (kind) {
    case "auth":
      return checkAuth(fields, complain);
    case "dockerAuth":
      return checkDockerAuth(fields, complain);
    case "registries":
      return checkRegistries(fields, complain);
    case "paths":
      return checkPaths(fields, complain);
    case "stage1":
      return checkStage1(fields, complain);
    case "measurement":
      return checkMeasurement(fields, complain);
  }
}

function checkAuth(fields: Fields, complain: Complain): ConfigEntry | undefined {
  const domains = names(fields, "domains", "no domains specified", complain);
  const type = text(fields, "type", complain);
  const credentials = record(fields.credentials) ?? {};
  const auth = checkCredentials(type, credentials, complain);
  return domains === undefined || auth === undefined ? undefined : { kind: "auth", domains, auth };
}

function checkCredentials(type: string, credentials: Fields, complain: Complain): Auth | undefined {
  const need = (name: string, without: string): string => needed(credentials, name, without, complain);
  switch (type) {
    case "":
      complain("type", "no auth type specified");
      return undefined;
    case "basic": {
      const login = checkLogin(credentials, complain);
      return login === undefined ? undefined : { kind: "basic", ...login };
    }
    case "oauth": {
      const token = need("token", "no oauth bearer token specified");
      return token === "" ? undefined : { kind: "oauth", token };
    }
    case "aws": {
      const accessKeyId = need("accessKeyID", "no AWS Access Key ID specified");
      const secretAccessKey = need("secretAccessKey", "no AWS Secret Access Key specified");
      const region = text(credentials, "awsRegion", complain, "credentials.");
      if (accessKeyId === "" || secretAccessKey === "") return undefined;
      return { kind: "aws", accessKeyId, secretAccessKey, region: orUndefined(region) };
    }
    default:
      complain("type", `unknown auth type: ${quoted(type)}`);
      return undefined;
  }
}

function checkDockerAuth(fields: Fields, complain: Complain): ConfigEntry | undefined {
  const registries = names(fields, "registries", "no registries specified", complain);
  const given = record(fields.credentials);
  if (given === undefined) complain("credentials", "no credentials");
  const credentials = given === undefined ? undefined : checkLogin(given, complain);
  return registries === undefined || credentials === undefined
    ? undefined
    : { kind: "dockerAuth", registries, credentials };
}

function checkLogin(credentials: Fields, complain: Complain): DockerCredentials | undefined {
  const user = needed(credentials, "user", "user not specified", complain);
  const password = needed(credentials, "password", "password not specified", complain);
  return user === "" || password === "" ? undefined : { user, password };
}

function checkPaths(fields: Fields, complain: Complain): ConfigEntry {
  const path = (name: string, what: string): string | undefined => {
    const value = text(fields, name, complain);
    if (value !== "" && !isAbsolute(value)) complain(name, `${what} must be an absolute path`);
    return orUndefined(value);
  };
  return {
    kind: "paths",
    data: path("data", "data directory"),
    stage1Images: path("stage1-images", "stage1 images directory"),
  };
}

function checkStage1(fields: Fields, complain: Complain): ConfigEntry {
  const name = text(fields, "name", complain);
  const version = text(fields, "version", complain);
  const location = text(fields, "location", complain);
  if (name === "" && version !== "") complain("name", "default stage1 image version specified, but name is missing");
  if (name !== "" && version === "") complain("version", "default stage1 image name specified, but version is missing");
  checkLocation(location, complain);
  return {
    kind: "stage1",
    name: orUndefined(name),
    version: orUndefined(version),
    location: orUndefined(location),
  };
}

const LOCATION_SCHEMES = ["docker", "file", "http", "https"];

function checkLocation(location: string, complain: Complain): void {
  if (location === "" || isAbsolute(location)) return;
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(location)?.[1]?.toLowerCase();
  if (scheme === undefined)
    complain("location", "default stage1 image location is either a relative path or a URL without scheme");
  else if (!LOCATION_SCHEMES.includes(scheme))
    complain(
      "location",
      `default stage1 image location URL has invalid scheme ${quoted(scheme)}, allowed schemes are "${LOCATION_SCHEMES.join('", "')}"`,
    );
}
