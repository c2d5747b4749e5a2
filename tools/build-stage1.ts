/**
 * Builds the stage1 images beside the executable: build/stage1-FLAVOR.aci, links for their other names, and build/stage1-images.json, which build.ts compiles
 * in: an image with one of these ids is this build's own, and its entrypoints run in stage0's process. Run by `make stage1`; does nothing when nothing changed.
 * `--refresh` asks the Debian mirror again.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { STAGE1_ANNOTATION } from "../src/stage1-contract/annotations.ts";
import {
  FLAVOR_ISOLATION,
  FLAVORS,
  type Flavor,
  namesOfFlavor,
  stage1FileName,
  stage1ImageName,
} from "../src/stage1-contract/flavors.ts";
import { aci, put, putText, type Tree } from "./build-stage1-aci.ts";
import { DEBIAN_ARCH, fetchPackages, type PackageList } from "./build-stage1-debian.ts";
import { putKernel } from "./build-stage1-kernel.ts";
import { putShell, putSystemd } from "./build-stage1-tree.ts";

/** The contract's version that each flavor speaks (docs/stage1-contract.md). */
const INTERFACE: Record<Flavor, number> = { nspawn: 6, host: 6, fly: 5, kvm: 6 };
const ENTRYPOINTS = ["run", "enter", "gc", "stop"] as const;
/** Of the flavors whose pods can be changed while they run, and whose apps can be attached to. */
const CROSSING_ENTRYPOINTS = ["attach", "appAdd", "appRm", "appStart", "appStop"] as const;
const INPUTS = ["stage1", "src/core", "src/host", "src/network", "src/spec", "src/stage1-contract"];
const EMPTY_DIRS = [
  "dev",
  "etc",
  "opt/stage2",
  "proc",
  "rkt/env",
  "rkt/status",
  "rkt/volumes",
  "root",
  "run",
  "sys",
  "tmp",
  "var",
];
/** The machine of kvm, its kernel's package and its drivers are x86-64's. */
const BUILT = FLAVORS.filter((flavor) => flavor !== "kvm" || process.arch === "x64");
const KEY_FILE = "build/.cache/stage1.key";

const refresh = process.argv.includes("--refresh");
const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
const packageList = JSON.parse(readFileSync("tools/build-stage1-packages.json", "utf8")) as PackageList;

const key = inputsKey();
if (refresh || !upToDate(key)) {
  mkdirSync("build/.cache", { recursive: true });
  if (!BUILT.includes("kvm")) console.log("stage1-kvm.aci: not built: virtual machines are for x86-64 only");
  const images = Object.fromEntries(BUILT.map((flavor) => [flavor, buildImage(flavor)]));
  writeFileSync("build/stage1-images.json", `${JSON.stringify(images, null, 2)}\n`);
  writeFileSync(KEY_FILE, key);
}

function inputsKey(): string {
  const hash = createHash("sha256");
  const tools = readdirSync("tools")
    .filter((name) => name.startsWith("build-stage1"))
    .map((name) => join("tools", name));
  for (const path of [...INPUTS.flatMap(filesBelow), ...tools, "package.json"].sort()) {
    if (!path.endsWith(".test.ts")) hash.update(`${path}\0${statSync(path).mode}\0`).update(readFileSync(path));
  }
  return hash.update(process.versions.bun ?? "").digest("hex");
}

function upToDate(wanted: string): boolean {
  const outputs = [...BUILT.map((flavor) => `build/${stage1FileName(flavor)}`), "build/stage1-images.json"];
  return outputs.every((path) => existsSync(path)) && existsSync(KEY_FILE) && readFileSync(KEY_FILE, "utf8") === wanted;
}

function buildImage(flavor: Flavor): { id: string; name: string; version: string; file: string } {
  const rootfs: Tree = new Map();
  for (const dir of EMPTY_DIRS) put(rootfs, dir, { kind: "directory", mode: dir === "tmp" ? 0o1777 : 0o755 });
  if (flavor !== "fly") {
    const packages = fetchPackages(packageList, "build/.cache", refresh);
    putShell(rootfs, packages);
    if (flavor !== "host") putSystemd(rootfs, packageList, packages);
    putStaticFiles(rootfs, "stage1/nspawn/rootfs");
    for (const name of ["iomux", "seccomp-log"]) putProgram(rootfs, `usr/lib/rkt/${name}`, [`stage1/nspawn/${name}.c`]);
    if (flavor === "host") putProgram(rootfs, "usr/lib/rkt/init", ["stage1/host/init.c"]);
    if (flavor === "kvm") {
      const guest = putProgram(
        rootfs,
        "usr/lib/rkt/guest",
        filesBelow("stage1/kvm/guest").filter((path) => path.endsWith(".c")),
      );
      put(rootfs, "usr/lib/systemd/systemd-shutdown", { kind: "link", target: "../rkt/guest" });
      putKernel(rootfs, packages, guest);
    }
  }
  putText(rootfs, "usr/lib/rkt/stage1.js", bundle(flavor));
  for (const entrypoint of entrypointsOf(flavor))
    putText(rootfs, `usr/lib/rkt/${fileName(entrypoint)}`, entrypointScript(fileName(entrypoint)), 0o755);
  const { bytes, id, uncompressedSize } = aci(manifest(flavor), rootfs);
  const file = stage1FileName(flavor);
  writeFileSync(join("build", file), bytes);
  for (const alias of namesOfFlavor(flavor).slice(1)) {
    rmSync(`build/stage1-${alias}.aci`, { force: true });
    symlinkSync(file, `build/stage1-${alias}.aci`);
  }
  const megabytes = (size: number) => (size / 1e6).toFixed(1);
  console.log(`${file}: ${megabytes(bytes.length)} MB (${megabytes(uncompressedSize)} MB unpacked) ${id}`);
  return { id, name: stage1ImageName(flavor), version, file };
}

