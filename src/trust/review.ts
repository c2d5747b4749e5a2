/** How the operator is shown what would be trusted, and asked. */

import type { Dialog } from "../core/dialog.ts";
import { RktError } from "../core/errors.ts";
import type { Emit } from "../core/events.ts";
import { quoted } from "../core/text.ts";

/** True when the operator says yes. Throws NOT_TRUSTED when nobody can be asked. In rkt's words. */
export function review({ prefix, dialog, emit }: { prefix: string; dialog: Dialog; emit: Emit }): boolean {
  const note = (text: string) => emit({ kind: "notice", source: "pubkey", text });
  if (!dialog.isInteractive()) {
    note(`To trust the key for ${quoted(prefix)}, do one of the following:`);
    note(" - call rkt with --trust-keys-from-https");
    note(` - run: rkt trust --prefix ${quoted(prefix)}`);
    throw new RktError(
      "NOT_TRUSTED",
      "error reviewing key: unable to ask user to review fingerprint due to lack of tty",
    );
  }
  for (;;) {
    dialog.print("Are you sure you want to trust this key (yes/no)?");
    const line = dialog.readLine();
    if (line === undefined) throw new RktError("NOT_TRUSTED", "error reviewing key: error reading input: end of file");
    if (line === "yes") return true;
    if (line === "no") return false;
    dialog.print("Please enter 'yes' or 'no'");
  }
}
