/**
 * Which name a signature may be for. A signature made for another image of the same signer is a true signature: without this rule, whoever can write to a registry could
 * serve one image under another's name.
 */

import { formatImageName, type ImageName, isBelow, normalRepository, parseImageName } from "./image-name.ts";

export type NameRule =
  /** rkt's own keys, for an image that was asked for by name: the same repository, and the same tag if both have one. */
  | { readonly rule: "same"; readonly image: ImageName }
  /** rkt's own keys, for a layout, which has no name: the signed name must be one that the key is trusted for ("" for all). */
  | { readonly rule: "below"; readonly prefixes: readonly string[] }
  /** containers-policy.json(5), "signedIdentity". */
  | {
      readonly rule: "matchExact" | "matchRepoDigestOrExact" | "matchRepository";
      readonly image: ImageName | undefined;
    }
  | { readonly rule: "exactReference"; readonly reference: string }
  | { readonly rule: "exactRepository"; readonly repository: string }
  | {
      readonly rule: "remapIdentity";
      readonly prefix: string;
      readonly signedPrefix: string;
      readonly image: ImageName | undefined;
    };

/** Why a signature that names `signed` does not count; undefined when it does. `signed` undefined: the signature names no image (a bundle). */
export function nameProblem(rule: NameRule, signed: string | undefined): string | undefined {
  if (signed === undefined) {
    const isKeystore = rule.rule === "same" || rule.rule === "below";
    return isKeystore ? undefined : "it names no image, and policy.json asks for a name";
  }
  const name = parseImageName(signed);
  if (name === undefined) return `it was made for "${signed}", which is no image`;
  return matches(rule, name) ? undefined : `it was made for "${signed}", expected ${expectation(rule)}`;
}

function matches(rule: NameRule, signed: ImageName): boolean {
  switch (rule.rule) {
    case "same":
      return (
        signed.repository === rule.image.repository &&
        sameIfBoth(signed.tag, rule.image.tag) &&
        sameIfBoth(signed.digest, rule.image.digest)
      );
    case "below":
      return rule.prefixes.some((prefix) => isBelow(signed.repository, normalPrefix(prefix)));
    case "matchExact":
      return rule.image !== undefined && rule.image.tag !== undefined && isSame(signed, rule.image);
    case "matchRepoDigestOrExact":
      return rule.image !== undefined && repoDigestOrExact(signed, rule.image);
    case "matchRepository":
      return rule.image !== undefined && signed.repository === rule.image.repository;
    case "exactReference": {
      const expected = parseImageName(rule.reference);
      return expected !== undefined && isSame(signed, expected);
    }
    case "exactRepository":
      return signed.repository === parseImageName(rule.repository)?.repository;
    case "remapIdentity":
      return (
        rule.image !== undefined && repoDigestOrExact(signed, remapped(rule.image, rule.prefix, rule.signedPrefix))
      );
  }
}

/** By tag the names must be equal; by digest the repository is enough, since the digest is checked by itself. */
function repoDigestOrExact(signed: ImageName, image: ImageName): boolean {
  if (image.digest !== undefined) return signed.repository === image.repository;
  return isSame(signed, image);
}

function remapped(image: ImageName, prefix: string, signedPrefix: string): ImageName {
  const from = normalPrefix(prefix);
  if (!isBelow(image.repository, from)) return image;
  return { ...image, repository: normalPrefix(signedPrefix) + image.repository.slice(from.length) };
}

/** A prefix may be a host alone. */
function normalPrefix(prefix: string): string {
  if (prefix === "" || !prefix.includes("/"))
    return /^(index\.|registry-1\.)docker\.io$/.test(prefix) ? "docker.io" : prefix;
  const normal = normalRepository(`${prefix}/x`);
  return normal.slice(0, -"/x".length);
}

function isSame(a: ImageName, b: ImageName): boolean {
  return a.repository === b.repository && a.tag === b.tag && a.digest === b.digest;
}

function sameIfBoth(a: string | undefined, b: string | undefined): boolean {
  return a === undefined || b === undefined || a === b;
}

function expectation(rule: NameRule): string {
  switch (rule.rule) {
    case "same":
      return `"${formatImageName(rule.image)}"`;
    case "below":
      return `a name below ${rule.prefixes.map((prefix) => `"${prefix}"`).join(" or ")}`;
    case "exactReference":
      return `"${rule.reference}"`;
    case "exactRepository":
      return `"${rule.repository}"`;
    case "remapIdentity":
      return rule.image === undefined
        ? "an image of a registry"
        : `"${formatImageName(remapped(rule.image, rule.prefix, rule.signedPrefix))}"`;
    default:
      return rule.image === undefined ? "an image of a registry" : `"${formatImageName(rule.image)}" (${rule.rule})`;
  }
}
