/**
 * The conversion of OCI images to App Container manifests, byte for byte: golden/NAME.json has an image (where it came from, and its configuration), golden/NAME.manifest what rkt makes of it. What
 * clients parse, and what ids of converted images stand on, must not change from one release to the next.
 */

import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDigest } from "../core/digest.ts";
import { formatImageManifest, ociToAppc, parseConfig, parseImageManifest } from "./mod.ts";

const DIRECTORY = join(import.meta.dir, "golden");
const names = readdirSync(DIRECTORY).flatMap((file) =>
  file.endsWith(".json") ? [file.slice(0, -".json".length)] : [],
);

interface Golden {
  readonly image: Readonly<Record<"registry" | "repository", string | undefined>> &
    Readonly<Record<"reference" | "origin" | "manifestDigest" | "configDigest", string>>;
  readonly config: object;
}

test("there are golden files", () => {
  expect(names.length).toBeGreaterThan(5);
});

for (const name of names) {
  test(name, () => {
    const { image, config }: Golden = JSON.parse(readFileSync(join(DIRECTORY, `${name}.json`), "utf8"));
    const manifest = ociToAppc({
      config: parseConfig(JSON.stringify(config)),
      manifestDigest: parseDigest(image.manifestDigest),
      configDigest: parseDigest(image.configDigest),
      registry: image.registry,
      repository: image.repository,
      reference: image.reference,
      origin: image.origin,
    });
    const text = formatImageManifest(manifest);
    expect(text).toBe(readFileSync(join(DIRECTORY, `${name}.manifest`), "utf8"));
    expect(parseImageManifest(text)).toEqual(manifest);
  });
}
