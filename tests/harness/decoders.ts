/** Everything of rkt that reads what strangers wrote, as a list for the fuzzer: valid examples, and what is promised of the result. */

import { readConfigFile } from "../../src/config/read-file.ts";
import { DataDir } from "../../src/core/data-dir.ts";
import { parseDigest, parseImageId } from "../../src/core/digest.ts";
import { RktError } from "../../src/core/errors.ts";
import { followZstdFrames } from "../../src/core/zstd-frames.ts";
import type { ImageFiles } from "../../src/fetch/image-files.ts";
import { formatImageReference, parseImageReference } from "../../src/fetch/image-reference.ts";
import { layoutSource } from "../../src/fetch/layout-source.ts";
import { scanForManifest } from "../../src/fetch/manifest-scan.ts";
import { decodeAnswer as decodeFetchAnswer } from "../../src/fetch/messages.ts";
import { parseNetworkConf } from "../../src/network/conf.ts";
import { parseResult } from "../../src/network/result.ts";
import { toBytes } from "../../src/render/tar/bytes.ts";
import { tarReader } from "../../src/render/tar/reader.ts";
import { decodeAnswer as decodeUnpackAnswer } from "../../src/render/unpack-protocol.ts";
import {
  formatAppString,
  formatImageManifest,
  formatPodManifest,
  parseAppString,
  parseImageManifest,
  parseMount,
  parseMountVolume,
  parsePodManifest,
  parsePort,
  parseVolume,
} from "../../src/spec/appc/mod.ts";
import { documentKind, hostPlatform, parseConfig, parseIndex, parseManifest } from "../../src/spec/oci/mod.ts";
import { decodeRecord, decodeRef } from "../../src/store/record.ts";
import { readGpgvStatus } from "../../src/trust/gpgv-status.ts";
import { areSignatures, dearmor, keyFingerprint, packetsOf } from "../../src/trust/packets.ts";
import * as examples from "./decoder-examples.ts";
import { BrokenPromise, type Decoder } from "./fuzz.ts";
import { mutateBytes, mutateJson, mutateText } from "./mutate.ts";
import { below, type Random } from "./random.ts";
import { registryDecoder } from "./registry-decoder.ts";
import { signatureDecoders } from "./signature-decoders.ts";
import { tpmDecoders } from "./tpm-decoders.ts";

export function decoders(): Decoder[] {
  return [
    ...archiveDecoders(),
    ...documentDecoders(),
    ...textDecoders(),
    ...trustDecoders(),
    ...signatureDecoders(),
    ...tpmDecoders(),
    registryDecoder(),
  ];
}

function archiveDecoders(): Decoder[] {
  const archives = examples.archives();
  const make = (random: Random) => withChecksums(random, mutateBytes(random, archives));
  return [
    { name: "tar reader (unpack)", make, decode: (input, random) => void readTar(input, random) },
    { name: "tar scan for the manifest (fetch)", make, decode: (input, random) => void scanTar(input, random) },
    { name: "both tar readers see the same manifest", make, decode: sameManifest },
    {
      name: "zstd frames",
      make: (random) => mutateBytes(random, examples.zstdStreams()),
      decode: (input, random) => {
        const follower = followZstdFrames();
        for (const chunk of chunks(input, random)) follower.feed(chunk);
        follower.finish();
      },
    },
  ];
}

interface SeenFile {
  readonly name: string;
  readonly content: Buffer;
}

/** All regular files. Promises: no entry is nameless, data comes in order and no more of it than was fed. */
function readTar(input: Buffer, random: Random): SeenFile[] {
  const files: SeenFile[] = [];
  let open: { name: string; size: number; parts: Buffer[]; end: number; sparse: boolean } | undefined;
  let total = 0;
  const reader = tarReader({
    entry(entry) {
      if (open !== undefined) throw new BrokenPromise("an entry began before the last one had ended");
      if (!Number.isSafeInteger(entry.size) || entry.size < 0) throw new BrokenPromise(`size ${entry.size}`);
      const { type, size, sparse } = entry;
      if (type !== "file" && size !== 0) throw new BrokenPromise(`a ${type} of ${size} bytes`);
      open = { name: type === "file" ? toBytes(entry.name).toString("utf8") : "", size, parts: [], end: 0, sparse };
    },
    data(bytes, offset) {
      if (open === undefined) throw new BrokenPromise("data outside of an entry");
      if (offset < open.end || offset + bytes.length > open.size)
        throw new BrokenPromise("data out of order or bounds");
      open.end = offset + bytes.length;
      open.parts.push(Buffer.from(bytes));
      total += bytes.length;
    },
    end() {
      if (open === undefined) throw new BrokenPromise("an end without an entry");
      const content = Buffer.concat(open.parts);
      if (!open.sparse && content.length !== open.size) throw new BrokenPromise("a file without holes is not whole");
      files.push({ name: open.name, content });
      open = undefined;
    },
  });
  for (const chunk of chunks(input, random)) reader.push(chunk);
  reader.finish();
  if (total > input.length) throw new BrokenPromise("more data than the archive has");
  return files;
}

