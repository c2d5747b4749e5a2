/** App strings of the App Container specification: `name[:version][,label=value…]` (spec/discovery.md). */

import { RktError } from "../core/errors.ts";
import type { ImageReference, Labels } from "../core/spine.ts";
import { quoted } from "../core/text.ts";

export type AppcReference = Extract<ImageReference, { kind: "appc" }>;

/** Type AC Identifier (spec/types.md). */
const IDENTIFIER = /^[a-z0-9]+([-._~/][a-z0-9]+)*$/;

/** Host architectures in the appc vocabulary (spec/aci.md, ValidOSArch), by the name that the runtime gives them. */
const APPC_ARCH: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "i386",
  arm64: "aarch64",
  arm: "armv7l",
  ppc64: "ppc64le",
  s390x: "s390x",
};

/** The `arch` label of this machine. */
export function hostAppcArch(): string {
  return APPC_ARCH[process.arch] ?? process.arch;
}

/** Parses an app string; `os` and `arch` default to this machine's, as in rkt. Throws INVALID_INPUT. */
export function parseAppcName(text: string): AppcReference {
  const [head = "", ...pairs] = text.split(",");
  const [name = "", version, ...more] = head.split(":");
  if (more.length > 0) throw invalid(text, "one colon at most, between name and version");
  if (!IDENTIFIER.test(name))
    throw invalid(text, `the name holds only lower-case letters and digits, separated by one of - . _ ~ /`);
  if (version === "") throw invalid(text, "the version is empty");
  const labels: { name: string; value: string }[] = version === undefined ? [] : [{ name: "version", value: version }];
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    const label = equals < 0 ? pair : pair.slice(0, equals);
    const value = equals < 0 ? "" : pair.slice(equals + 1);
    if (!IDENTIFIER.test(label) || value === "") throw invalid(text, "labels have the form name=value");
    if (label === "name") throw invalid(text, `"name" is no label`);
    if (labels.some((known) => known.name === label)) throw invalid(text, `label ${quoted(label)} is given twice`);
    labels.push({ name: label, value });
  }
  return { kind: "appc", name, labels: withDefaults(labels) };
}

/** The app string of a reference; labels that are this machine's defaults are left out. */
export function formatAppcName(reference: AppcReference): string {
  let text = reference.name;
  const rest: string[] = [];
  for (const { name, value } of reference.labels) {
    if (name === "version") text += `:${value}`;
    else if (value !== defaultLabel(name)) rest.push(`,${name}=${value}`);
  }
  return text + rest.join("");
}

function withDefaults(labels: Labels): Labels {
  const missing = ["os", "arch"].filter((name) => !labels.some((label) => label.name === name));
  return [...labels, ...missing.map((name) => ({ name, value: defaultLabel(name) ?? "" }))];
}

function defaultLabel(name: string): string | undefined {
  return name === "os" ? "linux" : name === "arch" ? hostAppcArch() : undefined;
}

function invalid(text: string, why: string): RktError {
  return new RktError("INVALID_INPUT", `invalid image string ${quoted(text)}: ${why}`);
}
