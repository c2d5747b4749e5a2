/** What a verifier allows: which images and stage1s may have run since boot. Strict: a word that is not known, or a rule that says nothing, is refused, because it would allow more than was meant. Pure. */

import { isImageId } from "../core/digest.ts";
import {
  complaint,
  entries,
  field,
  isPresent,
  items,
  optionalInteger,
  type Place,
  readDocument,
  text,
} from "../spec/document.ts";
import { isBankValue, zeros } from "./banks.ts";
import type { MeasuredImage, PodEvent } from "./event.ts";
import type { Step } from "./replay.ts";

export interface QuotePolicy {
  readonly images: readonly ImageRule[];
  readonly stage1: readonly ImageRule[];
  /** What the register may have held before the first event (SHA-256). */
  readonly start: readonly string[];
  /** Beginnings of stage1 arguments that no pod may have had. */
  readonly refusedArguments: readonly string[];
}

/** Everything that is given must hold. */
export interface ImageRule {
  readonly id?: string;
  readonly digest?: string;
  /** Ends with "/*": everything below. */
  readonly name?: string;
  readonly signer?: string;
}

const DOCUMENT = "the policy";
const FIELDS = ["version", "images", "stage1", "start", "refuse-arguments"];
const RULE_FIELDS = ["id", "digest", "name", "signer"] as const;
const VERSION = 1;

/** Throws INVALID_INPUT. */
export function parseQuotePolicy(json: string): QuotePolicy {
  const place = readDocument(json, DOCUMENT);
  refuseOthers(place, FIELDS);
  const version = field(place, "version");
  if (optionalInteger(version, 0, Number.MAX_SAFE_INTEGER) !== VERSION) throw complaint(version, `expected ${VERSION}`);
  const start = items(field(place, "start")).map(startValue);
  return {
    images: items(field(place, "images")).map(rule),
    stage1: items(field(place, "stage1")).map(rule),
    start: isPresent(field(place, "start")) ? start : [zeros("sha256")],
    refusedArguments: items(field(place, "refuse-arguments")).map(needed),
  };
}

function rule(place: Place): ImageRule {
  refuseOthers(place, RULE_FIELDS);
  const given = RULE_FIELDS.filter((name) => isPresent(field(place, name)));
  const fields = Object.fromEntries(given.map((name) => [name, needed(field(place, name))])) as ImageRule;
  // A short form, as tables show it, would match nothing, or be taken to match more.
  if (fields.id !== undefined && !isImageId(fields.id))
    throw complaint(field(place, "id"), "expected an image's whole id, sha512-…");
  if (fields.digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(fields.digest))
    throw complaint(field(place, "digest"), "expected the whole digest of an OCI manifest, sha256:…");
  // Whoever may fetch an image gives it a name; a signature, or content, makes it true.
  if (fields.id === undefined && fields.digest === undefined && fields.signer === undefined)
    throw complaint(place, "expected an id, a digest or a signer");
  return fields;
}

function refuseOthers(place: Place, known: readonly string[]): void {
  const other = entries(place).find(([name]) => !known.includes(name));
  if (other !== undefined) throw complaint(other[1], `unknown field, expected ${known.join(", ")}`);
}

function startValue(place: Place): string {
  if (!isBankValue("sha256", text(place))) throw complaint(place, "expected a SHA-256 value in hexadecimal");
  return text(place);
}

function needed(place: Place): string {
  if (text(place) === "") throw complaint(place, "must not be empty");
  return text(place);
}

/** Why the policy does not allow what the log says; empty when it does. The log is one that replays without a fault. */
export function refusals(policy: QuotePolicy, steps: readonly Step[]): string[] {
  return steps.flatMap(({ record, event }, index) => {
    const here = (reasons: readonly string[]) => reasons.map((reason) => `record ${record.number}: ${reason}`);
    switch (event?.kind) {
      case "boot":
        return policy.start.includes(event.register.get("sha256") ?? "")
          ? []
          : here(["before it the register held a value that the policy does not know"]);
      case "pod":
      case "app":
        return here(refusalsOfPod(policy, event));
      case "rkt1":
        // Says the same as the event before it, in words that nothing here reads.
        return steps[index - 1]?.event?.kind === "pod" ? [] : here(["rkt 1.x's words without a pod before them"]);
      default:
        return here(["an event that the policy does not know"]);
    }
  });
}

function refusalsOfPod(policy: QuotePolicy, event: PodEvent): string[] {
  const { apps, stage1 } = event;
  const refused = (what: string, image: MeasuredImage, rules: readonly ImageRule[]) =>
    rules.some((one) => allows(one, image)) ? [] : [`${what} ${imageText(image)} is not allowed`];
  return [
    ...apps.flatMap((app) => refused(`the image of app ${app.app},`, app, policy.images)),
    ...(stage1 === undefined ? [] : refused("the stage1", stage1, policy.stage1)),
    ...event.arguments
      .filter((argument) => policy.refusedArguments.some((beginning) => argument.startsWith(beginning)))
      .map((argument) => `the argument ${argument} is not allowed`),
  ];
}

function allows(one: ImageRule, image: MeasuredImage): boolean {
  return RULE_FIELDS.every((name) => {
    const wanted = one[name];
    if (wanted === undefined) return true;
    if (name === "name" && wanted.endsWith("/*")) return image.name?.startsWith(wanted.slice(0, -1)) === true;
    return image[name] === wanted;
  });
}

export function imageText({ id, digest, name, signer }: MeasuredImage): string {
  return [name, digest ?? id, `(${signer ?? "signer unknown"})`].filter((word) => word !== undefined).join(" ");
}
