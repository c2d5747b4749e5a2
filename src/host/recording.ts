/**
 * A {@link Host} for tests: it notes every call and returns what the test put in, so that code with namespaces and mounts is tested without root.
 * Like the real one it throws SystemCallError, when told to.
 */

import { SystemCallError } from "./errno.ts";
import type { Host } from "./host.ts";

export interface RecordedCall {
  name: keyof Host;
  args: unknown[];
}

export interface Recording {
  host: Host;
  calls: RecordedCall[];
  /** The next `times` calls of `name` fail with `errno`. */
  fail(name: keyof Host, errno: number, times?: number): void;
  /** Calls of `name` return `value` (a descriptor, a status, …); without it they return 0. */
  returns(name: keyof Host, value: unknown): void;
}

/** The result of an execve under recording: the process would be gone. */
export class Replaced extends Error {}

export function recordingHost(): Recording {
  const calls: RecordedCall[] = [];
  const failures = new Map<string, { errno: number; times: number }>();
  const values = new Map<string, unknown>();
  const host = new Proxy({} as Host, {
    get(_target, property) {
      const name = property as keyof Host;
      return (...args: unknown[]): unknown => {
        calls.push({ name, args });
        const failure = failures.get(name);
        if (failure !== undefined && failure.times > 0) {
          failure.times -= 1;
          throw new SystemCallError(name, failure.errno, args.map(String).join(" "));
        }
        if (name === "execve") throw new Replaced("execve");
        return values.has(name) ? values.get(name) : 0;
      };
    },
  });
  return {
    host,
    calls,
    fail: (name, errno, times = 1) => void failures.set(name, { errno, times }),
    returns: (name, value) => void values.set(name, value),
  };
}
