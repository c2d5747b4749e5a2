/** Images for tests, made on the spot from Debian's static busybox: OCI layouts, `docker save` archives, ACIs and their signatures. */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { atEnd, runProgram, temporaryDirectory } from "./temporary.ts";

/** Content of files by path ("etc/motd"). A Buffer or text is a file, `null` an empty directory, `{ link }` a symbolic link. */
export type Files = Readonly<Record<string, string | Uint8Array | null | { readonly link: string }>>;

export type LayerCompression = "gzip" | "zstd" | "none";

export interface OciOptions {
  /** Default: ["/bin/sh"]. */
  readonly cmd?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workingDir?: string;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** Layers on top of busybox's. Paths as OCI has them: ".wh.NAME" removes. */
  readonly layers?: readonly Files[];
  /** Default: gzip. */
  readonly compression?: LayerCompression;
  /** Name in the layout. Default: "latest". */
  readonly tag?: string;
  /** Go's name. Default: this machine's. */
  readonly architecture?: string;
  /** False: no busybox layer. Default: true. */
  readonly busybox?: boolean;
}

export interface BuiltOci {
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly layers: readonly { readonly digest: string; readonly size: number; readonly diffId: string }[];
}

interface Described {
  mediaType: string;
  digest: string;
  size: number;
}

/** Writes (or adds to) the OCI image layout `dir` an image of busybox. */
export function buildBusyboxOci(dir: string, options: OciOptions = {}): BuiltOci {
  const compression = options.compression ?? "gzip";
  const contents = [...(options.busybox === false ? [] : [busyboxFiles()]), ...(options.layers ?? [])];
  const layers = contents.map((files) => {
    const tar = tarOf(files);
    const blob = writeBlob(dir, compress(tar, compression));
    const suffix = compression === "none" ? "" : `+${compression}`;
    return { mediaType: `application/vnd.oci.image.layer.v1.tar${suffix}`, ...blob, diffId: sha256(tar) };
  });
  const config = writeBlob(
    dir,
    Buffer.from(
      JSON.stringify(
        configOf(
          options,
          layers.map((layer) => layer.diffId),
        ),
      ),
    ),
  );
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  };
  const blob = writeBlob(dir, Buffer.from(JSON.stringify(manifest)));
  addToIndex(dir, { mediaType: manifest.mediaType, ...blob }, options.tag ?? "latest");
  return { manifestDigest: blob.digest, configDigest: config.digest, layers };
}

/** Adds to the layout an index `tag` over images built by {@link buildBusyboxOci}, one for each platform ("linux/arm64"). Returns its digest. */
export function addOciIndex(dir: string, tag: string, images: Readonly<Record<string, BuiltOci>>): string {
  const manifests = Object.entries(images).map(([platform, image]) => {
    const [os, architecture, variant] = platform.split("/");
    const size = statSync(blobPath(dir, image.manifestDigest)).size;
    return {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest: image.manifestDigest,
      size,
      platform: { os, architecture, variant },
    };
  });
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const blob = writeBlob(dir, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests })));
  addToIndex(dir, { mediaType, ...blob }, tag);
  return blob.digest;
}

/** Packs a layout into a tar file, for oci-archive:. */
export function packOciArchive(layout: string, archive: string): void {
  runProgram(["tar", "--create", "--file", archive, "--directory", layout, "."]);
}

/** Turns the image `tag` of a layout into a `docker save` archive, with skopeo. */
export function packDockerArchive(layout: string, tag: string, archive: string, name = "busybox:latest"): void {
  runProgram([
    "skopeo",
    "--insecure-policy",
    "copy",
    "--quiet",
    `oci:${layout}:${tag}`,
    `docker-archive:${archive}:${name}`,
  ]);
}

export interface AciManifest {
  readonly name?: string;
  readonly labels?: readonly { name: string; value: string }[];
  readonly app?: object | null;
  readonly annotations?: readonly { name: string; value: string }[];
  readonly dependencies?: readonly object[];
  readonly pathWhitelist?: readonly string[];
}

