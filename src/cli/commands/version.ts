/** `rkt version`: five lines that orchestrators parse; the runtime stands where rkt 1.x named Go. */

import { APPC_VERSION, RKT_VERSION } from "../../core/version.ts";
import type { Command } from "../command.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64" };

export const command: Command = {
  name: "version",
  summary: "Print the version and exit",
  usage: "",
  flags: [],
  runAlone(output) {
    const architecture = ARCHITECTURES[process.arch] ?? process.arch;
    output.stdout(
      [
        `rkt Version: ${RKT_VERSION}`,
        `appc Version: ${APPC_VERSION}`,
        `Go Version: bun${Bun.version}`,
        `Go OS/Arch: linux/${architecture}`,
        "Features: +TPM -SDJOURNAL",
        "",
      ].join("\n"),
    );
  },
};
