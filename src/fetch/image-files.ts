/**
 * Files of an image on disk, in a directory or inside a tar archive, by name. An archive is read in place: nothing of it is unpacked, and its names are keys
 * of a map, never paths.
 */

import { closeSync, fstatSync, readSync, unlinkSync } from "node:fs";
import { posix } from "node:path";
import { detectCompression, MAGIC_LENGTH } from "../core/compression.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { isErrno, linux, O, RESOLVE } from "../host/mod.ts";
import { newPart, readPieces, writePart } from "./cas.ts";
import { decompressor } from "./decompress.ts";
import type { Job } from "./job.ts";
import { padded, TAR_BLOCK, type TarEntry, tarHeaders } from "./tar-headers.ts";

export interface ImageFiles {
  /** Size of a file, or undefined when there is none. */
  size(name: string): number | undefined;
  /** The whole content. Throws NOT_FOUND; INVALID_INPUT above `limit` bytes. */
  read(name: string, limit: number): Buffer;
  /** The content from `offset` on, in pieces; each is valid until the next but one is asked for. Throws NOT_FOUND. */
  content(name: string, offset: number): Iterable<Uint8Array>;
  close(): void;
}

interface Extent {
  readonly fd: number;
  readonly start: number;
  readonly size: number;
}

/** The directory open as `directory`. Symbolic links count as long as they stay inside. */
export function directoryFiles(directory: number): ImageFiles {
  const open = (name: string): Extent | undefined => {
    let fd: number;
    try {
      // BENEATH: an image directory from elsewhere must not lead us to other files of this host. NONBLOCK: a FIFO must not hold us up.
      fd = linux.openat2(
        directory,
        name,
        O.RDONLY | O.CLOEXEC | O.NONBLOCK | O.NOCTTY,
        0,
        RESOLVE.BENEATH | RESOLVE.NO_MAGICLINKS,
      );
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      if (isErrno(error, "EACCES")) throw unreadable(name, error);
      if (isErrno(error, "EXDEV", "ELOOP")) throw leadsOut(name, error);
      throw error;
    }
    const status = fstatSync(fd);
    if (status.isFile()) return { fd, start: 0, size: status.size };
    closeSync(fd);
    throw new RktError("INVALID_INPUT", `Cannot read ${quoted(name)} of the image: it is not a regular file`);
  };
  return filesOver(
    (name, use) => {
      const extent = open(name);
      if (extent === undefined) return use(undefined);
      try {
        return use(extent);
      } finally {
        closeSync(extent.fd);
      }
    },
    function* (name, offset) {
      const extent = open(name);
      if (extent === undefined) throw missing(name);
      try {
        yield* piecesOf(extent, offset);
      } finally {
        closeSync(extent.fd);
      }
    },
    () => {},
  );
}

/** The tar archive open as `archive`. A compressed one is first decompressed into a file without a name. Throws INVALID_INPUT. */
export async function archiveFiles(job: Job, archive: number): Promise<ImageFiles> {
  if (!fstatSync(archive).isFile())
    throw new RktError("INVALID_INPUT", "Cannot read the image: it is not a regular file");
  const plain = await decompressedArchive(job, archive);
  const entries = readEntries(plain);
  const find = (name: string): Extent | undefined => {
    const entry = followLinks(entries, name);
    return entry === undefined ? undefined : { fd: plain, start: entry.start, size: entry.size };
  };
  return filesOver(
    (name, use) => use(find(name)),
    function* (name, offset) {
      const extent = find(name);
      if (extent === undefined) throw missing(name);
      yield* piecesOf(extent, offset);
    },
    () => {
      if (plain !== archive) closeSync(plain);
    },
  );
}

function filesOver(
  withExtent: <T>(name: string, use: (extent: Extent | undefined) => T) => T,
  content: (name: string, offset: number) => Generator<Uint8Array>,
  close: () => void,
): ImageFiles {
  return {
    size: (name) => withExtent(name, (extent) => extent?.size),
    read: (name, limit) =>
      withExtent(name, (extent) => {
        if (extent === undefined) throw missing(name);
        if (extent.size > limit) {
          throw new RktError(
            "INVALID_INPUT",
            `Cannot read ${quoted(name)} of the image: it has ${extent.size} bytes, expected at most ${limit}`,
          );
        }
        return Buffer.concat([...piecesOf(extent, 0)].map((piece) => Buffer.from(piece)));
      }),
    content,
    close,
  };
}

