/** An entrypoint in a process of its own: what stage0 does for it otherwise (events to text, errors to an exit status). */

import { writeSync } from "node:fs";
import { errorChain, exitStatusOf, FAILURE_STATUS } from "../../src/core/errors.ts";
import type { RktEvent } from "../../src/core/events.ts";
import { linux } from "../../src/host/linux.ts";
import { takeUmask } from "../../src/host/umask.ts";
import type { Entrypoint, RunEntrypoint, Stage1Io } from "./io.ts";

export interface Entrypoints {
  readonly run: RunEntrypoint;
  readonly enter: Entrypoint;
  readonly gc: Entrypoint;
  readonly stop: Entrypoint;
}

/** Runs `process.argv[2]` of `entrypoints`; gives the exit status. Does not come back from `run`. */
export async function runEntrypoint(entrypoints: Entrypoints): Promise<number> {
  takeUmask();
  const [name = "", ...argv] = process.argv.slice(2);
  const debug = argv.includes("--debug") || argv.includes("--debug=true");
  if (!isEntrypoint(name)) {
    line("stage1: expected run, enter, gc or stop");
    return FAILURE_STATUS;
  }
  const io: Stage1Io = {
    host: linux,
    emit: (event) => report(event, debug),
    env: process.env,
    podDir: process.cwd(),
  };
  try {
    return await entrypoints[name](argv, io);
  } catch (error) {
    const chain = errorChain(error);
    line(`stage1: ${debug ? chain.join("\n  └─") : (chain.at(0) ?? "")}`);
    return exitStatusOf(error);
  }
}

function isEntrypoint(name: string): name is keyof Entrypoints {
  return ["run", "enter", "gc", "stop"].includes(name);
}

function report(event: RktEvent, debug: boolean): void {
  if (event.kind === "warning") line(`stage1: ${event.text}`);
  else if (event.kind === "notice" || (event.kind === "debug" && debug)) line(`${event.source}: ${event.text}`);
}

/** Synchronous: the process may be replaced right after. */
function line(text: string): void {
  writeSync(2, `${text}\n`);
}
