/** A data directory with blobs, and the compiled driver that renders them. */

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { DataDir } from "../../src/core/data-dir.ts";
import { parseDigest } from "../../src/core/digest.ts";
import type { DriverLayer, DriverRequest } from "./render-driver.ts";

export interface RenderStore {
  readonly root: string;
  readonly dataDir: DataDir;
  /** Stores a layer (gzip unless `stored` says otherwise). */
  layer(tar: Buffer, stored?: Buffer): DriverLayer;
  /** Renders an OCI image of these layers, lowest first. */
  render(...layers: DriverLayer[]): Promise<DriverResult>;
  /** Stores an ACI. */
  aci(tar: Buffer, stored?: Buffer): { id: string; layers: DriverLayer[] };
  renderAci(tar: Buffer, dependencies?: DriverRequest["dependencies"]): Promise<DriverResult>;
  run(command: "render" | "copy", request: Omit<DriverRequest, "root">): Promise<DriverResult>;
  /** Paths of the rendered layers, topmost first. */
  lowers(result: DriverResult): string[];
  remove(): void;
}

export interface DriverResult {
  code?: string;
  message?: string;
  treeId?: string;
  manifest?: string;
  layers?: { layerId: string; link: string }[];
  stderr: string;
}

/** Compiles the driver once per test file. The caller removes the directory. */
export function compileDriver(): string {
  const out = join(mkdtempSync(join(tmpdir(), "rkt-driver-")), "driver");
  const source = join(import.meta.dir, "render-driver.ts");
  const flags = ["--compile", "--format=esm", "--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];
  const built = spawnSync(process.execPath, ["build", ...flags, source, "--outfile", out], { encoding: "utf8" });
  if (built.status !== 0) throw new Error(`cannot compile the driver: ${built.stderr ?? built.error}`);
  return out;
}

export function renderStore(driver: string): RenderStore {
  const root = mkdtempSync(join(tmpdir(), "rkt-render-"));
  const dataDir = new DataDir(root);
  mkdirSync(dataDir.locks, { recursive: true });
  mkdirSync(dataDir.cas, { recursive: true });

  function store(bytes: Buffer, algorithm: "sha256" | "sha512"): string {
    const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
    const path = dataDir.blob(parseDigest(digest));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return digest;
  }

  function run(command: "render" | "copy", request: Omit<DriverRequest, "root">): Promise<DriverResult> {
    return new Promise((resolve, reject) => {
      const child = spawn(driver, [command, JSON.stringify({ root, ...request })], {
        stdio: ["ignore", "pipe", "pipe"],
      });
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (chunk) => {
        stdout += String(chunk);
      });
      child.stderr.on("data", (chunk) => {
        stderr += String(chunk);
      });
      child.once("error", reject);
      child.once("close", (status) => {
        if (stdout === "") reject(new Error(`driver ended with ${status}: ${stderr}`));
        else resolve({ ...JSON.parse(stdout), stderr });
      });
    });
  }

  function aci(tar: Buffer, stored = gzipSync(tar)): { id: string; layers: DriverLayer[] } {
    return { id: imageId(tar), layers: [{ digest: store(stored, "sha512"), size: stored.length, diffId: null }] };
  }

  return {
    root,
    dataDir,
    layer(tar, stored = gzipSync(tar)) {
      return {
        digest: store(stored, "sha256"),
        size: stored.length,
        diffId: `sha256:${createHash("sha256").update(tar).digest("hex")}`,
      };
    },
    render: (...layers) => run("render", { id: imageId(JSON.stringify(layers)), format: "oci", layers }),
    aci,
    renderAci: (tar, dependencies = {}) => run("render", { ...aci(tar), format: "aci", dependencies }),
    run,
    lowers: (result) => (result.layers ?? []).map(({ layerId }) => dataDir.layerRootfs(layerId)),
    remove: () => void spawnSync("rm", ["-rf", root]),
  };
}

export function imageId(bytes: string | Buffer): string {
  return `sha512-${createHash("sha512").update(bytes).digest("hex").slice(0, 64)}`;
}
