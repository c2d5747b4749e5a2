/**
 * Which users a pod with a user namespace gets: 65536 ids of the host that no other pod has, that the operator set aside for rkt where there is such a line, and
 * that mean nobody else's. The choice is part of the pod's directory (`private-users-prepared`), so that it holds for as long as any of the pod's files do.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DataDir, POD_STATE_DIRS, PodFiles } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import { formatIdRange, IDS_PER_POD, type IdRange, parseIdRange, rangesOverlap } from "../core/id-range.ts";
import { randomBelow } from "../core/random-below.ts";
import { quoted } from "../core/text.ts";
import { databaseLines } from "../host/accounts.ts";
import { AT_FDCWD, O } from "../host/constants.ts";
import { directoryNames } from "../host/directory-names.ts";
import { isErrno } from "../host/errno.ts";
import type { Host } from "../host/host.ts";
import { lockWithBackoff } from "../host/lock.ts";
import { readSubordinateIds, type SubordinateRange } from "../host/subordinate-ids.ts";

/** Whose lines in /etc/subuid and /etc/subgid count, first match first: rkt's own, the one that container engines share, root's. */
const ACCOUNTS = ["rkt", "containers", "root"] as const;

/** Where ids for containers are by systemd's convention ("UIDs and GIDs on systemd systems"): nobody's accounts lie there. */
const CONTAINERS: IdRange = { shift: 0x80000, count: 0x70000000 - 0x80000 };

/** systemd-nspawn's `--private-users=pick` has a file here for every range in use, named by its first id. */
const NSPAWN_RANGES = "/run/systemd/nspawn-uid";

export interface IdFiles {
  readonly subuid: string;
  readonly subgid: string;
  readonly passwd: string;
  readonly group: string;
}

const HOST_FILES: IdFiles = {
  subuid: "/etc/subuid",
  subgid: "/etc/subgid",
  passwd: "/etc/passwd",
  group: "/etc/group",
};

/**
 * Chooses a range for the pod in `podDir` and records it there. Under a lock of the data directory, so that two pods never choose the same. Throws CONFLICT when all
 * that was set aside is in use, INVALID_INPUT for a line of rkt's own that is too small.
 */
export async function takeIdRange(
  dataDir: DataDir,
  host: Host,
  podDir: string,
  files: IdFiles = HOST_FILES,
): Promise<IdRange> {
  mkdirSync(dataDir.locks, { recursive: true, mode: 0o750 });
  const lock = host.openat(AT_FDCWD, dataDir.idRangeLock, O.RDWR | O.CREAT | O.NOFOLLOW | O.CLOEXEC, 0o640);
  try {
    await lockWithBackoff(host, lock, "exclusive", { what: "the choice of users for a pod" });
    const range = chooseIdRange(usedIdRanges(dataDir), files);
    writeFileSync(new PodFiles(podDir).privateUsersPrepared, formatIdRange(range), { mode: 0o640, flag: "wx" });
    return range;
  } finally {
    host.close(lock);
  }
}

/** The pod's range; undefined for a pod without a user namespace. Throws INVALID_INPUT for a damaged file. */
export function readIdRange(podDir: string): IdRange | undefined {
  try {
    return parseIdRange(readFileSync(new PodFiles(podDir).privateUsersPrepared, "utf8"));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** Ranges of all pods, ended ones too: their files still have these owners. A pod moves only forward through the states, so none is missed. */
function usedIdRanges(dataDir: DataDir): IdRange[] {
  return POD_STATE_DIRS.flatMap((state) =>
    directoryNames(dataDir.podsIn(state), "ENOTDIR").flatMap((uuid) => {
      try {
        return readIdRange(join(dataDir.podsIn(state), uuid)) ?? [];
      } catch {
        return []; // Not ours: rkt writes the file whole.
      }
    }),
  );
}

/** `random`: a number below its argument. Throws CONFLICT, INVALID_INPUT. */
export function chooseIdRange(
  used: readonly IdRange[],
  files: IdFiles = HOST_FILES,
  random: (below: number) => number = randomBelow,
): IdRange {
  const [uids, gids] = [readSubordinateIds(files.subuid), readSubordinateIds(files.subgid)];
  const free = (range: IdRange) => !used.some((other) => rangesOverlap(range, other));
  for (const account of ACCOUNTS) {
    const slots = slotsOf(account, uids, gids, files);
    if (slots.length === 0) continue;
    const [slot] = slots.filter(free);
    if (slot !== undefined) return slot;
    throw new RktError(
      "CONFLICT",
      `Cannot give the pod users of its own: the ${slots.length === 1 ? "range" : `${slots.length} ranges`} of ${quoted(account)} in ${quoted(files.subuid)} and ${quoted(files.subgid)} ${slots.length === 1 ? "is" : "are"} in use by other pods`,
      { hint: "remove ended pods with `rkt gc`, or set more ids aside" },
    );
  }
  const others = [...uids, ...gids, ...accountIds(files.passwd), ...accountIds(files.group), ...nspawnRanges()];
  const unclaimed = (range: IdRange) => free(range) && !others.some((other) => rangesOverlap(range, other));
  const count = Math.floor(CONTAINERS.count / IDS_PER_POD);
  const start = random(count);
  for (let step = 0; step < count; step += 1) {
    const shift = CONTAINERS.shift + ((start + step) % count) * IDS_PER_POD;
    const range = { shift, count: IDS_PER_POD };
    if (unclaimed(range)) return range;
  }
  throw new RktError("CONFLICT", "Cannot give the pod users of its own: all ids for containers are in use");
}

/** What `account` may use, cut into pods: ids that it has both as users and as groups, since a pod's are the same numbers. */
function slotsOf(
  account: (typeof ACCOUNTS)[number],
  uids: readonly SubordinateRange[],
  gids: readonly SubordinateRange[],
  files: IdFiles,
): IdRange[] {
  const own = (list: readonly SubordinateRange[]) =>
    list.filter(({ owner }) => owner === account || (account === "root" && owner === "0"));
  const [ownUids, ownGids] = [own(uids), own(gids)];
  const slots = ownUids.flatMap((uid) =>
    ownGids.flatMap((gid) => {
      const shift = Math.max(uid.shift, gid.shift);
      const end = Math.min(uid.shift + uid.count, gid.shift + gid.count);
      const pods = Math.max(0, Math.floor((end - shift) / IDS_PER_POD));
      return Array.from({ length: pods }, (_, index) => ({ shift: shift + index * IDS_PER_POD, count: IDS_PER_POD }));
    }),
  );
  // Somebody wrote a line for rkt and expects it to be kept; the others' may be meant for other programs.
  if (slots.length === 0 && account === "rkt" && ownUids.length + ownGids.length > 0) {
    throw new RktError(
      "INVALID_INPUT",
      `Cannot give the pod users of its own: "rkt" has no ${IDS_PER_POD} ids in common in ${quoted(files.subuid)} and ${quoted(files.subgid)}`,
      { hint: `write the same line into both, for example "rkt:1000000:${IDS_PER_POD * 16}"` },
    );
  }
  return slots;
}

/** Every account's own id: the third field of passwd(5) and group(5). */
function accountIds(file: string): IdRange[] {
  return databaseLines(file).flatMap(([, , id = ""]) => {
    return /^[0-9]{1,10}$/.test(id) ? [{ shift: Number(id), count: 1 }] : [];
  });
}

function nspawnRanges(): IdRange[] {
  return directoryNames(NSPAWN_RANGES, "ENOTDIR").flatMap((name) =>
    /^[0-9]{1,10}$/.test(name) ? [{ shift: Number(name), count: IDS_PER_POD }] : [],
  );
}
