/** Starts a program from a process whose limits, signals, umask, stdio and sockets are what a test wants them to be, as a shell or a service manager would. */

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { childrenOf } from "../../src/host/child-processes.ts";
import { type Result, RKT, type TestRkt } from "./rkt.ts";
import { killAtEnd, temporaryDirectory } from "./temporary.ts";

export interface CallerSettings {
  /** [soft, hard] by name as Python has it ("NOFILE"); a missing hard one stays. */
  readonly limits?: Readonly<Record<string, readonly [number, number?]>>;
  readonly umask?: number;
  /** Signal names without SIG. All others have their default. */
  readonly ignored?: readonly string[];
  readonly blocked?: readonly string[];
  /** Makes stdout a non-blocking pipe. */
  readonly nonBlocking?: boolean;
  /** Listening sockets from descriptor 3 on, by the protocol of sd_listen_fds(3): ADDRESS:PORT, IPv4, TCP. */
  readonly sockets?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** The parent keeps the limits and waits, as a shell does; signals are the child's alone. Python ignores SIGPIPE and SIGXFSZ itself, so all are set. */
const LAUNCHER = `
import json, os, resource, signal, socket, sys
want = json.loads(sys.argv[1])
for name, pair in want.get("limits", {}).items():
    kind = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(kind)[1] if len(pair) < 2 else pair[1]
    resource.setrlimit(kind, (pair[0], hard))
listeners = []
for address in want.get("sockets", []):
    host, port = address.rsplit(":", 1)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(8)
    listeners.append(os.fstat(listener.fileno()).st_ino)
    os.dup2(listener.fileno(), 100 + len(listeners))
    listener.close()
with open(sys.argv[2], "w") as out:
    json.dump(listeners, out)
pid = os.fork()
if pid == 0:
    env = dict(os.environ)
    for index in range(len(listeners)):
        os.dup2(101 + index, 3 + index)
        os.close(101 + index)
    if listeners:
        env["LISTEN_PID"] = str(os.getpid())
        env["LISTEN_FDS"] = str(len(listeners))
        env["LISTEN_FDNAMES"] = ":".join("name%d" % index for index in range(len(listeners)))
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP) and number < 32:
            signal.signal(number, signal.SIG_DFL)
    for name in want.get("ignored", []):
        signal.signal(getattr(signal, "SIG" + name), signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [getattr(signal, "SIG" + name) for name in want.get("blocked", [])])
    if "umask" in want:
        os.umask(want["umask"])
    if want.get("nonBlocking"):
        os.set_blocking(1, False)
    os.execvpe(sys.argv[3], sys.argv[3:], env)
for index in range(len(listeners)):
    os.close(101 + index)
status = os.waitpid(pid, 0)[1]
os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
`;

export interface Launched {
  stdout(): string;
  stderr(): string;
  /** Inodes of the sockets, in order. */
  sockets(): number[];
  over(): boolean;
  /** Signals the command, not the process that launched it. */
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Result>;
}

/** Starts `command` so; its parent ends when it ends, with its status. */
export function launch(command: readonly string[], settings: CallerSettings): Launched {
  const dir = temporaryDirectory("launch");
  const inodes = `${dir.path}/sockets`;
  const { env, cwd, ...want } = settings;
  const child = spawn("python3", ["-c", LAUNCHER, JSON.stringify(want), inodes, ...command], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", TERM: "dumb", ...env },
    cwd: cwd ?? dir.path,
  });
  const done = killAtEnd(child);
  let out = "";
  let err = "";
  let over = false;
  child.stdout.on("data", (chunk) => {
    out += String(chunk);
  });
  child.stderr.on("data", (chunk) => {
    err += String(chunk);
  });
  const ended = new Promise<Result>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      over = true;
      done();
      dir[Symbol.dispose]();
      resolve({ status: code ?? -1, stdout: out, stderr: err });
    });
  });
  return {
    stdout: () => out,
    stderr: () => err,
    sockets: () => (existsSync(inodes) ? JSON.parse(readFileSync(inodes, "utf8") || "[]") : []),
    over: () => over,
    kill: (signal) => {
      for (const pid of childrenOf(child.pid ?? 0)) process.kill(pid, signal);
    },
    ended,
  };
}

/** `rkt ARGS` of a test, launched so. */
export function launchRkt(rkt: TestRkt, args: readonly string[], settings: CallerSettings): Launched {
  return launch([RKT, ...rkt.globals, ...args], { cwd: rkt.dir, ...settings });
}
