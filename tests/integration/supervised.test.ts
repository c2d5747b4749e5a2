/** Pods under service managers that are no systemd: runit and s6, as Debian has them, with the shipped examples' scripts. Needs root. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { RKT, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { killAtEnd } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image: string;
beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(rkt);
});
afterAll(() => rkt[Symbol.dispose]());

const PATH = `${dirname(RKT)}:/usr/sbin:/usr/bin:/sbin:/bin`;
const stateOf = () => /^state=(.*)$/m.exec(rkt.run(["status", "web"]).stdout)?.[1] ?? "none";
const uuid = (): string => JSON.parse(rkt.ok(["status", "--format=json", "web"])).name;
const supervisor = () => Number(/^pid=(\d+)$/m.exec(rkt.ok(["status", "web"]))?.[1]);

/** The example's service directory, with this test's image and directories; the app notes in `log` what happens to it. */
function serviceDirectory(manager: "runit" | "s6"): { services: string; service: string; log: string } {
  const services = join(rkt.dir, manager);
  const service = join(services, "web");
  mkdirSync(services);
  cpSync(resolve("dist/init/examples", manager, "web"), service, { recursive: true });
  const shared = join(rkt.dir, `${manager}-shared`);
  mkdirSync(shared);
  const script =
    "echo up >> /s/log; trap 'sleep 0.2; echo stopped >> /s/log; exit 0' TERM; while :; do sleep 0.1; done";
  const words = [
    ...[...rkt.globals, "--insecure-options=image", "run", "--pod-name=web", "--rm", "--net=none"],
    ...[
      `--volume=s,kind=host,source=${shared}`,
      image,
      "--mount=volume=s,target=/s",
      "--exec=/bin/sh",
      "--",
      "-c",
      script,
    ],
  ];
  const run = readFileSync(join(service, "run"), "utf8");
  const line = `exec rkt ${words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ")}`;
  expect(run).toContain("exec rkt run --pod-name=web --rm");
  writeFileSync(
    join(service, "run"),
    run.replace(/^exec rkt run .*$/m, () => line),
  );
  return { services, service, log: join(shared, "log") };
}

function scan(program: string, services: string): ChildProcess {
  const child = spawn(program, [services], { stdio: "ignore", env: { PATH, HOME: "/root" } });
  killAtEnd(child);
  return child;
}

function ok(command: string, ...args: string[]): string {
  const result = spawnSync(command, args, { encoding: "utf8", env: { PATH } });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${result.stdout}${result.stderr}`);
  return result.stdout;
}

const lines = (log: string) => (existsSync(log) ? readFileSync(log, "utf8").split("\n").filter(Boolean) : []);

const MANAGERS = {
  runit: {
    start: (services: string) => scan("runsvdir", services),
    status: (service: string) => ok("sv", "status", service),
    running: (service: string, pid: number) => ok("sv", "status", service).includes(`(pid ${pid})`),
    down: (service: string) => ok("sv", "-w", "30", "down", service),
    end: (child: ChildProcess) => child.kill("SIGHUP"),
  },
  s6: {
    start: (services: string) => scan("s6-svscan", services),
    status: (service: string) => ok("s6-svstat", service),
    running: (service: string, pid: number) => ok("s6-svstat", service).includes(`(pid ${pid}`),
    down: (service: string) => ok("s6-svc", "-wD", "-T", "30000", "-d", service),
    end: (child: ChildProcess) => child.kill("SIGTERM"),
  },
};

for (const manager of ["runit", "s6"] as const) {
  describe(`under ${manager}`, () => {
    test("the pod is the service: its pid, started again when it is lost, stopped in order", async () => {
      const { services, service, log } = serviceDirectory(manager);
      const how = MANAGERS[manager];
      const child = how.start(services);
      const ended = new Promise((done) => child.once("exit", done));
      await until("the app", () => lines(log).length === 1 && stateOf() === "running", 60);
      const [first, pid] = [uuid(), supervisor()];
      expect(how.running(service, pid)).toBe(true);
      // The supervisor's end is seen at once, and what it left is not in the way of the next pod.
      process.kill(pid, "SIGKILL");
      await until("the next pod", () => lines(log).length >= 2 && stateOf() === "running" && uuid() !== first, 60);
      how.down(service);
      expect(lines(log).at(-1)).toBe("stopped");
      await until("the pod to be gone", () => stateOf() === "none", 60);
      how.end(child);
      await ended;
    });
  });
}
