/** Debian's perl-base in an image: a language in which a test's app says more than a shell can. */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { Files } from "./images.ts";
import { runProgram } from "./temporary.ts";

/** perl-base, as the host has it: the program and its libraries. The harness makes executable what lies in a bin directory, and a loader must be. */
export function perlFiles(): Files {
  const files: Record<string, Files[string]> = { "usr/bin/perl": readFileSync("/usr/bin/perl") };
  for (const [, path = ""] of runProgram(["ldd", "/usr/bin/perl"]).matchAll(/(\/\S+) \(0x/g)) {
    const name = path.slice(1);
    const inBin = `bin/${basename(path)}`;
    files[inBin] = readFileSync(path);
    files[name] = { link: `/${inBin}` };
  }
  return files;
}

/** Perl that sends `text` to the service manager (sd_notify(3)). */
export function perlNotify(text: string): string {
  return `socket(N, 1, 2, 0) && send(N, "${text}", 0, pack("S a108", 1, $ENV{NOTIFY_SOCKET})) or die "notify: $!";`;
}