function* piecesOf(extent: Extent, offset: number): Generator<Uint8Array> {
  yield* readPieces(extent.fd, extent.start + offset, extent.size - offset);
}

async function decompressedArchive(job: Job, archive: number): Promise<number> {
  const start = Buffer.alloc(MAGIC_LENGTH);
  const length = readSync(archive, start, 0, MAGIC_LENGTH, 0);
  if (detectCompression(start.subarray(0, length)) === "none") return archive;
  const part = newPart(job.cas, "archive");
  // Nameless from the start: a crash leaves nothing behind.
  unlinkSync(part.path);
  let size = 0;
  let failure: unknown;
  const inner = decompressor((chunk) => {
    try {
      if (failure === undefined) writePart(part, chunk, size);
    } catch (error) {
      failure = error;
    }
    size += chunk.length;
  });
  try {
    for (const piece of readPieces(archive, 0)) {
      await inner.write(piece);
      if (failure !== undefined) throw failure;
    }
    await inner.end();
    if (failure !== undefined) throw failure;
    return part.fd;
  } catch (error) {
    inner.destroy();
    closeSync(part.fd);
    throw error;
  }
}

type Place = TarEntry & { readonly start: number };

/** An image archive has a few entries for each layer. */
const MOST_ENTRIES = 100_000;

function readEntries(fd: number): Map<string, Place> {
  const entries = new Map<string, Place>();
  const headers = tarHeaders();
  const end = fstatSync(fd).size;
  for (let at = 0; at < end; ) {
    const header = headers.header(readExactly(fd, at, TAR_BLOCK));
    at += TAR_BLOCK;
    if (header.type === "end") break;
    if (header.type === "extension") {
      headers.extension(readExactly(fd, at, header.size));
      at += padded(header.size);
      continue;
    }
    const { entry } = header;
    if (at + entry.size > end) throw new RktError("INVALID_INPUT", "Cannot read the image: the archive is cut off");
    if (entries.size >= MOST_ENTRIES) {
      throw new RktError("INVALID_INPUT", `Cannot read the image: the archive has more than ${MOST_ENTRIES} entries`);
    }
    entries.set(entry.name, { ...entry, start: at });
    at += padded(entry.size);
  }
  return entries;
}

/** `docker save` writes equal layers once, and symbolic links for the others. */
function followLinks(entries: ReadonlyMap<string, Place>, name: string): Place | undefined {
  let current = name;
  for (let hops = 0; hops < 8; hops += 1) {
    const entry = entries.get(current);
    if (entry?.kind === "file") return entry;
    if (entry?.kind !== "link") return undefined;
    const beside = posix.normalize(posix.join(posix.dirname(current), entry.link));
    // A symbolic link is relative to its place, a hard link to the archive.
    current = entries.has(beside) ? beside : posix.normalize(entry.link);
  }
  return undefined;
}

function readExactly(fd: number, at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const size = readSync(fd, bytes, done, length - done, at + done);
    if (size === 0) throw new RktError("INVALID_INPUT", "Cannot read the image: the archive is cut off");
    done += size;
  }
  return bytes;
}

function missing(name: string): RktError {
  return new RktError("NOT_FOUND", `Cannot read the image: it holds no file ${quoted(name)}`);
}

function unreadable(name: string, cause: unknown): RktError {
  return new RktError("PERMISSION", `Cannot read ${quoted(name)} of the image: the user that fetches images may not`, {
    hint: "make it readable for others (chmod -R a+rX), or use an archive (oci-archive:), which rkt opens itself",
    cause,
  });
}

function leadsOut(name: string, cause: unknown): RktError {
  const message = `Cannot read ${quoted(name)} of the image: a symbolic link leads out of the image's directory`;
  return new RktError("MALICIOUS", message, { cause, hint: "copy the image with its links followed (cp -rL)" });
}
