/** The pod's own passwd and group files: systemd takes only users that it can look up, so each number that an app runs as gets an entry. Pure. */

import type { AppUser } from "./users.ts";

const NOBODY = 65534;

export function passwdFile(users: readonly AppUser[]): string {
  const generated = distinct(users.map((user) => user.uid)).map((uid) => {
    const gid = users.find((user) => user.uid === uid)?.gid ?? NOBODY;
    return `gen${uid}:x:${uid}:${gid}::/:/bin/sh\n`;
  });
  return `root:x:0:0:root:/root:/bin/sh\n${generated.join("")}nobody:x:${NOBODY}:${NOBODY}:nobody:/:/bin/sh\n`;
}

export function groupFile(users: readonly AppUser[]): string {
  const gids = distinct(users.flatMap((user) => [user.gid, ...user.supplementaryGids]));
  return `root:x:0:\n${gids.map((gid) => `gen${gid}:x:${gid}:\n`).join("")}nogroup:x:${NOBODY}:\n`;
}

function distinct(ids: readonly number[]): number[] {
  return [...new Set(ids)].filter((id) => id !== 0 && id !== NOBODY).sort((a, b) => a - b);
}
