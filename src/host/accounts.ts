/** Users and groups of the host, read with our own code: a library's lookup could load modules (NSS), and in a pod it would load the image's. */

import { readFileSync } from "node:fs";

export interface Account {
  name: string;
  uid: number;
  gid: number;
}

/** The account `name` of a passwd(5) file, or undefined. */
export function findAccount(name: string, passwdFile = "/etc/passwd"): Account | undefined {
  for (const fields of databaseLines(passwdFile)) {
    const [user, , uid, gid] = fields;
    if (user === name && isDecimal(uid) && isDecimal(gid)) return { name, uid: Number(uid), gid: Number(gid) };
  }
  return undefined;
}

/** The account with this uid, and its home directory; undefined when there is none. */
export function accountOfUid(uid: number, passwdFile = "/etc/passwd"): (Account & { home: string }) | undefined {
  for (const [name, , number, gid, , home] of databaseLines(passwdFile)) {
    if (name !== undefined && isDecimal(number) && Number(number) === uid && isDecimal(gid))
      return { name, uid, gid: Number(gid), home: home ?? "" };
  }
  return undefined;
}

/** The gid of group `name` in a group(5) file, or undefined. */
export function findGroup(name: string, groupFile = "/etc/group"): number | undefined {
  for (const fields of databaseLines(groupFile)) {
    const [group, , gid] = fields;
    if (group === name && isDecimal(gid)) return Number(gid);
  }
  return undefined;
}

/** The user that a worker of root becomes: the installed one, or `nobody` in a source tree that was never installed. */
export function workerAccount(name: "rkt-fetch" | "rkt-verify"): Account {
  return findAccount(name) ?? findAccount("nobody") ?? { name: "nobody", uid: 65534, gid: 65534 };
}

/** The group that owns the store; undefined where rkt was never installed. */
export function rktGroup(): number | undefined {
  return findGroup("rkt");
}

/** Lines of a file of passwd(5)'s kind, each in its fields; none where there is no file. */
export function databaseLines(file: string): string[][] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return [];
  }
  return text.split("\n").map((line) => line.split(":"));
}

function isDecimal(text: string | undefined): text is string {
  return text !== undefined && /^[0-9]{1,10}$/.test(text);
}
