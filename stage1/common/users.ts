/**
 * Who an app runs as, as numbers. Names are looked up in the image's own passwd and group files by this code: a library's look-up would load modules, and the
 * pod's systemd could only resolve names of its own root.
 */

import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import type { App } from "../../src/spec/appc/mod.ts";
import type { AppRoot } from "./app-root.ts";

export interface AppUser {
  readonly uid: number;
  readonly gid: number;
  readonly supplementaryGids: readonly number[];
}

/** (uid_t) -1 means "no change" to the kernel, so it is no user. */
const LARGEST_ID = 0xffff_fffe;

/**
 * The four forms of an appc user and group: "root", a number, an absolute path whose owner counts, a name of the image's files. `converted`: in an OCI image a
 * group that does not exist is the user's own. Throws NOT_FOUND, INVALID_INPUT.
 */
export function resolveUser(app: Pick<App, "user" | "group" | "supplementaryGids">, root: AppRoot, converted: boolean): AppUser {
  const uid = resolveId(app.user, root, { file: "/etc/passwd", owner: "uid", what: "user" });
  let gid: number;
  try {
    gid = resolveId(app.group, root, { file: "/etc/group", owner: "gid", what: "group" });
  } catch (error) {
    if (!(converted && app.group === app.user && error instanceof RktError && error.code === "NOT_FOUND")) throw error;
    gid = uid;
  }
  return { uid, gid, supplementaryGids: app.supplementaryGids };
}

interface Database {
  file: string;
  owner: "uid" | "gid";
  what: string;
}

function resolveId(text: string, root: AppRoot, database: Database): number {
  if (text === "root") return 0;
  if (/^[0-9]+$/.test(text)) return checkedId(text, database);
  if (text.startsWith("/")) {
    const status = root.stat(text);
    if (status === undefined) throw notFound(text, database, "no such file in the image");
    return status[database.owner];
  }
  // passwd(5) and group(5) both have the name first and the number third.
  for (const line of (root.read(database.file) ?? "").split("\n")) {
    const [name, , id] = line.split(":");
    if (name === text && id !== undefined && /^[0-9]+$/.test(id)) return checkedId(id, database);
  }
  throw notFound(text, database, `not in ${database.file} of the image`);
}

function checkedId(text: string, database: Database): number {
  const id = Number(text);
  if (id <= LARGEST_ID) return id;
  throw new RktError("INVALID_INPUT", `Cannot use ${quoted(text)} as ${database.what}: expected at most ${LARGEST_ID}`);
}

function notFound(text: string, database: Database, why: string): RktError {
  return new RktError("NOT_FOUND", `Cannot find ${database.what} ${quoted(text)}: ${why}`);
}
