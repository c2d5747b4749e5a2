/** Processes by their parent, as /proc tells. */

import { readdirSync, readFileSync } from "node:fs";

/** proc_pid_task_children(5): complete for a process with one thread that is stopped or waits. None when the process has ended. */
export function childrenOf(pid: number): number[] {
  try {
    return numbers(readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1"));
  } catch {
    return childrenBySearch(pid);
  }
}

/** True when the process is the first of a pid namespace below the caller's (NSpid of proc_pid_status(5)). */
export function isInit(pid: number): boolean {
  try {
    const all = numbers(/^NSpid:(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? "");
    return all.length > 1 && all.at(-1) === 1;
  } catch {
    return false; // It has ended.
  }
}

function numbers(text: string): number[] {
  return text.split(/\s+/).filter(Boolean).map(Number);
}

/** For kernels without CONFIG_PROC_CHILDREN. */
function childrenBySearch(parent: number): number[] {
  return readdirSync("/proc")
    .filter((name) => {
      if (!/^[0-9]+$/.test(name)) return false;
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "latin1");
        return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] === String(parent);
      } catch {
        return false;
      }
    })
    .map(Number);
}
