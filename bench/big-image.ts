/**
 * A large OCI image that is the same on every machine: three layers with the sizes and the compressibility of a distribution, a language runtime and an
 * application. Made once and kept under build/bench.
 */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { below, type Random, randomNumbers } from "../tests/harness/random.ts";
import { END, type Member, memberBytes } from "../tests/harness/tar-builder.ts";

export interface BigImage {
  readonly layout: string;
  /** Paths of the compressed layers, lowest first. */
  readonly layers: Readonly<Record<"gzip" | "zstd", readonly string[]>>;
  readonly files: number;
  /** Bytes of all files together. */
  readonly size: number;
}

interface LayerPlan {
  readonly prefix: string;
  readonly files: number;
  readonly bytes: number;
}

const MB = 1_000_000;

/** 206 MB in 10,300 files; `scale` multiplies both. Tags of the layout: "gzip" and "zstd". */
export function bigImage(scale: number, tell: (text: string) => void): BigImage {
  const plans: LayerPlan[] = [
    { prefix: "usr/share", files: 5200 * scale, bytes: 74 * MB * scale },
    { prefix: "usr/lib/runtime", files: 4300 * scale, bytes: 118 * MB * scale },
    { prefix: "srv/application", files: 800 * scale, bytes: 14 * MB * scale },
  ];
  const layout = join("build/bench", `image-${scale}`);
  const record = join(layout, "bench.json");
  if (!existsSync(record)) make(layout, plans, tell);
  return JSON.parse(readFileSync(record, "utf8"));
}

function make(layout: string, plans: readonly LayerPlan[], tell: (text: string) => void): void {
  const unfinished = `${layout}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(join(unfinished, "blobs/sha256"), { recursive: true });
  const random = randomNumbers(206);
  const layers: Record<"gzip" | "zstd", string[]> = { gzip: [], zstd: [] };
  const described: Record<"gzip" | "zstd", object[]> = { gzip: [], zstd: [] };
  const diffIds: string[] = [];
  for (const plan of plans) {
    tell(`making the layer ${plan.prefix}: ${plan.files} files, ${Math.round(plan.bytes / MB)} MB`);
    const tar = layerTar(random, plan);
    diffIds.push(`sha256:${sha256(tar)}`);
    for (const kind of ["gzip", "zstd"] as const) {
      const blob = kind === "gzip" ? gzipSync(tar) : zstdCompressSync(tar);
      const { digest, size } = writeBlob(unfinished, blob);
      layers[kind].push(join(layout, "blobs", digest.replace(":", "/")));
      described[kind].push({ mediaType: `application/vnd.oci.image.layer.v1.tar+${kind}`, digest, size });
    }
  }
  const config = writeBlob(unfinished, json({ ...CONFIG, rootfs: { type: "layers", diff_ids: diffIds } }));
  const manifests = (["gzip", "zstd"] as const).map((tag) => {
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const configType = "application/vnd.oci.image.config.v1+json";
    const manifest = {
      schemaVersion: 2,
      mediaType,
      config: { mediaType: configType, ...config },
      layers: described[tag],
    };
    const annotations = { "org.opencontainers.image.ref.name": tag };
    return { mediaType, ...writeBlob(unfinished, json(manifest)), annotations };
  });
  writeFileSync(join(unfinished, "index.json"), json({ schemaVersion: 2, manifests }));
  writeFileSync(join(unfinished, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  const total = (key: "files" | "bytes") => plans.reduce((sum, plan) => sum + plan[key], 0);
  rmSync(layout, { recursive: true, force: true });
  writeFileSync(join(unfinished, "bench.json"), json({ layout, layers, files: total("files"), size: total("bytes") }));
  renameSync(unfinished, layout);
}

const CONFIG = {
  created: "2024-01-01T00:00:00Z",
  architecture: process.arch === "x64" ? "amd64" : process.arch,
  os: "linux",
  config: { Cmd: ["/bin/true"] },
};

function layerTar(random: Random, plan: LayerPlan): Buffer {
  const parts: Buffer[] = [];
  const add = (member: Member) => void parts.push(memberBytes({ mtime: 1_700_000_000, ...member }));
  const weights = Array.from({ length: plan.files }, () => (0.02 + random()) ** 4 / Math.sqrt(0.001 + random()));
  const unit = plan.bytes / weights.reduce((sum, weight) => sum + weight, 0);
  const content = contentSource(random);
  const components = plan.prefix.split("/");
  components.forEach((_, depth) => {
    add({ name: `${components.slice(0, depth + 1).join("/")}/`, mode: 0o755 });
  });
  weights.forEach((weight, index) => {
    const directory = `${plan.prefix}/part-${Math.floor(index / 24)}`;
    if (index % 24 === 0) add({ name: `${directory}/`, mode: 0o755 });
    const mode = index % 7 === 0 ? 0o755 : 0o644;
    add({ name: `${directory}/file-${index}`, mode, data: content(Math.round(weight * unit)) });
    if (index % 20 === 0) add({ name: `${directory}/link-${index}`, type: "2", mode: 0o777, link: `file-${index}` });
  });
  return Buffer.concat([...parts, END]);
}

/** Bytes that compress to about two fifths, as programs, libraries and texts do together: noise, words and repetitions of what came shortly before. */
function contentSource(random: Random): (length: number) => Buffer {
  const pool = Buffer.alloc(32 * 1024 * 1024);
  const words = Array.from({ length: 3000 }, () => {
    const letters = Array.from({ length: 2 + below(random, 9) }, () => String.fromCharCode(97 + below(random, 26)));
    return `${letters.join("")} `;
  });
  for (let at = 0; at < pool.length; ) {
    const kind = random();
    if (kind < 0.35 && at > 40_000) {
      const from = at - 40_000 + below(random, 30_000);
      at += pool.copy(pool, at, from, from + 8 + below(random, 120));
    } else if (kind < 0.85) {
      for (let count = 0; count < 12; count += 1)
        at += pool.write(words[below(random, words.length)] ?? "", at, "latin1");
    } else {
      for (const end = Math.min(pool.length, at + 24); at < end; at += 1) pool[at] = below(random, 256);
    }
  }
  // Files begin anywhere in the pool, so that few of them share more than a window of the compressor.
  return (length) => {
    const parts: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const start = below(random, pool.length - 1);
      const part = pool.subarray(start, start + Math.min(left, 16_384, pool.length - start));
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  };
}

function writeBlob(layout: string, content: Uint8Array): { digest: string; size: number } {
  const hex = sha256(content);
  writeFileSync(join(layout, "blobs/sha256", hex), content);
  return { digest: `sha256:${hex}`, size: content.length };
}

function sha256(content: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(content).digest("hex");
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
