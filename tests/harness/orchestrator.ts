/**
 * An orchestrator as rktlet is one, made from its command lines alone: one round sandboxes a pod, adds three apps, streams their logs, restarts one, executes in
 * one, stops and removes everything. Each answer is read as rktlet reads it: one line of JSON, stdout and stderr together.
 */

import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type TestRkt, until } from "./rkt.ts";

interface AppJson {
  readonly name: string;
  readonly state: string;
  readonly exit_code?: number;
  readonly created_at?: number;
  readonly started_at?: number;
  readonly finished_at?: number;
  readonly image_id: string;
  readonly user_labels?: Readonly<Record<string, string>>;
  readonly user_annotations?: Readonly<Record<string, string>>;
}

const ENV = { RKT_EXPERIMENT_APP: "true", RKT_EXPERIMENT_ATTACH: "true" };
const LINE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) F (.*)$/;

export interface Round {
  /** What was not as it should be; empty when all was. */
  readonly findings: readonly string[];
}

/** `image`: the id of a busybox in the store. */
export async function orchestrate(rkt: TestRkt, image: string, net = "--net=none"): Promise<Round> {
  const findings: string[] = [];
  const expect = (what: string, holds: boolean, seen: unknown = "") => {
    if (!holds) findings.push(`${what}: ${JSON.stringify(seen)}`);
  };
  const logs = join(rkt.dir, "pod-logs");
  const uuidFile = join(rkt.dir, "pod-uuid");
  rmSync(uuidFile, { force: true });
  rmSync(logs, { recursive: true, force: true });
  mkdirSync(logs);
  const sandbox = rkt.start(
    [
      ...["app", "sandbox", "--debug", `--uuid-file-save=${uuidFile}`, "--hostname=web-0", net],
      "--annotation=coreos.com/rkt/experiment/logmode=k8s-plain",
      `--annotation=coreos.com/rkt/experiment/kubernetes-log-dir=${logs}`,
      ...["--user-annotation=io.kubernetes.pod=web-0", "--user-label=tier=front"],
    ],
    { env: ENV },
  );
  await until("the pod's UUID", () => existsSync(uuidFile) && readFileSync(uuidFile, "utf8").length === 36);
  const uuid = readFileSync(uuidFile, "utf8");
  const run = (...args: string[]) => rkt.run(args, { env: ENV });
  const ok = (...args: string[]) => {
    const { status, stdout, stderr } = run(...args);
    expect(`rkt ${args.join(" ")}`, status === 0, { status, stdout, stderr });
    return stdout + stderr;
  };
  const json = <T>(...args: string[]): T | undefined => {
    const text = ok(...args);
    expect("exactly one line of JSON", /^[^\n]+\n$/.test(text), text);
    try {
      return JSON.parse(text) as T;
    } catch {
      return undefined;
    }
  };
  const appState = (app: string) => json<AppJson>("app", "status", uuid, `--app=${app}`, "--format=json");
  const logOf = (app: string) => {
    const file = join(logs, `${app}_0.log`);
    const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];
    for (const line of lines) expect("the form of a log", LINE.test(line), line);
    return lines.map((line) => LINE.exec(line)?.slice(1).join(" ") ?? line);
  };

  const ready = json<{ name: string; state: string; user_labels: unknown }>(
    ...["status", uuid, "--format=json", "--wait-ready=100s"],
  );
  expect("a pod that is ready", ready?.state === "running" && ready.name === uuid, ready);
  expect("labels of the pod", JSON.stringify(ready?.user_labels) === '{"tier":"front"}', ready);
  const SCRIPT = 'echo "$0 starts"; echo "$0 warns" >&2; trap "exit 3" TERM; while :; do sleep 0.05; done';
  for (const app of ["one", "two", "three"]) {
    ok(
      ...["app", "add", uuid, image, `--annotation=coreos.com/rkt/experiment/kubernetes-log-path=${app}_0.log`],
      ...[`--name=${app}`, "--stdin=stream", "--stdout=stream", "--stderr=stream", "--user-annotation=attempt=0"],
      ...[`--user-label=name=${app}`, "--environment=K=V", "--cpu-shares=100", "--memory=67108864"],
      ...["--oom-score-adj=100", "--caps-retain=CAP_KILL,CAP_CHOWN", "--seccomp=mode=retain,@appc.io/all"],
      ...["--supplementary-gids=7,8", "--readonly-rootfs=true", "--working-dir=/etc"],
      ...[`--mnt-volume=name=${uuid},kind=host,source=${logs},target=/logs,readOnly=true`],
      ...["--exec=/bin/sh", "--", "-c", SCRIPT, app, "---"],
    );
    expect("an app that is created", appState(app)?.state === "created", appState(app));
    ok("app", "start", uuid, `--app=${app}`);
    const started = appState(app);
    expect("an app that runs", started?.state === "running" && (started.started_at ?? 0) > 1e18, started);
    expect("its label", started?.user_labels?.["name"] === app, started);
  }
  for (const app of ["one", "two", "three"]) {
    await until(`the log of ${app}`, () => logOf(app).length >= 2);
    expect(`the log of ${app}`, logOf(app).sort().join() === `stderr ${app} warns,stdout ${app} starts`, logOf(app));
  }
  ok("app", "stop", uuid, "--app=two");
  const stopped = appState("two");
  expect("an app that ended", stopped?.state === "exited" && stopped.exit_code === 3, stopped);
  expect("its end's time", (stopped?.finished_at ?? 0) >= (stopped?.started_at ?? 0), stopped);
  expect("the others go on", appState("one")?.state === "running" && appState("three")?.state === "running");
  ok("app", "start", uuid, "--app=two");
  expect("an app that runs again", appState("two")?.state === "running", appState("two"));
  await until("the log of its second run", () => logOf("two").length >= 4);
  const inside =
    "id -G; pwd; echo $K $AC_APP_NAME; cat /etc/hostname; grep CapBnd /proc/self/status; touch /x; ls /logs";
  const executed = run("app", "exec", "--app=one", uuid, "/bin/sh", "-c", `${inside}; exit 9`);
  const told = executed.stdout.split("\n");
  expect("the status of a command", executed.status === 9, executed);
  expect(
    "a command's context",
    told.slice(0, 5).join("|") === "0 7 8|/etc|V one|web-0|CapBnd:\t0000000000000021",
    executed,
  );
  expect("a read-only root", executed.stderr.includes("Read-only file system"), executed);
  expect("a volume", executed.stdout.includes("one_0.log"), executed);
  const listed = ok("app", "list", uuid, "--no-legend").trim().split(/\s+/).join(" ");
  expect("the list of apps", listed === "one running two running three running", listed);
  const pods = json<{ name: string; app_names: string[] }[]>("list", "--format=json");
  expect("the list of pods", pods?.find((pod) => pod.name === uuid)?.app_names.join() === "one,two,three", pods);
  for (const app of ["one", "two", "three"]) {
    ok("app", "stop", uuid, `--app=${app}`);
    ok("app", "rm", uuid, `--app=${app}`);
  }
  expect("no apps", ok("app", "list", uuid, "--no-legend") === "\n");
  ok("stop", "--force=true", uuid);
  await sandbox.ended;
  const again = run("stop", "--force=false", uuid);
  expect("what rktlet matches", again.stdout === `pod "${uuid}" is already stopped\n` && again.status === 0, again);
  ok("rm", uuid);
  const gone = run("stop", uuid);
  expect("what rktlet matches", gone.stderr.includes(`stop: cannot get pod: no matches found for "${uuid}"`), gone);
  return { findings };
}
