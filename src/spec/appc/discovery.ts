/** App Container image discovery (spec/discovery.md; discovery/discovery.go of appc/spec): from a name to the places to ask, and from a page to URLs. No I/O. */

import type { NamedImage } from "./app-string.ts";
import type { DiscoveryTag } from "./meta-tags.ts";
import { withHostLabels } from "./os-arch.ts";

/** Where one server has an image and its signature. */
export interface ImageEndpoint {
  readonly image: string;
  readonly signature: string;
}

/** "example.com/a/b" → itself, "example.com/a", "example.com": the pages that may know the name, in the order in which they are asked. */
export function discoveryPlaces(name: string): string[] {
  const parts = name.split("/");
  return parts.map((_, index) => parts.slice(0, parts.length - index).join("/"));
}

/** The page of one place. */
export function discoveryUrl(scheme: "https" | "http", place: string): string {
  return `${scheme}://${place}?ac-discovery=1`;
}

/**
 * The endpoints that a page's tags give for an image, in the page's order. `version` defaults to "latest", os and arch to this machine's. A template with variables
 * that nothing fills is passed over (rkt 1.x), and so is what is no http or https URL.
 */
export function imageEndpoints(tags: readonly DiscoveryTag[], wanted: NamedImage): ImageEndpoint[] {
  const values = templateValues(wanted);
  return tags.flatMap(({ name, prefix, location }) => {
    if (name !== "ac-discovery" || !wanted.name.startsWith(prefix)) return [];
    const [image, signature] = ["aci", "aci.asc"].map((ext) => expand(location, new Map([...values, ["ext", ext]])));
    return image === undefined || signature === undefined ? [] : [{ image, signature }];
  });
}

/** The name goes in as it is; a label may hold any text, which must stay one part of the URL. */
function templateValues({ name, labels }: NamedImage): Map<string, string> {
  const values = new Map<string, string>();
  if (!labels.some((label) => label.name === "version")) values.set("version", "latest");
  for (const label of withHostLabels(labels)) {
    values.set(label.name, label.value === "" && label.name === "version" ? "latest" : escaped(label.value));
  }
  return values.set("name", name);
}

/** encodeURIComponent, but for what versions hold and a path may. */
function escaped(value: string): string {
  return encodeURIComponent(value.toWellFormed()).replace(/%(2B|3A|40|2C|3D)/g, (code) => decodeURIComponent(code));
}

function expand(template: string, values: ReadonlyMap<string, string>): string | undefined {
  let complete = true;
  const text = template.replace(/\{([^{}]*)\}/g, (_, variable: string) => {
    const value = values.get(variable);
    complete &&= value !== undefined;
    return value ?? "";
  });
  if (!complete || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  // Whoever writes the page does not choose credentials for us.
  if (!/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") return undefined;
  return url.toString();
}
