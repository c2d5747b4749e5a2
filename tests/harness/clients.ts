/**
 * The programs that call rkt, and how: their command lines as their sources have them, values in capitals. A test file of tests/clients takes one caller, says of each test which lines it covers, and ends
 * with the question whether one was left out.
 */

import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Result, RKT, type RunningRkt, type TestRkt, until } from "./rkt.ts";

export const CALLERS = {
  /** nomad-driver-rkt (rkt/driver.go), and the driver that was part of Nomad. */
  nomad: [
    "rkt version",
    "rkt trust --skip-fingerprint-review=true --prefix=P --debug=BOOL",
    "rkt --insecure-options=A,B --debug=BOOL prepare --no-overlay=true --volume=… --mount=… --set-env=K=V IMAGE --exec=CMD --memory=BYTES --cpu=SHARES --port=NAME:HOSTPORT --user=U --group=G -- ARGS",
    "rkt --insecure-options=all --debug=BOOL run-prepared --dns=IP --dns-search=D --net=A,B UUID",
    "rkt run-prepared --dns=host --net=host UUID",
    "rkt status --format=json UUID",
    "rkt cat-manifest UUID",
    "rkt enter UUID CMD ARGS",
  ],
  /** The kubelet's pkg/kubelet/rkt ("rktnetes"). */
  kubelet: [
    "rkt G fetch --no-store docker://IMG",
    "rkt G prepare --quiet --pod-manifest FILE --stage1-name=NAME",
    "nsenter --net=/var/run/netns/ID -- rkt G,all-run run-prepared --no-overlay=true --net=host --dns=IP --dns-search=D --dns-opt=ndots:5 --hostname=H UUID",
    "rkt G run-prepared --net=rkt.kubernetes.io UUID",
    "rkt G enter --app=APP UUID CMD",
    "rkt G rm UUID",
    "rkt G image rm ID",
    "GetInfo, ListPods, InspectPod, ListImages, GetLogs",
    "nsenter -t PID -n",
  ],
  rktlet: [
    "rkt app --debug sandbox --uuid-file-save=F --annotation=… --hostname=H --net=NAME",
    "rkt app sandbox --net=host --hosts-entry=host --dns=… --dns-search=… --dns-opt=… --insecure-options=all-run --port=…",
    "rkt app add UUID IMAGE …",
    "rkt app start|stop|rm UUID --app=A",
    "rkt app status UUID --app=A --format=json",
    "rkt app exec --app=A UUID CMD",
    "rkt stop --force=true|false UUID",
    "rkt rm UUID",
    "rkt status UUID --format=json --wait-ready=10s",
    "rkt list --format=json",
    "rkt image list --full --format=json --sort=importtime",
    "rkt image cat-manifest ID",
    "rkt image rm ID",
    "rkt image fetch --pull-policy=update --full=true IMG",
  ],
  /** kubelet-wrapper, etcd-wrapper, flannel-wrapper, and the unit files beside them. */
  coreos: [
    "rkt G run R --trust-keys-from-https --volume … --mount … --hosts-entry host --inherit-env --set-env=NOTIFY_SOCKET=… --stage1-from-dir=stage1-fly.aci docker://IMG --exec=/kubelet -- ARGS",
    "rkt run --insecure-options=image --uuid-file-save=F IMG --user=UID -- ARGS",
    "rkt rm --uuid-file=F",
    "rkt stop --uuid-file=F",
    "nsenter -m -u -i -n -p -t 1 -- /usr/bin/rkt ARGS",
    "rkt fetch A.aci B.aci --insecure-options=image",
    "rkt api-service",
  ],
  /** EVE's eveadm. */
  eve: [
    "rkt fetch --dir=D --insecure-options=O URL",
    "rkt list --dir=D --no-legend --fields=F",
    "rkt image list --dir=D --no-legend --fields=F",
    "rkt --dir=D --insecure-options=O prepare SHA --stage1-path=S --name=N --no-overlay --quiet",
    "rkt run SHA --dir=D --stage1-path=S --uuid-file-save=F --set-env=K=V",
    "rkt stop U --force=true",
    "rkt gc --dir=D --grace-period=T",
    "rkt image gc --dir=D --grace-period=T",
    "rkt image rm ID",
    "rkt image cat-manifest ID",
  ],
  /** Pacemaker's resource agent heartbeat/rkt. */
  pacemaker: [
    "rkt list --no-legend",
    "rkt list --no-legend --full",
    "rkt run IMG --name=N --exec=C",
    "rkt enter U CMD",
    "rkt stop --force U",
    "rkt stop U",
    "rkt rm U",
    "rkt fetch IMG",
    "rkt image list --no-legend",
  ],
  rktrunner: [
    "rkt --insecure-options=image run --interactive --net=host --set-env=… --set-env-file F --volume … IMG --mount volume=…,target=… --user=U --group=G --exec CMD -- ARGS",
    "rkt list --full --no-legend",
    "rkt status U",
    "rkt cat-manifest U",
    "rkt stop U",
  ],
  calico: ["rkt run --stage1-path=S --insecure-options=image --volume=… --mount volume=… IMG"],
} as const;

