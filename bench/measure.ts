/** Timing whole processes, one after the other, each case once per round: whatever else the machine does hits all of them alike. */

export interface Case {
  readonly name: string;
  /** Measured; made anew each time where it is a function. */
  readonly command: readonly string[] | (() => readonly string[]);
  /** What comes with the row in the report. */
  readonly note?: string;
  /** Not measured. */
  readonly before?: () => void;
  readonly after?: () => void;
  /** rkt's own: its failure is an error. A peer's failure makes the peer absent. */
  readonly own?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Timed {
  readonly name: string;
  readonly note: string | undefined;
  /** One per round, milliseconds; empty when the program is absent or failed. */
  readonly milliseconds: readonly number[];
  /** Why there are no numbers. */
  readonly absent: string | undefined;
}

/** Runs every case `runs` times, round-robin, after one round that warms the caches and finds out who works at all. */
export function interleave(cases: readonly Case[], runs: number, tell: (text: string) => void): Timed[] {
  const samples = new Map<string, number[]>();
  const absent = new Map<string, string>();
  for (let round = -1; round < runs; round += 1) {
    for (const one of cases) {
      if (absent.has(one.name)) continue;
      try {
        const duration = time(one);
        if (round < 0) samples.set(one.name, []);
        else samples.get(one.name)?.push(duration);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (one.own === true || round >= 0) throw new Error(`${one.name}: ${reason}`);
        absent.set(one.name, reason);
      }
    }
    tell(round < 0 ? "warmed up" : `round ${round + 1} of ${runs}`);
  }
  return cases.map(({ name, note }) => ({
    name,
    note,
    milliseconds: samples.get(name) ?? [],
    absent: absent.get(name),
  }));
}

function time(one: Case): number {
  one.before?.();
  const command = typeof one.command === "function" ? one.command() : one.command;
  const start = performance.now();
  const result = Bun.spawnSync([...command], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { ...PLAIN_ENVIRONMENT, ...one.environment },
  });
  const duration = performance.now() - start;
  one.after?.();
  if (result.exitCode !== 0) throw new Error(`status ${result.exitCode}: ${lastLine(result.stderr.toString())}`);
  return duration;
}

export const PLAIN_ENVIRONMENT = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  LANG: "C.UTF-8",
  TERM: "dumb",
};

/** Runs a command to its end, unmeasured; gives stdout. Throws unless it succeeds. */
export function run(command: readonly string[], environment: Readonly<Record<string, string>> = {}): string {
  const result = Bun.spawnSync([...command], { stdin: "ignore", env: { ...PLAIN_ENVIRONMENT, ...environment } });
  if (result.exitCode === 0) return result.stdout.toString();
  throw new Error(`${command.join(" ")}: status ${result.exitCode}: ${result.stderr.toString().trim()}`);
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
