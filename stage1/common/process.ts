/** An entrypoint in a process of its own: what stage0 does for it otherwise (events to text, errors to an exit status). */

import { writeSync } from "node:fs";
import { errorChain, exitStatusOf, FAILURE_STATUS } from "../../src/core/errors.ts";
import type { RktEvent } from "../../src/core/events.ts";
import { linux } from "../../src/host/linux.ts";
import { takeUmask } from "../../src/host/umask.ts";
import type { Stage1Entrypoints, Stage1Io } from "./io.ts";

/** The names of the scripts in an image. */
const NAMES: Readonly<Record<string, keyof Stage1Entrypoints>> = {
  ...{ run: "run", enter: "enter", gc: "gc", stop: "stop", attach: "attach" },
  ...{ "app-add": "appAdd", "app-rm": "appRm", "app-start": "appStart", "app-stop": "appStop" },
};

/** Runs `process.argv[2]` of `entrypoints`; gives the exit status. Does not come back from `run`. */
export async function runEntrypoint(entrypoints: Stage1Entrypoints): Promise<number> {
  takeUmask();
  const [name = "", ...argv] = process.argv.slice(2);
  const debug = argv.includes("--debug") || argv.includes("--debug=true");
  const key = Object.hasOwn(NAMES, name) ? NAMES[name] : undefined;
  const entrypoint = key === undefined ? undefined : entrypoints[key];
  if (entrypoint === undefined) {
    line(`stage1: expected one of ${Object.keys(NAMES).join(", ")}`);
    return FAILURE_STATUS;
  }
  const io: Stage1Io = {
    host: linux,
    emit: (event) => report(event, debug),
    env: process.env,
    podDir: process.cwd(),
  };
  try {
    return await entrypoint(argv, io);
  } catch (error) {
    const chain = errorChain(error);
    line(`stage1: ${debug ? chain.join("\n  └─") : (chain.at(0) ?? "")}`);
    return exitStatusOf(error);
  }
}

function report(event: RktEvent, debug: boolean): void {
  if (event.kind === "warning") line(`stage1: ${event.text}`);
  else if (event.kind === "notice" || (event.kind === "debug" && debug)) line(`${event.source}: ${event.text}`);
}

/** Synchronous: the process may be replaced right after. */
function line(text: string): void {
  writeSync(2, `${text}\n`);
}
