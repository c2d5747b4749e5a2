/** The systemd of the machine that the tests run on, which the host flavor takes for its pods. */

import { detectCgroups } from "../../src/host/cgroup.ts";
import { runProgram } from "./temporary.ts";

export function hostSystemdVersion(): number {
  return Number(/^systemd (\d+)/.exec(runProgram(["systemd-nspawn", "--version"]))?.[1]);
}

/** False where it is too new for this machine's cgroup v1 controllers: rkt refuses it there. */
export function hostSystemdRunsPods(): boolean {
  const controllersV1 = detectCgroups().hierarchies.some((one) => one.version === 1 && !one.name.startsWith("name="));
  return hostSystemdVersion() < 256 || !controllersV1;
}
