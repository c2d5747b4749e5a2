/** Questions to the operator: on stdout, answered by a line of stdin. */

import type { Dialog } from "../core/dialog.ts";
import type { Output } from "./command.ts";

export function dialogOn(output: Output): Dialog {
  return {
    print: (line) => output.stdout(`${line}\n`),
    readLine: () => readLine(0),
    isInteractive: () => {
      // Loading node:tty takes 8 ms, so only a question pays for it.
      const { isatty } = process.getBuiltinModule("node:tty");
      return isatty(0) && isatty(2);
    },
  };
}

/** Byte by byte: what follows the line belongs to whoever reads next. */
function readLine(fd: number): string | undefined {
  const { readSync } = process.getBuiltinModule("node:fs");
  const bytes: number[] = [];
  const one = Buffer.alloc(1);
  while (readSync(fd, one, 0, 1, null) === 1) {
    const [byte = 0] = one;
    if (byte === 0x0a) return Buffer.from(bytes).toString("utf8");
    bytes.push(byte);
    if (bytes.length > 4096) return "";
  }
  return undefined;
}