/**
 * Writes an ACI: busybox with `files` added below rootfs (paths relative to it). `manifest` replaces fields of a manifest that runs `/bin/sh` as root.
 * The compression follows from the name of the option; the file is always called as given. Returns the SHA-512 of the uncompressed archive.
 */
export function buildAci(
  path: string,
  manifest: AciManifest = {},
  files: Files = {},
  options: { compression?: "gzip" | "bzip2" | "xz" | "none"; busybox?: boolean } = {},
): string {
  const complete = {
    acKind: "ImageManifest",
    acVersion: "0.8.11",
    name: "example.com/busybox",
    labels: [
      { name: "version", value: "1.0.0" },
      { name: "os", value: "linux" },
      { name: "arch", value: process.arch === "arm64" ? "aarch64" : "amd64" },
    ],
    app: { exec: ["/bin/sh"], user: "0", group: "0" },
    ...manifest,
  };
  const content: Record<string, Files[string]> = { manifest: JSON.stringify(complete), rootfs: null };
  for (const [name, value] of Object.entries({ ...(options.busybox === false ? {} : busyboxFiles()), ...files })) {
    content[`rootfs/${name}`] = value;
  }
  const tar = tarOf(content);
  const compression = options.compression ?? "gzip";
  const packed =
    compression === "none" ? tar : compression === "gzip" ? gzipSync(tar) : filter([compression, "--stdout"], tar);
  writeFileSync(path, packed);
  return createHash("sha512").update(tar).digest("hex");
}

export interface Signer {
  readonly fingerprint: string;
  /** gpg's home directory, for what this interface has no word for. */
  readonly home: string;
  /** Armored, for `rkt trust`. */
  readonly publicKey: string;
  /** Signs FILE as FILE.asc (or `output`), armored unless told otherwise; returns the signature's path. */
  sign(file: string, output?: string, armor?: boolean): string;
  [Symbol.dispose](): void;
}

/** A throw-away OpenPGP key. `using signer = makeSigner()`. */
export function makeSigner(name = "Test <test@example.com>", algorithm = "rsa2048"): Signer {
  const home = temporaryDirectory("gpg");
  const gpg = (...args: string[]) =>
    runProgram([
      "gpg",
      "--homedir",
      home.path,
      "--batch",
      "--quiet",
      "--no-tty",
      "--pinentry-mode=loopback",
      "--passphrase",
      "",
      ...args,
    ]);
  const dispose = atEnd(() => {
    // gpg starts an agent for its home; nobody else uses this one.
    runProgram(["gpgconf", "--homedir", home.path, "--kill", "all"]);
    home[Symbol.dispose]();
  });
  gpg("--quick-generate-key", name, algorithm, "sign", "never");
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(gpg("--with-colons", "--fingerprint"))?.[1] ?? "";
  return {
    fingerprint,
    home: home.path,
    publicKey: gpg("--armor", "--export"),
    sign(file, output = `${file}.asc`, armor = true) {
      gpg("--yes", ...(armor ? ["--armor"] : []), "--output", output, "--detach-sign", file);
      return output;
    },
    [Symbol.dispose]: dispose,
  };
}

/** Signs an ACI where rkt looks for it: X.aci as X.aci.asc. */
export function signAci(signer: Signer, aci: string): string {
  return signer.sign(aci, `${aci}.asc`);
}

/** busybox with its applets as links, and the files that programs expect. */
export function busyboxFiles(): Files {
  const files: Record<string, Files[string]> = {
    bin: null,
    "bin/busybox": readFileSync("/bin/busybox"),
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    root: null,
    tmp: null,
    var: null,
  };
  for (const applet of applets()) if (applet !== "busybox") files[`bin/${applet}`] = { link: "busybox" };
  return files;
}