function scanTar(input: Buffer, random: Random): Buffer {
  const scan = scanForManifest();
  for (const chunk of chunks(input, random)) scan.feed(chunk);
  return scan.finish();
}

/** What the fetch takes for the manifest must be what is unpacked: else an image could be checked under one manifest and run under another. */
function sameManifest(input: Buffer, random: Random): void {
  const files = readTar(input, random);
  const scanned = scanTar(input, random);
  const unpacked = files.find(({ name }) => name.replace(/^(?:\.?\/)+/, "") === "manifest");
  if (unpacked === undefined) throw new BrokenPromise("a manifest for the fetch, none for the unpacker");
  if (!unpacked.content.equals(scanned))
    throw new BrokenPromise("another manifest for the fetch than for the unpacker");
}

/** Most damage would end at a wrong checksum: it is put right in most inputs. */
function withChecksums(random: Random, bytes: Buffer): Buffer {
  if (random() < 0.15) return bytes;
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (block.toString("latin1", 257, 262) !== "ustar") continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  }
  return bytes;
}

/** The reader must not care how its input is cut. */
function* chunks(input: Buffer, random: Random): Generator<Buffer> {
  const longest = random() < 0.3 ? 7 : 1500;
  for (let at = 0; at < input.length; ) {
    const length = 1 + below(random, longest);
    yield input.subarray(at, at + length);
    at += length;
  }
}

function documentDecoders(): Decoder[] {
  const json = (name: string, seeds: Parameters<typeof mutateJson>[1], decode: (text: string) => unknown): Decoder => ({
    name,
    make: (random) => mutateJson(random, seeds),
    decode: (input) => decode(input.toString("utf8")),
  });
  const image = parseImageId(`sha512-${"a".repeat(64)}`);
  return [
    json("appc image manifest", examples.imageManifests, (text) =>
      stable(text, parseImageManifest, formatImageManifest),
    ),
    json("appc pod manifest", examples.podManifests, (text) => stable(text, parsePodManifest, formatPodManifest)),
    json("OCI index", examples.indexes, (text) => parseIndex(text)),
    json("OCI manifest", examples.manifests, (text) => parseManifest(text)),
    json("OCI configuration", examples.configurations, (text) => parseConfig(text)),
    json("index or manifest", [...examples.indexes, ...examples.manifests], (text) => documentKind(text)),
    json("index of a layout", examples.indexes, readLayout),
    json("configuration files", examples.configFiles, readConfiguration),
    json("CNI network configuration", examples.networks, (text) => parseNetworkConf("10-x.conflist", "/x", text)),
    json("CNI result", examples.networkResults, (text) => parseResult("net", "eth0", parsed(text))),
    json("record of an image", examples.records, (text) => decodeRecord(text, "the record", image)),
    json("record of a name", [{ id: image }], (text) => decodeRef(text, "the record")),
    json("answers of the fetch worker", examples.fetchAnswers, (text) => decodeFetchAnswer(parsed(text))),
    json("answers of the unpack worker", examples.unpackAnswers, (text) => decodeUnpackAnswer(parsed(text))),
  ];
}

/** What was read, written and read again is the same: nothing is lost between what was checked and what is stored. */
function stable<T>(text: string, parse: (text: string) => T, format: (value: T) => string): void {
  const written = format(parse(text));
  if (format(parse(written)) !== written) throw new BrokenPromise(`written differently the second time: ${written}`);
}

