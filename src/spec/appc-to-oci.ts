/**
 * The way out of the appc vocabulary, for `image export`: an image manifest becomes an OCI configuration. Same input, same bytes. What OCI has no word for is left out: isolators,
 * event handlers, supplementary groups, read-only mount points.
 */

import type { Digest } from "../core/digest.ts";
import { formatDigest } from "../core/digest.ts";
import type { App, ImageManifest } from "./appc/types.ts";
import { jsonText, ordered, type Writable } from "./json-text.ts";

/** JSON text of the configuration (image-spec config.md) of an image of one layer with this diff id. */
export function appcToOciConfig(manifest: ImageManifest, diffId: Digest): string {
  const label = (name: string): string | undefined => manifest.labels.find((one) => one.name === name)?.value;
  const annotation = (name: string): string | undefined => manifest.annotations.find((one) => one.name === name)?.value;
  const { architecture, variant } = goArch(label("arch") ?? "amd64");
  return jsonText(
    ordered(
      ["created", annotation("created")],
      ["author", annotation("authors")],
      ["architecture", architecture],
      ["variant", variant],
      ["os", label("os") ?? "linux"],
      ["config", manifest.app && processOf(manifest.app)],
      ["rootfs", ordered(["type", "layers"], ["diff_ids", [formatDigest(diffId)]])],
    ),
  );
}

function processOf(app: App): Writable {
  const set = (names: readonly string[]): Writable | undefined =>
    names.length === 0 ? undefined : new Map(names.toSorted().map((name) => [name, {}]));
  return ordered(
    ["User", app.group === app.user ? app.user : `${app.user}:${app.group}`],
    ["ExposedPorts", set(app.ports.map(({ port, protocol }) => `${port}/${protocol}`))],
    ["Env", app.environment.map(({ name, value }) => `${name}=${value}`)],
    ["Entrypoint", app.exec.length === 0 ? undefined : app.exec],
    ["Volumes", set(app.mountPoints.map(({ path }) => path))],
    ["WorkingDir", app.workingDirectory === "" ? undefined : app.workingDirectory],
    [
      "Labels",
      app.userLabels.length === 0 ? undefined : new Map(app.userLabels.map(({ name, value }) => [name, value])),
    ],
  );
}

/** Go's names of architectures, by appc's. */
const GO_ARCHS: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  i386: ["386"],
  aarch64: ["arm64"],
  aarch64_be: ["arm64be"],
  armv6l: ["arm", "v6"],
  armv7l: ["arm", "v7"],
  armv7b: ["armbe", "v7"],
};

function goArch(arch: string): { architecture: string; variant: string | undefined } {
  const [architecture, variant] = (Object.hasOwn(GO_ARCHS, arch) ? GO_ARCHS[arch] : undefined) ?? [arch];
  return { architecture, variant };
}
