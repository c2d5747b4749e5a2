/** `rkt fsck` on the data directory's layout and format. */

import { join } from "node:path";
import { DATA_DIR_FORMAT, type DataDir } from "../core/data-dir.ts";
import { RktError } from "../core/errors.ts";
import type { Problem } from "../core/problem.ts";
import { quoted } from "../core/text.ts";
import { AT, AT_FDCWD, type FileStatus, type Host, isErrno, O, S } from "../host/mod.ts";
import { isUntaken, readFormat, writeFormat } from "./data-dir-format.ts";
import { type Access, asideName, layout, makeDirectory, ownerFor } from "./data-dir-layout.ts";

/**
 * What is wrong with the layout: directories that are missing, or whose owner or mode is another than it should be. For
 * root. A directory that root must own and somebody else does is not taken over with what is in it: that could be
 * anything. It is moved to `tmp`, from where `image gc` removes it.
 */
export function layoutProblems(dataDir: DataDir, host: Host): Problem[] {
  const problems: Problem[] = [...formatProblems(dataDir, host)];
  for (const [path, access] of layout(dataDir)) {
    const absolute = join(dataDir.root, path);
    const wrong = directoryFault(host, absolute, access);
    if (wrong === undefined) continue;
    problems.push({
      severity: "damage",
      kind: wrong.kind,
      path: absolute,
      message: `directory ${quoted(absolute)} ${wrong.text}`,
      mend: () => mendDirectory(dataDir, host, path, access, wrong.kind),
    });
  }
  return problems;
}

function* formatProblems(dataDir: DataDir, host: Host): Generator<Problem> {
  let fault: string | undefined;
  try {
    if (readFormat(dataDir, host) === undefined) fault = "is missing";
  } catch (error) {
    if (!(error instanceof RktError) || error.code !== "INVALID_INPUT") throw error;
    fault = "holds no number";
  }
  // rkt 1.x had none.
  if (fault === undefined || isUntaken(dataDir, host)) return;
  const mend = (): string => {
    writeFormat(dataDir, host);
    return `wrote format ${DATA_DIR_FORMAT}`;
  };
  const message = `${quoted(dataDir.format)} ${fault}`;
  yield { severity: "damage", kind: "broken-format", path: dataDir.format, message, mend };
}

function directoryFault(
  host: Host,
  path: string,
  access: Access,
): { kind: "missing-directory" | "foreign-directory" | "wrong-mode"; text: string } | undefined {
  let status: FileStatus;
  try {
    status = host.statat(AT_FDCWD, path, AT.SYMLINK_NOFOLLOW);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    return { kind: "missing-directory", text: "is missing" };
  }
  if ((status.mode & S.IFMT) !== S.IFDIR) return { kind: "foreign-directory", text: "is no directory" };
  const owner = ownerFor(access);
  const mode = status.mode & 0o7777;
  if (access !== "write" && status.uid !== owner.uid)
    return { kind: "foreign-directory", text: `belongs to user ${status.uid}, expected ${owner.uid}` };
  if (status.gid === owner.gid && mode === owner.mode && status.uid === owner.uid) return undefined;
  const text = (uid: number, gid: number, bits: number) => `${uid}:${gid} ${bits.toString(8)}`;
  const [has, wants] = [text(status.uid, status.gid, mode), text(owner.uid, owner.gid, owner.mode)];
  return { kind: "wrong-mode", text: `has owner and mode ${has}, expected ${wants}` };
}

function mendDirectory(dataDir: DataDir, host: Host, path: string, access: Access, kind: string): string {
  const root = host.openat(AT_FDCWD, dataDir.root, O.RDONLY | O.DIRECTORY | O.CLOEXEC, 0);
  try {
    let moved = "";
    if (kind === "foreign-directory") {
      if (access === "read")
        throw new RktError("WRONG_STATE", `Cannot mend ${quoted(path)}: move it away, and start rkt again`);
      const aside = asideName();
      host.renameat2(root, path, root, aside, 0);
      moved = `moved what was there to ${quoted(join(dataDir.root, aside))}; `;
    }
    makeDirectory(host, root, path, access);
    return `${moved}${kind === "wrong-mode" ? "set owner and mode" : "made it"}`;
  } finally {
    host.close(root);
  }
}