function readConfiguration(text: string): void {
  const kinds = ["auth", "dockerAuth", "paths", "stage1", "measurement"] as const;
  const { entry, problems } = readConfigFile("/etc/rkt/auth.d/x.json", text, kinds);
  if ((entry === undefined) === (problems.length === 0)) throw new BrokenPromise("an entry or a problem, not both");
  if (entry === undefined) throw new RktError("INVALID_CONFIG", problems.map((problem) => problem.text).join());
}

function readLayout(text: string): void {
  const reference = { kind: "oci-layout", path: "/images/app", name: "v1" } as const;
  const names: string[] = [];
  const source = layoutSource(reference, filesWith(text, names), hostPlatform());
  // Reads before it waits for anything.
  source.root(undefined as never).catch(() => {});
  const odd = names.find((name) => !/^(oci-layout|index\.json|blobs\/[a-z0-9]+\/[0-9a-f]+)$/.test(name));
  if (odd !== undefined) throw new BrokenPromise(`a name made of the document: ${odd}`);
}

function filesWith(index: string, names: string[]): ImageFiles {
  const files = new Map([
    ["oci-layout", '{"imageLayoutVersion":"1.0.0"}'],
    ["index.json", index],
  ]);
  return {
    size: (name) => files.get(name)?.length,
    read(name) {
      names.push(name);
      return Buffer.from(files.get(name) ?? "{}");
    },
    content: () => [],
    close: () => {},
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RktError("INVALID_INPUT", "no JSON", { cause });
  }
}

function textDecoders(): Decoder[] {
  const text = (name: string, seeds: readonly string[], decode: (text: string) => unknown): Decoder => ({
    name,
    make: (random) => mutateText(random, seeds),
    decode: (input) => decode(input.toString("utf8")),
  });
  return [
    text("image references", examples.references, (words) => {
      const reference = parseImageReference(words, "/nonexistent");
      const shown = formatImageReference(reference);
      if (reference.kind === "docker" && /[\x00-\x20\x7f]/.test(shown)) throw new BrokenPromise(JSON.stringify(shown));
    }),
    text("App Container names", examples.appStrings, (words) => {
      const image = parseAppString(words);
      const again = formatAppString(parseAppString(formatAppString(image)));
      if (again !== formatAppString(image)) throw new BrokenPromise(again);
    }),
    text("digests", examples.digests, (words) => {
      const digest = parseDigest(words);
      const path = new DataDir("/data").blob(digest);
      if (!/^\/data\/cas\/blob\/[a-z0-9]+\/[0-9a-f]{2}\/[a-z0-9]+-[0-9a-f]+$/.test(path)) throw new BrokenPromise(path);
    }),
    text("--volume", examples.volumes, parseVolume),
    text("--mount", examples.mounts, parseMount),
    text("--mnt-volume", examples.mountVolumes, parseMountVolume),
    text("--port", examples.ports, parsePort),
  ];
}

function trustDecoders(): Decoder[] {
  return [
    {
      name: "status of gpgv",
      make: (random) => mutateText(random, examples.gpgvStatus),
      decode: (input) => {
        const output = input.toString("utf8");
        const { good } = readGpgvStatus(output);
        const valid = output.split("\n").filter((line) => line.startsWith("[GNUPG:] VALIDSIG ")).length;
        if (good.length > valid) throw new BrokenPromise(`${good.length} good signatures, ${valid} valid`);
        for (const { fingerprint } of good)
          if (!/^[0-9a-f]{40}$/.test(fingerprint)) throw new BrokenPromise(fingerprint);
        if (good.length === 0) throw new RktError("NOT_TRUSTED", "no good signature");
      },
    },
    {
      name: "OpenPGP armor and packets",
      make: (random) => mutateBytes(random, examples.openPgp()),
      decode: (input) => {
        for (const kind of ["PUBLIC KEY BLOCK", "SIGNATURE"] as const) {
          const bytes = dearmor(input, kind) ?? input;
          const packets = packetsOf(bytes) ?? [];
          const length = packets.reduce((sum, { body }) => sum + body.length, 0);
          if (length > bytes.length) throw new BrokenPromise("packets longer than what holds them");
          if (keyFingerprint(bytes) !== undefined || areSignatures(bytes)) return;
        }
        throw new RktError("INVALID_INPUT", "neither a key nor signatures");
      },
    },
  ];
}
