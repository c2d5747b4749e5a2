/** Input and output of an entered command: a pseudoterminal of the pod's own where rkt has a terminal, else three FIFOs. cat(1) moves the bytes: no JavaScript waits in a read. */

import { type ChildProcess, type StdioOptions, spawn, spawnSync } from "node:child_process";
import { RktError } from "../../src/core/errors.ts";
import { openBeneath } from "../../src/host/beneath.ts";
import { AT_FDCWD, F, O, S } from "../../src/host/mod.ts";
import { openInRoot } from "../common/in-root.ts";
import { type EnterRequest, openRequestFile } from "./enter-request.ts";

export interface CommandStdio {
  readonly terminal: boolean;
  /** Lines of the unit's [Service] section. */
  readonly lines: readonly string[];
  /** Resolves when all that the command wrote has been passed on. */
  drained(): Promise<void>;
  /** Ends what moves the bytes, and gives the caller's terminal back as it was. */
  close(): void;
}

/** statfs(2). */
const DEVPTS_MAGIC = 0x1cd1;

const ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

export function commandFiles(request: EnterRequest): CommandStdio {
  const { host, id } = request;
  const directory = openRequestFile(request, ".", O.PATH | O.DIRECTORY);
  const fifos = ["stdin", "stdout", "stderr"].map((name) => {
    host.mknodat(directory, name, S.IFIFO | 0o600, { major: 0, minor: 0 });
    // By descriptor from here on: what the name means later does not matter.
    return openRequestFile(request, name, O.PATH);
  });
  host.close(directory);
  const [stdin = -1, stdout = -1, stderr = -1] = fifos;
  const input = move("exec cat > /proc/self/fd/3", ["inherit", "ignore", "ignore", stdin]);
  const outputs = [
    move("exec cat < /proc/self/fd/3", ["ignore", "inherit", "ignore", stdout]),
    move("exec cat < /proc/self/fd/3 >&2", ["ignore", "ignore", "inherit", stderr]),
  ];
  // Held open until the command has ended: a command that never started would leave the readers waiting for ever.
  const writers = [stdout, stderr].map((fd) => host.openat(AT_FDCWD, `/proc/self/fd/${fd}`, O.RDWR | O.CLOEXEC, 0));
  for (const fd of fifos) host.close(fd);
  const ended = outputs.map(end);
  return {
    terminal: false,
    lines: ["stdin", "stdout", "stderr"].map(
      (name) => `Standard${{ stdin: "Input", stdout: "Output", stderr: "Error" }[name]}=file:/rkt/enter/${id}/${name}`,
    ),
    drained: async () => {
      for (const fd of writers.splice(0)) host.close(fd);
      await Promise.all(ended);
    },
    close: () => {
      for (const fd of writers.splice(0)) host.close(fd);
      for (const child of [input, ...outputs]) child.kill("SIGKILL");
    },
  };
}

export function commandTerminal({ host, root, app }: EnterRequest): CommandStdio {
  const place = `opt/stage2/${app}/rootfs/dev/pts`;
  const devices = openInRoot(host, root, place, O.PATH | O.DIRECTORY);
  const terminals = `/proc/self/fd/${devices}`;
  // A volume of the app may lie over it: to open whatever device is found there would be the app's choice.
  if (host.fileSystemType(terminals) !== DEVPTS_MAGIC)
    throw new RktError(
      "STAGE1",
      `Cannot give the command a terminal: the app's "/dev/pts" is no file system of terminals`,
      {
        hint: "redirect input or output, for example `rkt enter … < /dev/null | cat`",
      },
    );
  const master = openBeneath(host, terminals, "ptmx", O.RDWR);
  host.fcntl(master, F.SETFL, O.RDWR); // without O_NONBLOCK, which cat cannot bear
  const number = host.unlockTerminal(master);
  // Held open until the end: a terminal that nobody has open any more reads as an error on the other side.
  const slave = openBeneath(host, terminals, String(number), O.RDWR);
  host.close(devices);
  const resize = () => host.copyWindowSize(0, master);
  resize();
  process.on("SIGWINCH", resize);
  const settings = terminal(["-g"]).trim();
  terminal(["raw", "-echo"]);
  const input = move("exec cat >&3", ["inherit", "ignore", "ignore", master]);
  const output = move("exec cat <&3", ["ignore", "inherit", "ignore", master]);
  const ended = end(output);
  let open = true;
  const release = () => {
    if (open) host.close(slave);
    open = false;
  };
  return {
    terminal: true,
    lines: [
      "StandardInput=tty",
      "StandardOutput=tty",
      "StandardError=tty",
      `TTYPath=/${place}/${number}`,
      "TTYReset=no",
    ],
    drained: async () => {
      release();
      await ended;
    },
    close: () => {
      process.off("SIGWINCH", resize);
      release();
      for (const child of [input, output]) child.kill("SIGKILL");
      terminal([settings]);
      host.close(master);
    },
  };
}

function move(script: string, stdio: StdioOptions): ChildProcess {
  return spawn("/bin/sh", ["-c", script], { stdio, env: ENVIRONMENT });
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((done) => child.once("exit", () => done()));
}

/** stty(1) on the caller's terminal. */
function terminal(settings: readonly string[]): string {
  const { status, stdout, error } = spawnSync("stty", settings, {
    stdio: ["inherit", "pipe", "ignore"],
    encoding: "utf8",
    env: ENVIRONMENT,
  });
  if (status === 0) return stdout;
  throw new RktError(
    "HOST_PROGRAM",
    "Cannot set the terminal: stty failed",
    error === undefined ? {} : { cause: error },
  );
}
