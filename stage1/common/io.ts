/** What every entrypoint gets besides its arguments. In a process of its own, main.ts fills it from the process; in stage0's process, stage0 does. */

import type { Emit } from "../../src/core/events.ts";
import type { Host } from "../../src/host/host.ts";

export interface Stage1Io {
  readonly host: Host;
  readonly emit: Emit;
  /** The environment that the pod's supervisor inherits (RKT_LOCK_FD and the caller's own variables). */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The contract's working directory, absolute: the pod's directory for run, gc, stop, app/* and attach; the rootfs of the stage1 tree for enter. */
  readonly podDir: string;
}

/** An entrypoint that ends: resolves to its exit status. */
export type Entrypoint = (argv: readonly string[], io: Stage1Io) => Promise<number>;

/** An entrypoint that becomes the pod's supervisor; it comes back only by throwing. */
export type RunEntrypoint = (argv: readonly string[], io: Stage1Io) => Promise<never>;

/** The entrypoints of a stage1. Those of a flavor whose pods stay as they were started lack the last five. */
export interface Stage1Entrypoints {
  readonly run: RunEntrypoint;
  readonly enter: Entrypoint;
  readonly gc: Entrypoint;
  readonly stop: Entrypoint;
  readonly attach?: Entrypoint;
  readonly appAdd?: Entrypoint;
  readonly appRm?: Entrypoint;
  readonly appStart?: Entrypoint;
  readonly appStop?: Entrypoint;
}
