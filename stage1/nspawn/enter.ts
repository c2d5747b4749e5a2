/**
 * enter: a command in a running app's file system. The pod's own systemd starts it, as a unit with the app's root and a bounded capability set, so that nothing of the
 * app is executed with more, and no executable of the host is ever visible in the pod (CVE-2019-10144, -10145, -10147). Input and output go through FIFOs in
 * the stage1's root: systemd-run, which could pass descriptors, needs a message bus, and a pod has none.
 */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RktError } from "../../src/core/errors.ts";
import { quoted } from "../../src/core/text.ts";
import { AT_FDCWD, S } from "../../src/host/mod.ts";
import { isAcName } from "../../src/spec/appc/mod.ts";
import type { Entrypoint, Stage1Io } from "../common/io.ts";
import { commandLine } from "./unit-text.ts";

const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

export const enter: Entrypoint = async (argv, io) => {
  const { pid, app, command } = parse(argv);
  const root = `/proc/${pid}/root`;
  const id = `enter-${process.pid}`;
  const directory = join(root, "rkt/enter", id);
  // What the command may do was laid down when the pod started (units.ts, enterService); only the command itself is added.
  const unit = `enter-${app}@${id}.service`;
  const dropIn = join(root, "etc/systemd/system", `${unit}.d`);
  makeFifos(io, directory);
  mkdirSync(dropIn, { mode: 0o755 });
  writeFileSync(join(dropIn, "command.conf"), `[Service]\nExecStart=${commandLine(command)}\n`, { mode: 0o644 });
  const copy = (script: string) =>
    spawn("/bin/sh", ["-c", script, "enter", directory], { stdio: ["inherit", "inherit", "inherit"], env: { PATH } });
  const input = copy('exec cat > "$1/stdin"');
  const outputs = [copy('exec cat "$1/stdout"'), copy('exec cat "$1/stderr" >&2')].map(
    (child) => new Promise<void>((done) => child.once("exit", () => done())),
  );
  try {
    const started = spawnSync(
      "nsenter",
      [`--target=${pid}`, "--mount", "--pid", "--", "/usr/bin/systemctl", "start", unit],
      {
        env: { PATH },
        encoding: "utf8",
      },
    );
    if (started.error !== undefined) {
      throw new RktError("HOST_PROGRAM", 'Cannot start "nsenter"', {
        cause: started.error,
        hint: "install util-linux",
      });
    }
    const status = join(directory, "status");
    // A command that cannot be executed fails the start, and leaves its status a moment later, as every command does.
    const deadline = started.status === 0 ? Number.POSITIVE_INFINITY : performance.now() + 2000;
    while (!existsSync(status)) {
      if (performance.now() > deadline)
        throw new RktError("STAGE1", `Cannot start the command in the pod: ${quoted(started.stderr.trim())}`);
      if (!existsSync(root)) throw new RktError("WRONG_STATE", "Cannot wait for the command: the pod has ended");
      await Bun.sleep(10);
    }
    const code = Number(readFileSync(status, "utf8"));
    // 203: systemd could not execute the command; a shell says 127.
    if (code !== 203) await Promise.all(outputs);
    return code === 203 ? 127 : code;
  } finally {
    input.kill("SIGKILL");
    rmSync(dropIn, { recursive: true, force: true });
    rmSync(directory, { recursive: true, force: true });
  }
};

function makeFifos(io: Stage1Io, directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const name of ["stdin", "stdout", "stderr"]) {
    io.host.mknodat(AT_FDCWD, join(directory, name), S.IFIFO | 0o600, { major: 0, minor: 0 });
  }
}

/** `--pid=N --appname=A -- CMD…` (docs/stage1-contract.md). Throws USAGE. */
function parse(argv: readonly string[]): { pid: number; app: string; command: readonly string[] } {
  const end = argv.indexOf("--");
  const flags = end < 0 ? argv : argv.slice(0, end);
  const value = (name: string) => flags.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? "";
  const pid = Number(value("pid"));
  const app = value("appname");
  const command = end < 0 ? [] : argv.slice(end + 1);
  if (!Number.isSafeInteger(pid) || pid < 2) {
    throw new RktError("USAGE", `Cannot enter the pod: ${quoted(value("pid"))} is no process number`);
  }
  if (!isAcName(app)) throw new RktError("USAGE", `Cannot enter the pod: ${quoted(app)} is no app name`);
  if (command.length === 0) throw new RktError("USAGE", "Cannot enter the pod: no command was given");
  return { pid, app, command };
}
