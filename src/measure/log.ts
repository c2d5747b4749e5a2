/**
 * The log of one boot on disk: DATADIR/measured/BOOT-pcrN.cel, root's alone. A record is on the disk before the register is extended, so whatever happens in between, nothing
 * is in the register that is not in the log. The lock on the directory puts everybody who measures in one line.
 */

import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import type { Host } from "../host/host.ts";
import { lockWithBackoff } from "../host/lock.ts";
import { formatRecord, type LogRecord, parseRecord, RECORD_END, RECORD_START } from "./record.ts";

export interface LogPlace {
  readonly dataDir: DataDir;
  readonly pcr: number;
  readonly bootId: string;
}

/** A log that this process holds the lock of. */
export interface OpenLog {
  readonly place: LogPlace;
  /** The last whole record. Throws INVALID_INPUT when it cannot be read. */
  last(): LogRecord | undefined;
  /** Whole records, and whether a piece of one follows them. */
  read(): LogContent;
  /** On the disk when it returns; a piece of a record that somebody left before it is taken away. */
  append(record: LogRecord): void;
}

export interface LogContent {
  readonly records: readonly LogRecord[];
  /** The last record was cut off while it was written: nothing was extended for it. */
  readonly torn: boolean;
}

/** Logs of earlier boots that are kept: what ran then can no longer be proved, only read. */
const KEPT_LOGS = 20;

const LARGEST_LOG = 1024 * 1024 * 1024;

export function currentBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** Calls `act` with the log, alone. Throws CONFLICT when others hold it for longer than `seconds`, and the errors of the file system as WRONG_STATE. */
export async function withLog<T>(
  host: Host,
  place: LogPlace,
  seconds: number,
  act: (log: OpenLog) => Promise<T>,
): Promise<T> {
  const directory = place.dataDir.measured;
  const lock = aboutLog(directory, () => {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  });
  try {
    await lockWithBackoff(host, lock, "exclusive", { what: "the measurement log", timeout: seconds * 1000 });
    return await act(openLog(place, lock));
  } finally {
    closeSync(lock);
  }
}

function openLog(place: LogPlace, directory: number): OpenLog {
  const path = logPath(place);
  return {
    place,
    last: () => withFile(path, constants.O_RDONLY, (fd) => lastRecord(fd, path)?.record),
    read: () => readLog(path),
    append: (record) =>
      aboutLog(path, () => {
        const isNew = statSync(path, { throwIfNoEntry: false }) === undefined;
        const bytes = formatRecord(record);
        withFile(path, constants.O_RDWR | constants.O_CREAT, (fd) => {
          const end = lastRecord(fd, path)?.end ?? 0;
          if (fstatSync(fd).size > end) ftruncateSync(fd, end);
          for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, end + done);
          fdatasyncSync(fd);
        });
        if (!isNew) return;
        fsyncSync(directory);
        removeOldLogs(place.dataDir);
      }),
  };
}

export function logPath({ dataDir, pcr, bootId }: LogPlace): string {
  return join(dataDir.measured, `${bootId}-pcr${pcr}.cel`);
}

/** Without the lock: as somebody may be writing it. Empty when there is none. */
export function readLog(path: string): LogContent {
  const bytes = withFile(path, constants.O_RDONLY, (fd) => {
    if (fstatSync(fd).size > LARGEST_LOG)
      throw new RktError("INVALID_INPUT", `Cannot read ${quoted(path)}: larger than ${LARGEST_LOG} bytes`);
    return readFileSync(fd);
  });
  return bytes === undefined ? { records: [], torn: false } : parseLog(bytes);
}

/** Throws INVALID_INPUT for what is no record, save at the end. */
export function parseLog(bytes: Buffer): LogContent {
  const end = bytes.lastIndexOf(RECORD_END) + 1;
  const records: LogRecord[] = [];
  for (let at = 0; at < end; ) {
    const next = bytes.indexOf(RECORD_END, at);
    if (bytes[at] !== RECORD_START)
      throw new RktError("INVALID_INPUT", `Cannot read the measurement log: no record begins at byte ${at}`);
    records.push(parseRecord(bytes.toString("utf8", at + 1, next)));
    at = next + 1;
  }
  return { records, torn: end < bytes.length };
}

/** Reads from the end, so that the next start costs the same however many there were. `end`: the offset behind the record. */
function lastRecord(fd: number, path: string): { record: LogRecord; end: number } | undefined {
  const size = fstatSync(fd).size;
  for (let length = Math.min(size, 64 * 1024); ; length = Math.min(size, length * 4)) {
    const tail = Buffer.alloc(length);
    readSync(fd, tail, 0, length, size - length);
    const end = tail.lastIndexOf(RECORD_END);
    const start = end < 0 ? -1 : tail.lastIndexOf(RECORD_START, end);
    if (start >= 0) return { record: parseRecord(tail.toString("utf8", start + 1, end)), end: size - length + end + 1 };
    if (length < size) continue;
    if (end < 0) return undefined;
    throw new RktError("INVALID_INPUT", `Cannot read the measurement log ${quoted(path)}: no record begins in it`);
  }
}

function removeOldLogs(dataDir: DataDir): void {
  const logs = readdirSync(dataDir.measured)
    .filter((name) => name.endsWith(".cel"))
    .map((name) => ({ path: join(dataDir.measured, name), time: statSync(join(dataDir.measured, name)).mtimeMs }))
    .sort((a, b) => b.time - a.time);
  for (const { path } of logs.slice(KEPT_LOGS)) unlinkSync(path);
}

function withFile<T>(path: string, flags: number, act: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openSync(path, flags | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return act(fd);
  } finally {
    closeSync(fd);
  }
}

function aboutLog<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (cause instanceof RktError) throw cause;
    throw new RktError("SYSTEM_CALL", `Cannot write the measurement log ${quoted(path)}`, { cause });
  }
}
