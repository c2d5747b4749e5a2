/** Who an app runs as: names, numbers and paths of the manifest become ids (rkt 1.x, "Users, groups"), read from the image's own files by our own code. */

import { RktError } from "../../src/core/errors.ts";
import { type IdRange, idInPod } from "../../src/core/id-range.ts";
import { quoted } from "../../src/core/text.ts";
import type { Host } from "../../src/host/mod.ts";
import type { App } from "../../src/spec/appc/mod.ts";
import { readInRoot, statInRoot } from "./in-root.ts";

export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** As passwd has them, for USER and HOME; undefined when the user has no entry. */
  readonly name: string | undefined;
  readonly home: string | undefined;
}

/**
 * Throws NOT_FOUND for a name or path that the image lacks. `root` is a descriptor of the app's root directory; `ids` are the pod's users, where its files belong to
 * them.
 */
export function resolveIdentity(
  host: Host,
  root: number,
  app: Pick<App, "user" | "group" | "supplementaryGids">,
  ids?: IdRange,
): Identity {
  const ownerOf: OwnerOf = (path) => {
    const status = statInRoot(host, root, path);
    if (status === undefined || ids === undefined) return status;
    return { uid: idInPod(ids, status.uid), gid: idInPod(ids, status.gid) };
  };
  const passwd = lines(readInRoot(host, root, "etc/passwd"));
  const group = lines(readInRoot(host, root, "etc/group"));
  const user = resolveUser(ownerOf, app.user, passwd);
  const gid = resolveGroup(ownerOf, app.group, group, app.user, user);
  // No user's name stands in for a supplementary group.
  const groups = app.supplementaryGids.map((one) =>
    typeof one === "number" ? one : resolveGroup(ownerOf, one, group, undefined, user),
  );
  return { uid: user.uid, gid, groups: [...new Set(groups)], name: user.name, home: user.home };
}

/** Of the file with this path in the image, as the pod sees it. */
type OwnerOf = (path: string) => { readonly uid: number; readonly gid: number } | undefined;

interface User {
  uid: number;
  gid: number | undefined;
  name: string | undefined;
  home: string | undefined;
}

function resolveUser(ownerOf: OwnerOf, text: string, passwd: string[][]): User {
  const entry = (match: (fields: string[]) => boolean) =>
    passwd.find((fields) => match(fields) && isId(fields[2]) && isId(fields[3]));
  const fromEntry = (fields: string[]): User => ({
    uid: Number(fields[2]),
    gid: Number(fields[3]),
    name: fields[0],
    home: fields[5],
  });
  if (isId(text) || text === "root") {
    const uid = text === "root" ? 0 : Number(text);
    const known = entry((fields) => Number(fields[2]) === uid);
    return known === undefined
      ? { uid, gid: undefined, name: undefined, home: undefined }
      : { ...fromEntry(known), uid };
  }
  if (text.startsWith("/")) {
    const status = ownerOf(text);
    if (status === undefined) throw missing("user", text, "the image has no such file");
    return { uid: status.uid, gid: status.gid, name: undefined, home: undefined };
  }
  const known = entry((fields) => fields[0] === text);
  if (known === undefined) throw missing("user", text, 'the image\'s "/etc/passwd" has no such name');
  return fromEntry(known);
}

function resolveGroup(
  ownerOf: OwnerOf,
  text: string,
  group: string[][],
  userText: string | undefined,
  user: User,
): number {
  if (isId(text)) return Number(text);
  if (text === "root") return 0;
  if (text.startsWith("/")) {
    const status = ownerOf(text);
    if (status === undefined) throw missing("group", text, "the image has no such file");
    return status.gid;
  }
  const known = group.find((fields) => fields[0] === text && isId(fields[2]));
  if (known !== undefined) return Number(known[2]);
  // A converted OCI image has the user's name as its group; there the user's own group is meant.
  if (text === userText) return user.gid ?? user.uid;
  throw missing("group", text, 'the image\'s "/etc/group" has no such name');
}

function missing(kind: string, text: string, why: string): RktError {
  return new RktError("NOT_FOUND", `Cannot find ${kind} ${quoted(text)} of the app: ${why}`, {
    hint: `name another with --${kind}`,
  });
}

function lines(text: string): string[][] {
  return text.split("\n").map((line) => line.split(":"));
}

function isId(text: string | undefined): boolean {
  return text !== undefined && /^[0-9]{1,10}$/.test(text) && Number(text) < 4294967295;
}