export type Caller = keyof typeof CALLERS;

export interface Covering<Name extends Caller> {
  /** A test that covers these lines. */
  covers(lines: readonly (typeof CALLERS)[Name][number][], what: string, run: () => void | Promise<void>): void;
  /** The last test of the file. */
  nothingLeftOut(): void;
}

export function caller<Name extends Caller>(name: Name): Covering<Name> {
  const left = new Set<string>(CALLERS[name]);
  return {
    covers(lines, what, run) {
      for (const line of lines) left.delete(line);
      test(`${name}: ${what}`, run);
    },
    nothingLeftOut() {
      test(`${name}: no command line is left out`, () => expect([...left]).toEqual([]));
    },
  };
}

/** Runs `rkt WORDS` with no option that the caller does not give, but for the environment; on stdin nothing. */
export function asCalled(
  words: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Result {
  const result = Bun.spawnSync([RKT, ...words], {
    cwd: options.cwd ?? "/",
    env: { PATH: process.env.PATH ?? "", HOME: "/root", TERM: "dumb", ...options.env },
    stdin: "ignore",
  });
  return { status: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
}

/** Starts COMMAND (not rkt itself), and tells how it ends. */
export function started(command: readonly string[], env: Record<string, string> = {}): RunningRkt {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH ?? "", HOME: "/root", TERM: "dumb", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => {
    out += String(chunk);
  });
  child.stderr.on("data", (chunk) => {
    err += String(chunk);
  });
  const ended = new Promise<Result>((done) => {
    child.once("exit", (code) => setTimeout(() => done({ status: code ?? -1, stdout: out, stderr: err }), 50));
  });
  return {
    pid: child.pid ?? -1,
    stdout: () => out,
    stderr: () => err,
    kill: (signal) => void child.kill(signal),
    ended,
  };
}

/** The UUID that a start saves in `file`, once it has. */
export async function savedUuid(file: string): Promise<string> {
  await until(`the UUID in ${file}`, () => existsSync(file) && readFileSync(file, "utf8").length === 36, 120);
  return readFileSync(file, "utf8");
}

/** Waits until the pod runs, and says it as JSON. */
export async function running(rkt: TestRkt, uuid: string): Promise<PodStatus> {
  const { status, stdout, stderr } = rkt.run(["status", "--format=json", "--wait-ready=120s", uuid]);
  expect([status, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as PodStatus;
}

export interface PodStatus {
  readonly name: string;
  readonly state: string;
  readonly networks?: readonly { readonly netName: string; readonly ip: string }[];
  readonly app_names: readonly string[];
}

/** A directory of the host with one file, to be seen from inside. */
export function hostFile(rkt: TestRkt, name: string): string {
  const dir = join(rkt.dir, name);
  Bun.spawnSync(["sh", "-c", `mkdir -p ${dir} && echo "from ${name}" > ${dir}/file`]);
  return dir;
}

/** What the files of these names say in every cgroup of the pod. */
export function limitsBelow(uuid: string, ...names: readonly string[]): string[] {
  const find = ["find", "/sys/fs/cgroup", "-type", "f", ...names.flatMap((name) => ["-o", "-name", name]).slice(1)];
  const files = Bun.spawnSync([...find.slice(0, 4), "(", ...find.slice(4), ")"])
    .stdout.toString()
    .split("\n");
  return files
    .filter((file) => file.replaceAll("\\x2d", "-").includes(`rkt-${uuid}`))
    .map((file) => readFileSync(file, "utf8").trim());
}

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\n$/;
