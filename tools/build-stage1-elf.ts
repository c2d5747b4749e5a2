/** Which libraries a program needs: the DT_NEEDED and DT_RUNPATH entries of a 64-bit little-endian ELF file (elf(5)). */

export interface ElfNeeds {
  /** File names of shared libraries. */
  needed: string[];
  /** Directories to search besides the defaults. */
  runPath: string[];
  /** The loader ("/lib64/ld-linux-x86-64.so.2"); undefined for libraries and static programs. */
  interpreter: string | undefined;
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT = { NEEDED: 1, STRTAB: 5, RPATH: 15, RUNPATH: 29 };

interface Segment {
  type: number;
  offset: number;
  address: number;
  size: number;
}

/** Undefined when `file` is no such ELF file. */
export function elfNeeds(file: Buffer): ElfNeeds | undefined {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) return undefined;
  const segments = programHeaders(file);
  const interp = segments.find((segment) => segment.type === PT_INTERP);
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
  const interpreter = interp === undefined ? undefined : cString(file, interp.offset);
  if (dynamic === undefined) return { needed: [], runPath: [], interpreter };
  const entries = dynamicEntries(file, dynamic);
  const table = entries.find(([tag]) => tag === DT.STRTAB)?.[1];
  if (table === undefined) return { needed: [], runPath: [], interpreter };
  const strings = fileOffset(segments, table);
  const named = (...tags: number[]) =>
    entries.filter(([tag]) => tags.includes(tag)).map(([, value]) => cString(file, strings + value));
  return {
    needed: named(DT.NEEDED),
    runPath: named(DT.RPATH, DT.RUNPATH).flatMap((path) => path.split(":")),
    interpreter,
  };
}

function programHeaders(file: Buffer): Segment[] {
  const start = Number(file.readBigUInt64LE(32));
  const entrySize = file.readUInt16LE(54);
  return Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = start + index * entrySize;
    return {
      type: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: Number(file.readBigUInt64LE(at + 16)),
      size: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

function dynamicEntries(file: Buffer, segment: Segment): [number, number][] {
  const entries: [number, number][] = [];
  for (let at = segment.offset; at + 16 <= segment.offset + segment.size; at += 16) {
    const tag = Number(file.readBigInt64LE(at));
    if (tag === 0) break;
    entries.push([tag, Number(file.readBigUInt64LE(at + 8))]);
  }
  return entries;
}

function fileOffset(segments: Segment[], address: number): number {
  const segment = segments.find(
    (one) => one.type === PT_LOAD && address >= one.address && address < one.address + one.size,
  );
  if (segment === undefined) throw new Error(`no segment holds address ${address}`);
  return address - segment.address + segment.offset;
}

function cString(file: Buffer, start: number): string {
  return file.toString("latin1", start, file.indexOf(0, start));
}
