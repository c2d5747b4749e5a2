/** A tree in memory, and the deterministic ACI made of it: sorted, owned by root, without times, so that equal content has an equal image id. */

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

export type TreeEntry =
  | { kind: "directory"; mode: number }
  | { kind: "file"; mode: number; content: Uint8Array }
  | { kind: "link"; target: string };

/** By path without a leading slash ("usr/bin/sh"). */
export type Tree = Map<string, TreeEntry>;

/** Adds `entry` and whatever directories (0755) lead to it. */
export function put(tree: Tree, path: string, entry: TreeEntry): void {
  const parts = path.split("/");
  for (let depth = 1; depth < parts.length; depth += 1) {
    const parent = parts.slice(0, depth).join("/");
    if (!tree.has(parent)) tree.set(parent, { kind: "directory", mode: 0o755 });
  }
  tree.set(path, entry);
}

export function putText(tree: Tree, path: string, text: string, mode = 0o644): void {
  put(tree, path, { kind: "file", mode, content: Buffer.from(text) });
}

/** The compressed image, and its id as rkt has it: half of the SHA-512 of the uncompressed archive. */
export function aci(manifest: unknown, rootfs: Tree): { bytes: Uint8Array; id: string; uncompressedSize: number } {
  const archive = Buffer.concat([
    ...member("manifest", {
      kind: "file",
      mode: 0o644,
      content: Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`),
    }),
    ...member("rootfs", { kind: "directory", mode: 0o755 }),
    ...[...rootfs].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([path, entry]) => member(`rootfs/${path}`, entry)),
    Buffer.alloc(1024),
  ]);
  const id = `sha512-${createHash("sha512").update(archive).digest("hex").slice(0, 64)}`;
  return { bytes: gzipSync(archive, { level: 9 }), id, uncompressedSize: archive.length };
}

/** One ustar member (POSIX.1-2001 pax, "ustar Interchange Format"). */
function member(path: string, entry: TreeEntry): Buffer[] {
  const header = Buffer.alloc(512);
  const [prefix, name] = splitName(entry.kind === "directory" ? `${path}/` : path);
  const content = entry.kind === "file" ? entry.content : new Uint8Array();
  const octal = (value: number, offset: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "latin1");
  header.write(name, 0, "utf8");
  octal(entry.kind === "link" ? 0o777 : entry.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(content.length, 124, 12);
  octal(0, 136, 12);
  header.write("        ", 148, "latin1");
  header.write({ file: "0", link: "2", directory: "5" }[entry.kind], 156, "latin1");
  if (entry.kind === "link") header.write(entry.target, 157, "utf8");
  header.write("ustar\u000000root", 257, "latin1");
  header.write("root", 297, "latin1");
  header.write(prefix, 345, "utf8");
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return [header, Buffer.from(content.buffer, content.byteOffset, content.byteLength), padding];
}

function splitName(path: string): [string, string] {
  if (Buffer.byteLength(path) <= 100) return ["", path];
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
    const prefix = path.slice(0, slash);
    const name = path.slice(slash + 1);
    if (name !== "" && Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155) return [prefix, name];
  }
  throw new Error(`path too long for ustar: ${path}`);
}
