/** The data directory's file `format`: the version of its layout. rkt 1.x wrote none. */

import { DATA_DIR_FORMAT, type DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { quoted } from "../core/text.ts";
import { readFileBeneath, replaceFileBeneath } from "../host/beneath.ts";
import { AT, AT_FDCWD, type Host, isErrno, S } from "../host/mod.ts";

const FORMAT_LIMIT = 64;

/**
 * The number in `format`; undefined without one. Throws UNSUPPORTED when it is newer than ours, INVALID_INPUT when it
 * is no number.
 */
export function readFormat(dataDir: DataDir, host: Host): number | undefined {
  let text: string | undefined;
  try {
    text = readFileBeneath(host, dataDir.root, "format", FORMAT_LIMIT)?.toString("latin1").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return undefined;
    throw error;
  }
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,6}$/.test(text)) {
    throw new RktError("INVALID_INPUT", `Cannot read ${quoted(dataDir.format)}: ${quoted(text)}, expected a number`, {
      hint: "rkt fsck --repair writes it again",
    });
  }
  if (Number(text) > DATA_DIR_FORMAT) {
    throw new RktError(
      "UNSUPPORTED",
      `Cannot use data directory ${quoted(dataDir.root)}: its format is ${text}, expected ${DATA_DIR_FORMAT} or older`,
      { hint: "a newer rkt has written it: use that one, or another --dir" },
    );
  }
  return Number(text);
}

export function writeFormat(dataDir: DataDir, host: Host): void {
  replaceFileBeneath(host, dataDir.root, "format", `${DATA_DIR_FORMAT}\n`, 0o644);
}

/** rkt 1.x has written this directory, and nobody has taken it over yet. */
export function isUntaken(dataDir: DataDir, host: Host): boolean {
  return hasRkt1Store(dataDir, host) && readFormat(dataDir, host) === undefined;
}

function hasRkt1Store(dataDir: DataDir, host: Host): boolean {
  return [dataDir.rkt1Database, dataDir.rkt1Manifests].some((path) => {
    try {
      return (host.statat(AT_FDCWD, path, AT.SYMLINK_NOFOLLOW).mode & S.IFMT) === S.IFDIR;
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return false;
      throw error;
    }
  });
}
