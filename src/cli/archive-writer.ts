/** Tar archives of what rkt exports: plain files of root, mode 0644, time 0, so that the same content gives the same bytes. */

import { fstatSync, readSync, writeSync } from "node:fs";
import { internalError } from "../core/errors.ts";
import { linux, SEEK } from "../host/mod.ts";

export interface ArchiveWriter {
  directory(name: string): void;
  file(name: string, content: Uint8Array | string): void;
  /** A file whose content `write` puts at the descriptor's position; its size is what was written. */
  filled(name: string, fill: (fd: number) => Promise<void>): Promise<{ start: number; size: number }>;
  /** Gives the file that was filled last another name. */
  rename(name: string): void;
  /** The content of an open file, from its start. */
  copy(name: string, fd: number): void;
  end(): void;
}

const BLOCK = 512;

/** Writes at the end of the empty file `fd`. Throws SystemCallError (a full disk, for one). */
export function archiveWriter(fd: number): ArchiveWriter {
  let position = 0;
  let filled = { at: 0, size: 0 };

  function write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
    position += bytes.length;
  }

  function padding(size: number): void {
    const rest = size % BLOCK;
    if (rest > 0) write(Buffer.alloc(BLOCK - rest));
  }

  return {
    directory: (name) => write(header(`${name}/`, "5", 0o755, 0)),
    file(name, content) {
      const bytes = Buffer.from(content);
      write(header(name, "0", 0o644, bytes.length));
      write(bytes);
      padding(bytes.length);
    },
    copy(name, source) {
      const { size } = fstatSync(source);
      write(header(name, "0", 0o644, size));
      const piece = Buffer.allocUnsafe(1024 * 1024);
      for (let at = 0; at < size; ) {
        const count = readSync(source, piece, 0, Math.min(piece.length, size - at), at);
        // It became shorter: the header has promised more.
        if (count === 0) throw internalError(`${name} ended early`);
        write(piece.subarray(0, count));
        at += count;
      }
      padding(size);
    },
    async filled(name, fill) {
      const at = position;
      // Known only afterwards.
      write(header(name, "0", 0o644, 0));
      const start = position;
      // Programs write at the descriptor's own position, which the writes above do not move.
      linux.seek(fd, start, SEEK.SET);
      await fill(fd);
      const size = fstatSync(fd).size - start;
      position = start + size;
      padding(size);
      filled = { at, size };
      writeSync(fd, header(name, "0", 0o644, size), 0, BLOCK, at);
      return { start, size };
    },
    rename: (name) => void writeSync(fd, header(name, "0", 0o644, filled.size), 0, BLOCK, filled.at),
    end: () => write(Buffer.alloc(2 * BLOCK)),
  };
}

/** ustar(5). All names here are short and ASCII. */
function header(name: string, type: string, mode: number, size: number): Buffer {
  if (name.length > 100) throw internalError("a name in an exported archive is too long");
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, "latin1");
  octal(block, 100, 8, mode);
  octal(block, 108, 8, 0);
  octal(block, 116, 8, 0);
  if (size < 8 ** 11) octal(block, 124, 12, size);
  else {
    // Base-256, as GNU tar writes what eleven octal digits cannot hold.
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  octal(block, 136, 12, 0);
  block.write(type, 156, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  block.fill(0x20, 148, 156);
  octal(
    block,
    148,
    7,
    block.reduce((sum, byte) => sum + byte, 0),
  );
  return block;
}

function octal(block: Buffer, offset: number, length: number, value: number): void {
  block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "latin1");
}
