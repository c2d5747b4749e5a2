/**
 * The program: words → command → exit status. Sets process.exitCode and returns, because process.exit would cut what a pipe has not taken yet. A worker (see
 * src/host/worker.ts) is this same program under a hidden name, and so is the runtime of a stage1 image's own code (docs/stage1-contract.md).
 */

import { takeUmask } from "./host/umask.ts";

const [first, name] = process.argv.slice(2);

if (first === "worker" && name === "fetch") await (await import("./fetch/worker.ts")).runFetchWorker();
else if (first === "worker" && name === "push") await (await import("./fetch/push-worker.ts")).runPushWorker();
else if (first === "worker" && name === "credentials")
  await (await import("./config/credentials-worker.ts")).runCredentialsWorker();
else if (first === "worker" && name === "verify") await (await import("./trust/worker.ts")).runVerifyWorker();
else if (first === "worker" && name === "unpack") await (await import("./render/worker.ts")).runUnpackWorker();
else {
  // What no command caught is a bug. Its status must not look like one that an app may have: 254, where the runtime would say 1.
  const bug = (error: unknown): never => {
    console.error(`rkt: internal error: ${error instanceof Error ? error.stack : String(error)}`);
    process.exit(254);
  };
  process.on("uncaughtException", bug);
  process.on("unhandledRejection", bug);
  if (first === "worker" && name === "stage1") {
    // The words are then as the file expects them: those after its own name.
    process.argv.splice(1, 3);
    await import(process.argv[1] ?? "");
  } else {
    takeUmask();
    const { runCommandLine } = await import("./cli/mod.ts");
    process.exitCode = await runCommandLine(process.argv.slice(2));
  }
}
