/** Who may read and write configuration files. Credentials are for root and rkt-admin; what decides where images come from is written by those two only. */

import { statSync } from "node:fs";
import { quoted } from "../core/text.ts";
import type { ConfigKind, Problem } from "./entry.ts";

const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;
const OTHERS_SEARCH = 0o001;

/**
 * Looks at a file of `auth.d`, `registries.d` or `measurement.d`. Credentials that everybody can read get a warning; a file of either that everybody can write is a
 * problem: its next author chooses where root sends a password and which server an image comes from. A directory closed to others protects its files.
 */
export function checkFileModes(
  dir: string,
  file: string,
  kinds: readonly ConfigKind[],
  notes: { readonly problems: Problem[]; readonly warnings: string[] },
): void {
  const secret = kinds.includes("auth");
  if (kinds.includes("measurement")) refuseOtherOwners(file, notes.problems);
  if (!secret && !kinds.includes("registries") && !kinds.includes("measurement")) return;
  const [ofDirectory, ofFile] = [modeOf(dir), modeOf(file)];
  if ((ofDirectory & OTHERS_SEARCH) === 0) return;
  if ((ofFile & OTHERS_WRITE) !== 0)
    notes.problems.push({ file, field: "", text: `${quoted(file)} can be written by every user, expected mode 0640` });
  else if ((ofDirectory & OTHERS_WRITE) !== 0 && (ofDirectory & 0o1000) === 0)
    notes.problems.push({ file, field: "", text: `${quoted(dir)} can be written by every user, expected mode 2770` });
  else if (secret && (ofFile & OTHERS_READ) !== 0)
    notes.warnings.push(
      `the credentials in ${quoted(file)} can be read by every user: chgrp rkt-admin ${quoted(dir)} and chmod 2770 ${quoted(dir)}`,
    );
}

/** Members of rkt-admin write configuration too; what the machine's TPM is, and whether it is asked, is root's alone. */
function refuseOtherOwners(file: string, problems: Problem[]): void {
  const owner = statSync(file, { throwIfNoEntry: false })?.uid ?? 0;
  if (owner !== 0 && process.geteuid?.() === 0)
    problems.push({ file, field: "", text: `${quoted(file)} belongs to user ${owner}, expected root` });
}

function modeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
}
