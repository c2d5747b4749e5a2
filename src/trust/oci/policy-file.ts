/**
 * An existing policy.json (containers-policy.json(5)), so that a host that moves here keeps its rules. It is in force only where the operator put it: as
 * `containers/policy.json` in rkt's configuration (a link to /etc/containers is enough). The host's own file does not count by itself: distributions ship one that
 * accepts everything.
 */

import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../../core/errors.ts";
import type { ImageReference } from "../../core/spine.ts";
import { quoted } from "../../core/text.ts";
import { entries, field, isPresent, items, type Place, readDocument, text } from "../../spec/document.ts";
import type { TrustDirs } from "../keystore-files.ts";
import type { ImageName } from "./image-name.ts";
import type { NameRule } from "./name-rule.ts";
import { readSignedIdentity, refuseDoubles, refuseUnknown } from "./policy-identity.ts";
import { type PolicySigner, readOpenPgpKeys, readSigstoreSigners } from "./policy-signers.ts";

export type Requirement =
  | { readonly type: "insecureAcceptAnything" }
  | { readonly type: "reject" }
  /** Satisfied by a signature of any of `signers`, for a name that `names` allows. */
  | { readonly type: "signed"; readonly signers: readonly PolicySigner[]; readonly names: NameRule };

export interface Policy {
  /** The file. */
  readonly path: string;
  /** "docker reg.example/team", "docker" (the whole transport) or "default". */
  readonly scope: string;
  /** Each must be satisfied. */
  readonly requirements: readonly Requirement[];
}

/** An image as a policy sees it. */
export interface PolicySubject {
  readonly transport: "docker" | "oci" | "oci-archive" | "docker-archive";
  /** The most specific first. */
  readonly scopes: readonly string[];
  /** For images of a registry. */
  readonly image: ImageName | undefined;
}

const LARGEST_FILE = 1024 * 1024;

/** The rules in force for an image; undefined when the operator put no policy.json in force. Throws INVALID_CONFIG. */
export function policyFor(subject: PolicySubject, dirs: TrustDirs): Policy | undefined {
  const path = policyFile(dirs);
  if (path === undefined) return undefined;
  try {
    if (statSync(path).size > LARGEST_FILE) throw new RktError("INVALID_CONFIG", "it has more than 1 MiB");
    const content = readFileSync(path, "utf8");
    const document = readDocument(content, "the policy");
    refuseDoubles(content);
    refuseUnknown(document, ["default", "transports"]);
    const { scope, place } = rulesFor(document, subject);
    return { path, scope, requirements: readRequirements(place, subject.image) };
  } catch (cause) {
    throw new RktError("INVALID_CONFIG", `cannot get configuration: Cannot read ${quoted(path)}`, { cause });
  }
}

/** The policy.json in force; undefined when there is none. */
export function policyFile({ localConfigDir, systemConfigDir }: TrustDirs): string | undefined {
  return [localConfigDir, systemConfigDir]
    .map((dir) => join(dir, "containers/policy.json"))
    .find((file) => existsSync(file));
}

/** containers-policy.json(5), "transports": the most specific scope of the transport, its scope "", then the default. */
function rulesFor(document: Place, { transport, scopes }: PolicySubject): { scope: string; place: Place } {
  const rules = new Map(entries(field(field(document, "transports"), transport)));
  for (const scope of [...scopes, ""]) {
    const place = rules.get(scope);
    if (place !== undefined) return { scope: `${transport} ${scope}`.trim(), place };
  }
  return { scope: "default", place: field(document, "default") };
}

function readRequirements(place: Place, image: ImageName | undefined): Requirement[] {
  const requirements = items(place).map((one) => readRequirement(one, image));
  if (requirements.length === 0)
    throw new RktError("INVALID_CONFIG", `${place.path || "default"}: expected requirements`);
  return requirements;
}

function readRequirement(place: Place, image: ImageName | undefined): Requirement {
  const type = text(field(place, "type"));
  switch (type) {
    case "insecureAcceptAnything":
    case "reject":
      refuseUnknown(place, ["type"]);
      return { type };
    case "signedBy":
      refuseUnknown(place, ["type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"]);
      if (text(field(place, "keyType")) !== "GPGKeys") {
        throw new RktError("INVALID_CONFIG", `${place.path}.keyType: expected "GPGKeys"`);
      }
      return { type: "signed", signers: [readOpenPgpKeys(place)], names: identityOf(place, image) };
    case "sigstoreSigned":
      return { type: "signed", signers: readSigstoreSigners(place), names: identityOf(place, image) };
    default:
      throw new RktError("INVALID_CONFIG", `${place.path}.type: ${quoted(type)} is not known`);
  }
}

function identityOf(place: Place, image: ImageName | undefined): NameRule {
  const identity = field(place, "signedIdentity");
  return isPresent(identity) ? readSignedIdentity(identity, image) : { rule: "matchRepoDigestOrExact", image };
}

/** The scopes of an image of a registry: "host/a/b:tag", "host/a/b", "host/a", "host", "*.example.com", "*.com". */
export function dockerSubject(image: ImageName): PolicySubject {
  const { repository, tag, digest } = image;
  const parts = repository.split("/");
  const [host = ""] = parts;
  const above = parts.map((_, index) => parts.slice(0, parts.length - index).join("/"));
  const domains = host.split(".");
  const wildcards = domains.slice(1).map((_, index) => `*.${domains.slice(index + 1).join(".")}`);
  const whole = digest !== undefined ? [`${repository}@${digest}`] : tag !== undefined ? [`${repository}:${tag}`] : [];
  return { transport: "docker", scopes: [...whole, ...above, ...wildcards], image };
}

/** The scopes of a layout or archive: its path with the name, its path, and the directories above. Undefined for what is none. */
export function fileSubject(reference: ImageReference): PolicySubject | undefined {
  const transports = { "oci-layout": "oci", "oci-archive": "oci-archive", "docker-archive": "docker-archive" } as const;
  if (reference.kind !== "oci-layout" && reference.kind !== "oci-archive" && reference.kind !== "docker-archive") {
    return undefined;
  }
  const { path, name } = reference;
  const parts = path.split("/").filter((part) => part !== "");
  const above = parts.map((_, index) => `/${parts.slice(0, parts.length - index).join("/")}`);
  const scopes = [...(name === undefined ? [] : [`${path}:${name}`]), ...above, "/"];
  return { transport: transports[reference.kind], scopes, image: undefined };
}