function putStaticFiles(rootfs: Tree, dir: string): void {
  if (!existsSync(dir)) return;
  for (const path of filesBelow(dir)) {
    const executable = (statSync(path).mode & 0o100) !== 0;
    putText(rootfs, path.slice(dir.length + 1), readFileSync(path, "utf8"), executable ? 0o755 : 0o644);
  }
}

/** The flavor's code as one JavaScript file, for a stage0 that is not this build. */
function bundle(flavor: Flavor): string {
  const built = spawnSync(
    process.execPath,
    [
      "build",
      "--target=bun",
      "--minify-syntax",
      `--define=BUILD_RKT_VERSION=${JSON.stringify(version)}`,
      `stage1/${flavor}/main.ts`,
    ],
    { encoding: "utf8", maxBuffer: 64 << 20 },
  );
  if (built.status !== 0) throw new Error(`cannot bundle stage1/${flavor}/main.ts\n${built.stderr}`);
  return built.stdout;
}

type EntrypointName = (typeof ENTRYPOINTS)[number] | (typeof CROSSING_ENTRYPOINTS)[number];

function entrypointsOf(flavor: Flavor): readonly EntrypointName[] {
  return flavor === "fly" || flavor === "kvm" ? ENTRYPOINTS : [...ENTRYPOINTS, ...CROSSING_ENTRYPOINTS];
}

/** "appAdd" → "app-add". */
function fileName(entrypoint: EntrypointName): string {
  return entrypoint.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A program without libraries, for inside the pod (docs/decisions/0009-an-io-multiplexer-in-c.md, 0011). The same source and compiler give the same bytes. */
function putProgram(rootfs: Tree, path: string, sources: readonly string[]): Buffer {
  const output = `build/.cache/${basename(path)}`;
  const flags = ["-std=gnu11", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id=none"];
  const compiled = spawnSync("gcc", [...flags, "-o", output, ...sources], { encoding: "utf8" });
  if (compiled.status !== 0) throw new Error(`cannot compile ${path}\n${compiled.stderr ?? compiled.error}`);
  const content = readFileSync(output);
  put(rootfs, path, { kind: "file", mode: 0o755, content });
  return content;
}

/** A script for the host's /bin/sh. */
function entrypointScript(entrypoint: string): string {
  return `#!/bin/sh
# Runs this image's own code with the first runtime found (docs/stage1-contract.md).
code=\${0%/*}
for runtime in "\${RKT_STAGE1_RUNTIME:-}" "$code/../../../rkt/runtime" /usr/bin/rkt; do
  [ -n "$runtime" ] && [ -x "$runtime" ] || continue
  exec "$runtime" worker stage1 "$code/stage1.js" ${entrypoint} "$@"
done
echo "stage1: Cannot ${entrypoint}: no runtime found, expected RKT_STAGE1_RUNTIME, /rkt/runtime in the image, or /usr/bin/rkt" >&2
exit 254
`;
}

function manifest(flavor: Flavor): unknown {
  return {
    acKind: "ImageManifest",
    acVersion: "0.8.11",
    name: stage1ImageName(flavor),
    labels: [
      { name: "version", value: version },
      { name: "arch", value: DEBIAN_ARCH === "arm64" ? "aarch64" : "amd64" },
      { name: "os", value: "linux" },
    ],
    annotations: [
      ...entrypointsOf(flavor).map((entrypoint) => ({
        name: STAGE1_ANNOTATION[entrypoint],
        value: `/usr/lib/rkt/${fileName(entrypoint)}`,
      })),
      { name: STAGE1_ANNOTATION.interfaceVersion, value: String(INTERFACE[flavor]) },
      { name: STAGE1_ANNOTATION.isolation, value: FLAVOR_ISOLATION[flavor].join(",") },
    ],
  };
}

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