let knownApplets: readonly string[] | undefined;

function applets(): readonly string[] {
  knownApplets ??= runProgram(["/bin/busybox", "--list"]).trim().split("\n");
  return knownApplets;
}

/** A tar file of `files`, the same for the same input: owner root, time 0, in the order given with parents first. */
export function tarOf(files: Files): Buffer {
  using dir = temporaryDirectory("tar");
  const names: string[] = [];
  const directories = new Set<string>();
  for (const [name, content] of Object.entries(files)) {
    for (let parent = dirname(name); parent !== "."; parent = dirname(parent)) {
      if (!directories.has(parent)) mkdirSync(join(dir.path, parent), { recursive: true });
      directories.add(parent);
    }
    const path = join(dir.path, name);
    if (content === null) {
      mkdirSync(path, { recursive: true });
    } else if (typeof content === "object" && "link" in content) {
      symlinkSync(content.link, path);
    } else {
      writeFileSync(path, content, { mode: name.includes("bin/") ? 0o755 : 0o644 });
    }
    names.push(name);
  }
  const list = join(dir.path, ".list");
  writeFileSync(list, [...directories, ...names.filter((name) => !directories.has(name))].sort().join("\n"));
  const flags = [
    "--format=gnu",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--mtime=@0",
    "--no-recursion",
    "--mode=u+rwX,go+rX",
  ];
  const archive = join(dir.path, ".tar");
  runProgram(["tar", "--create", "--file", archive, ...flags, "--directory", dir.path, "--files-from", list]);
  return readFileSync(archive);
}

function configOf(options: OciOptions, diffIds: readonly string[]): object {
  const asSet = (names: readonly string[] | undefined) => names && Object.fromEntries(names.map((name) => [name, {}]));
  return {
    created: "2024-01-01T00:00:00Z",
    architecture: options.architecture ?? (process.arch === "x64" ? "amd64" : process.arch),
    os: "linux",
    config: {
      User: options.user,
      ExposedPorts: asSet(options.ports),
      Env: options.env ?? ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
      Entrypoint: options.entrypoint,
      Cmd: options.cmd ?? ["/bin/sh"],
      Volumes: asSet(options.volumes),
      WorkingDir: options.workingDir,
      Labels: options.labels,
    },
    rootfs: { type: "layers", diff_ids: diffIds },
  };
}

function addToIndex(dir: string, descriptor: Described, tag: string): void {
  const path = join(dir, "index.json");
  const index: { manifests: (Described & { annotations: Record<string, string> })[] } = existsSync(path)
    ? JSON.parse(readFileSync(path, "utf8"))
    : { manifests: [] };
  const key = "org.opencontainers.image.ref.name";
  const others = index.manifests.filter((one) => one.annotations[key] !== tag);
  const manifests = [...others, { ...descriptor, annotations: { [key]: tag } }];
  writeFileSync(path, JSON.stringify({ schemaVersion: 2, manifests }));
  writeFileSync(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

function writeBlob(dir: string, content: Uint8Array): { digest: string; size: number } {
  const digest = sha256(content);
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
  writeFileSync(blobPath(dir, digest), content);
  return { digest, size: content.length };
}

/** Path of a blob in a layout. */
export function blobPath(dir: string, digest: string): string {
  return join(dir, "blobs", digest.replace(":", "/"));
}

function sha256(content: Uint8Array): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}

function compress(tar: Buffer, compression: LayerCompression): Uint8Array {
  if (compression === "none") return tar;
  return compression === "gzip" ? gzipSync(tar) : zstdCompressSync(tar);
}

function filter(command: readonly string[], input: Buffer): Buffer {
  using dir = temporaryDirectory("filter");
  const file = join(dir.path, "content");
  writeFileSync(file, input);
  runProgram(["sh", "-c", `${command.join(" ")} < "$1" > "$1.out"`, "sh", file]);
  return readFileSync(`${file}.out`);
}
