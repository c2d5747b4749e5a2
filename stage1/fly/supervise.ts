/**
 * A shell between rkt's caller and fly's app, for what the app itself cannot do: write down how it ended (`--record-exit`), and start it again (`--restart`). The shell keeps
 * rkt's process id; it passes signals on, and ends as the app ended. Should it be killed, the kernel kills the app with it (PR_SET_PDEATHSIG in run.ts): no app runs on of which
 * nobody would know the end.
 */

import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PodFiles } from "../../src/core/data-dir.ts";
import { callerState, handOver, isErrno } from "../../src/host/mod.ts";
import { appStatusFiles, formatRestart, type Restart } from "../../src/stage1-contract/mod.ts";
import type { Stage1Io } from "../common/io.ts";

/** Set for the run that becomes the app. */
export const SUPERVISED = "RKT_FLY_SUPERVISED";

/** `argv`: this run's own. Becomes the shell, which runs the entrypoint of the stage1's files again; returns only by throwing. The lock stays open in both. */
export function supervise(
  argv: readonly string[],
  io: Stage1Io,
  {
    files,
    app,
    restart,
    lockFd,
    env,
  }: {
    readonly files: PodFiles;
    readonly app: string;
    readonly restart: Restart;
    readonly lockFd: number;
    readonly env: Readonly<Record<string, string>>;
  },
): never {
  const { created, started } = appStatusFiles(app);
  for (const file of [created, started]) writeFileSync(join(files.status, file), "", { mode: 0o644 });
  writeFileSync(files.ppid, `${process.pid}\n`, { mode: 0o644 });
  markReady(files);
  const entrypoint = join(files.stage1Rootfs, "usr/lib/rkt/run");
  return handOver(io.host, callerState(io.host), {
    path: "/bin/sh",
    argv: [
      "sh",
      "-c",
      SUPERVISOR,
      "rkt-fly",
      files.status,
      app,
      formatRestart(restart),
      files.pid,
      entrypoint,
      ...argv,
    ],
    env: { ...env, [SUPERVISED]: "1" },
    keep: [lockFd],
  });
}

function markReady(files: PodFiles): void {
  try {
    symlinkSync("ready", join(files.stage1Rootfs, "rkt/supervisor-status"));
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

/**
 * POSIX sh (dash, busybox, bash). $? alone does not tell a death by signal 9 from `exit 137`: `jobs` does ("Done(137)", "Killed"), or, with bash, what the shell itself
 * says of a killed child; the child's own stderr is descriptor 4. A trap interrupts wait(1), so it is asked again until the child is over.
 */
const SUPERVISOR = `
status=$1 app=$2 restart=$3 pid=$4
shift 4
cd "$status" || exit 254
exec 3<&0 4>&2 2> .said
child= sleeper= stopping= count=0 pause=1
pass() { [ -z "$child" ] || kill -s "$1" "$child"; }
stop() { stopping=yes; pass "$1"; [ -z "$sleeper" ] || kill "$sleeper"; }
trap 'stop TERM' TERM
trap 'stop INT' INT
for one in HUP QUIT USR1 USR2; do trap "pass $one" "$one"; done
seconds() { read -r now rest < /proc/uptime; now=\${now%.*}; }

run() {
  : > .said
  sh -c 'cd ../../../.. || exit 254; [ -z "\${LISTEN_PID:-}" ] || export LISTEN_PID=$$; exec "$@"' start "$@" <&3 2>&4 3<&- 4>&- &
  child=$!
  while :; do
    wait "$child"
    code=$?
    jobs > .jobs
    case $(cat .jobs) in *Running*) ;; *) break ;; esac
  done
  child=
  rm -f "$pid"
  signal=
  if [ "$code" -gt 128 ]; then
    if [ -n "\${BASH_VERSION:-}" ]; then
      if [ -s .said ] || [ "$code" = 130 ] || [ "$code" = 141 ]; then signal=$(kill -l $((code - 128))); fi
    else
      case $(cat .jobs) in *Done*) ;; *) signal=$(kill -l $((code - 128))) ;; esac
    fi
  fi
  if [ -n "$signal" ]; then how=killed what=\${signal#SIG} result=signal
  elif [ "$code" = 0 ]; then how=exited what=0 result=success
  else how=exited what=$code result=exit-code; fi
  printf 'code=%s\\nstatus=%s\\nresult=%s\\n' "$how" "$what" "$result" > .result && mv .result "$app.result"
  printf '%s\\n' "$code" > .code && mv .code "$app"
}

while :; do
  seconds; since=$now
  run "$@"
  again=
  [ -n "$stopping" ] || case $restart in
    always) again=yes ;;
    on-failure) [ "$code" = 0 ] || again=yes ;;
    on-failure:*) if [ "$code" != 0 ] && [ "$count" -lt "\${restart#*:}" ]; then again=yes; fi ;;
  esac
  [ -n "$again" ] || break
  seconds
  [ $((now - since)) -lt 10 ] || pause=1
  sleep "$pause" & sleeper=$!
  wait "$sleeper"
  sleeper=
  # Else it would be listed beside the app.
  jobs > .jobs
  [ -z "$stopping" ] || break
  pause=$((pause * 2)); [ "$pause" -le 60 ] || pause=60
  count=$((count + 1))
  printf '%s\\n' "$count" > .count && mv .count "$app.restarts"
  mv "$app.result" "$app.last-result"
  rm -f "$app"
  : > "$app-started"
done

printf '%s\\n' "$code" > .exit && mv .exit pod.exit
rm -f .said .jobs
[ -n "$signal" ] || exit "$code"
# As the app ended, for whoever waits for this process.
trap - "\${signal#SIG}"
ulimit -c 0
kill -s "\${signal#SIG}" $$
exit "$code"
`;
