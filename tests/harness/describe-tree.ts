/** A directory tree as text, for comparing one with another. */

import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { linux } from "../../src/host/mod.ts";

export interface DescribeOptions {
  /** Modification times of directories, to the nanosecond for everything. */
  times?: boolean;
  owners?: boolean;
  xattrs?: boolean;
  /** The root directory itself, as ".". */
  root?: boolean;
}

/** One line per path (as latin1, since names are bytes): type, mode, content, hard links by their first name; more as asked for. */
export function describeTree(root: string, options: DescribeOptions = {}): Map<string, string> {
  const out = new Map<string, string>();
  const firstName = new Map<bigint, string>();
  const visit = (directory: Buffer): void => {
    for (const name of readdirSync(under(root, directory), { encoding: "buffer" }).sort(Buffer.compare)) {
      const path = directory.length === 0 ? name : Buffer.concat([directory, Buffer.from("/"), name]);
      const full = under(root, path);
      const status = lstatSync(full, { bigint: true });
      const shown = path.toString("latin1");
      const words = [kindOf(status), (status.mode & 0o7777n).toString(8)];
      if (options.owners === true) words.push(`${status.uid}:${status.gid}`);
      if (options.times === true) words.push(String(status.mtimeNs));
      if (options.xattrs === true) words.push(...xattrsOf(full));
      if (!status.isDirectory()) {
        const first = firstName.get(status.ino) ?? shown;
        firstName.set(status.ino, first);
        words.push(contentOf(full, status), `=${first}`);
      }
      out.set(shown, words.join(" "));
      if (status.isDirectory()) visit(path);
    }
  };
  if (options.root === true) {
    const status = lstatSync(root, { bigint: true });
    const words = [kindOf(status), (status.mode & 0o7777n).toString(8)];
    if (options.owners === true) words.push(`${status.uid}:${status.gid}`);
    if (options.times === true) words.push(String(status.mtimeNs));
    if (options.xattrs === true) words.push(...xattrsOf(Buffer.from(root)));
    out.set(".", words.join(" "));
  }
  visit(Buffer.alloc(0));
  return out;
}

type Status = ReturnType<typeof lstatSync> & { mode: bigint; size: bigint; rdev: bigint; blocks: bigint };

function kindOf(status: {
  isDirectory(): boolean;
  isFile(): boolean;
  isSymbolicLink(): boolean;
  isFIFO(): boolean;
}): string {
  if (status.isDirectory()) return "directory";
  if (status.isFile()) return "file";
  if (status.isSymbolicLink()) return "symlink";
  return status.isFIFO() ? "fifo" : "node";
}

function contentOf(path: Buffer, status: unknown): string {
  const known = status as Status;
  if (known.isSymbolicLink()) return readlinkSync(path, { encoding: "buffer" }).toString("latin1");
  if (!known.isFile()) return known.isFIFO() ? "" : `device ${known.rdev}`;
  const bytes = readFileSync(path);
  const text = bytes.length < 64 ? bytes.toString("latin1") : createHash("sha256").update(bytes).digest("hex");
  return `${bytes.length} ${text}`;
}

function xattrsOf(path: Buffer): string[] {
  return linux
    .llistxattr(path)
    .map((name) => `${name.toString("latin1")}=${linux.lgetxattr(path, name).toString("hex")}`)
    .sort();
}

function under(root: string, path: Buffer): Buffer {
  return path.length === 0 ? Buffer.from(root) : Buffer.concat([Buffer.from(`${root}/`), path]);
}
