/**
 * What is measured: texts, whose digests go into the register. Everything that a verifier judges stands in such a text; what stands beside it in the log's records
 * (the time) is not covered by the TPM.
 */

import { RktError } from "../core/errors.ts";
import { complaint, field, items, optionalText, type Place, readDocument, text } from "../spec/document.ts";
import { jsonText, ordered, type Writable } from "../spec/json-text.ts";
import { BANKS, type BankValues, isBankValue } from "./banks.ts";

export type MeasuredEvent =
  /** The first of a boot: what the register held before. */
  | { readonly kind: "boot"; readonly bootId: string; readonly register: BankValues }
  /** The register was changed by somebody else since the record before: what it holds now. */
  | { readonly kind: "found"; readonly register: BankValues }
  /** A pod is about to be started, or an app to be added to one (then without stage1 and arguments). */
  | PodEvent
  /** The pod event before it, in rkt 1.x's words. */
  | { readonly kind: "rkt1"; readonly text: string };

export interface PodEvent {
  readonly kind: "pod" | "app";
  readonly uuid: string;
  /** rkt's own version. */
  readonly version: string;
  readonly apps: readonly MeasuredApp[];
  /** Digest of the pod manifest, `sha256:…`. */
  readonly manifest: string;
  readonly stage1: MeasuredImage | undefined;
  /** Of the stage1's `run`, without the token of the metadata service. */
  readonly arguments: readonly string[];
}

export interface MeasuredApp extends MeasuredImage {
  /** The app's name in the pod. */
  readonly app: string;
}

export interface MeasuredImage {
  /** `sha512-…`. */
  readonly id: string;
  /** Of an OCI image's manifest: `sha256:…`. */
  readonly digest: string | undefined;
  /** Only where a signature, or root's own fetch, vouches for it. */
  readonly name: string | undefined;
  /** As `rkt status` says it; undefined when the store no longer has the image. */
  readonly signer: string | undefined;
  /** The rendered tree that is mounted: names the ordered list of its layers. */
  readonly tree: string;
}

export function formatEvent(event: MeasuredEvent): string {
  switch (event.kind) {
    case "boot":
      return jsonText(ordered(["event", "boot"], ["boot", event.bootId], ["register", registerJson(event.register)]));
    case "found":
      return jsonText(ordered(["event", "found"], ["register", registerJson(event.register)]));
    case "rkt1":
      return event.text;
    default:
      return jsonText(
        ordered(
          ["event", event.kind],
          ["pod", event.uuid],
          ["rkt", event.version],
          ["apps", event.apps.map((app) => ordered(["app", app.app], ...imageJson(app)))],
          ["manifest", event.manifest],
          ["stage1", event.stage1 === undefined ? undefined : ordered(...imageJson(event.stage1))],
          ["arguments", event.kind === "pod" ? [...event.arguments] : undefined],
        ),
      );
  }
}

function registerJson(register: BankValues): Writable {
  return ordered(...[...register].map(([bank, value]): [string, Writable] => [bank, value]));
}

function imageJson(image: MeasuredImage): [string, Writable | undefined][] {
  return [
    ["id", image.id],
    ["digest", image.digest],
    ["name", image.name],
    ["signer", image.signer],
    ["tree", image.tree],
  ];
}

/** What rkt 1.x gave to its TPM daemon (stage0/run.go): the stage1 in place of its root's hash, the pod manifest, and the arguments. */
export const RKT1_START = "rkt: Rootfs: ";

export function rkt1Event(stage1: string, manifest: string, argv: readonly string[]): MeasuredEvent {
  return { kind: "rkt1", text: `${RKT1_START}${stage1} Manifest: ${manifest} Stage1 args: ${argv.join(" ")}` };
}

const DOCUMENT = "the measured event";

/** Throws INVALID_INPUT for anything that this version does not write: a verifier must not pass over what it does not understand. */
export function parseEvent(measured: string): MeasuredEvent {
  if (measured.startsWith(RKT1_START)) return { kind: "rkt1", text: measured };
  const place = readDocument(measured, DOCUMENT);
  const kind = text(field(place, "event"));
  switch (kind) {
    case "boot":
      return { kind, bootId: needed(field(place, "boot")), register: register(field(place, "register")) };
    case "found":
      return { kind, register: register(field(place, "register")) };
    case "pod":
    case "app":
      return {
        kind,
        uuid: needed(field(place, "pod")),
        version: needed(field(place, "rkt")),
        apps: items(field(place, "apps")).map((app) => ({ app: needed(field(app, "app")), ...image(app) })),
        manifest: needed(field(place, "manifest")),
        stage1: kind === "pod" ? image(field(place, "stage1")) : undefined,
        arguments: items(field(place, "arguments")).map(text),
      };
    default:
      throw complaint(field(place, "event"), "expected boot, found, pod or app");
  }
}

function image(place: Place): MeasuredImage {
  const optional = (name: string) => optionalText(field(place, name));
  return {
    id: needed(field(place, "id")),
    digest: optional("digest"),
    name: optional("name"),
    signer: optional("signer"),
    tree: needed(field(place, "tree")),
  };
}

/** Values by bank, at least one. */
export function register(place: Place): BankValues {
  const values = new Map(
    BANKS.flatMap((bank): [(typeof BANKS)[number], string][] => {
      const value = field(place, bank);
      if (optionalText(value) === undefined) return [];
      if (!isBankValue(bank, text(value))) throw complaint(value, `expected a ${bank} value in hexadecimal`);
      return [[bank, text(value)]];
    }),
  );
  if (values.size === 0) throw complaint(place, `expected values of ${BANKS.join(", ")}`);
  return values;
}

function needed(place: Place): string {
  const value = text(place);
  if (value === "") throw complaint(place, "is missing");
  return value;
}

/** A measured event, or undefined when it is none that this version writes. */
export function eventOrUndefined(measured: string): MeasuredEvent | undefined {
  try {
    return parseEvent(measured);
  } catch (error) {
    if (error instanceof RktError && error.code === "INVALID_INPUT") return undefined;
    throw error;
  }
}
