/** The directories of one benchmark run, rkt and its peers with state of their own in them, and the end that removes all of it. */

import { mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildBusyboxOci } from "../tests/harness/images.ts";
import { mountsBelow } from "../tests/harness/rkt.ts";
import { run } from "./measure.ts";

export interface Workspace {
  readonly dir: string;
  /** An OCI layout with busybox as "latest"; its program is `true`. */
  readonly layout: string;
  /** `rkt ARGS` with a data directory of its own (default: the shared one). */
  rkt(args: readonly string[], dataDir?: string): readonly string[];
  readonly dataDir: string;
  podman(args: readonly string[], store?: string): readonly string[];
  remove(): void;
}

export const RKT = resolve(process.env.RKT ?? "build/rkt");

export function workspace(): Workspace {
  // podman makes an image's name of the path: lower case only.
  const dir = `/var/tmp/rkt-bench-${process.pid}`;
  const layout = join(dir, "busybox");
  const dataDir = join(dir, "data");
  mkdirSync(layout, { recursive: true });
  buildBusyboxOci(layout, { cmd: ["/bin/true"], layers: [{ usr: null }] });
  const none = join(dir, "no-configuration");
  return {
    dir,
    layout,
    dataDir,
    rkt: (args, data = dataDir) => [
      RKT,
      `--dir=${data}`,
      `--local-config=${none}`,
      `--system-config=${none}`,
      "--insecure-options=image",
      ...args,
    ],
    podman: (args, store = join(dir, "podman")) => [
      "podman",
      "--root",
      store,
      "--runroot",
      `${store}-run`,
      "--cgroup-manager=cgroupfs",
      ...args,
    ],
    remove: () => {
      for (const path of mountsBelow(dir).reverse()) run(["umount", "--lazy", path]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
