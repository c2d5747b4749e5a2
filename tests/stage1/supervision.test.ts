/** When a pod is ready, how long it lives, and that what its apps ended with is known whatever is killed. Needs root, perl-base, python3. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { childrenOf } from "../../src/host/child-processes.ts";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { perlFiles, perlNotify } from "../harness/perl.ts";
import { type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { killAtEnd } from "../harness/temporary.ts";

setDefaultTimeout(120_000);

let rkt: TestRkt;
let image: string;
const INSECURE = "--insecure-options=image";
const FLY = "--stage1-name=coreos.com/rkt/stage1-fly";

beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(rkt, {}, perlFiles());
});
afterAll(() => rkt[Symbol.dispose]());

const uuidFile = () => join(rkt.dir, "uuid");
const uuid = () => readFileSync(uuidFile(), "utf8");
const shell = (name: string, script: string) => [image, `--name=${name}`, "--exec=/bin/sh", "--", "-c", script];
const words = (...rest: readonly string[]) => [
  INSECURE,
  "run",
  "--net=none",
  `--uuid-file-save=${uuidFile()}`,
  ...rest,
];

interface AppJson {
  readonly name: string;
  readonly state: string;
  readonly exit_code?: number;
  readonly signal?: string;
  readonly oom?: boolean;
  readonly restarts?: number;
  readonly last_exit_code?: number;
  readonly started_at?: number;
  readonly finished_at?: number;
}

/** What `status` and `list` say, which must be the same. */
function told(pod = uuid()): { readonly exit_code?: number; readonly apps: readonly AppJson[] } {
  const status = JSON.parse(rkt.ok(["status", "--format=json", pod]));
  const listed = JSON.parse(rkt.ok(["list", "--format=json"])).find(({ name }: { name: string }) => name === pod);
  delete status.isolation;
  for (const app of status.apps) delete app.signer;
  expect(listed).toEqual(status);
  return status;
}

function lines(pod = uuid()): string[] {
  return rkt
    .ok(["status", pod])
    .split("\n")
    .filter((line) => line.startsWith("app-"));
}

describe("--exit-policy", () => {
  for (const [policy, status, apps] of [
    ["any-failure", 4, ["app-a=4", "app-b=143", "app-c=143"]],
    ["all", 4, ["app-a=4", "app-b=0", "app-c=5"]],
    ["any", 4, ["app-a=4", "app-b=143", "app-c=143"]],
  ] as const) {
    test(policy, () => {
      // Long enough to be stopped, whatever else the machine has to do.
      const others = policy === "all" ? 3 : 300;
      const result = rkt.run(
        words(
          ...[`--exit-policy=${policy}`, ...shell("a", "sleep 0.5; exit 4")],
          ...["---", ...shell("b", `sleep ${others}`), "---", ...shell("c", `sleep ${others}; exit 5`)],
        ),
      );
      expect(result.status).toBe(status);
      expect(lines()).toEqual([...apps]);
      expect(told().exit_code).toBe(status);
    });
  }

  test("any: an app that ends well ends the pod well", () => {
    expect(
      rkt.run(words("--exit-policy=any", ...shell("a", "sleep 0.5"), "---", ...shell("b", "sleep 60"))).status,
    ).toBe(0);
    expect(lines()).toEqual(["app-a=0", "app-b=143"]);
    expect(told().exit_code).toBe(0);
  });

  test("what is no policy is refused", () => {
    for (const flag of ["--exit-policy=some", "--restart=on-failure:0", "--restart=sometimes"])
      expect(rkt.run(words(flag, ...shell("a", "exit 0")))).toMatchObject({ status: 254, stdout: "" });
  });
});

for (const [flavor, flags] of [
  ["nspawn", []],
  ["fly", [FLY]],
] as const) {
  describe(`--restart, ${flavor}`, () => {
    test("on-failure:2 starts the app twice again, in the same pod, and then gives its status", () => {
      const script = "echo run >> /runs; cat /runs | wc -l; exit 3";
      const result = rkt.run(words(...flags, "--restart=on-failure:2", ...shell("a", script)));
      expect(result.status).toBe(3);
      expect(result.stdout.match(/\d+/g)).toEqual(["1", "2", "3"]);
      expect(told()).toMatchObject({ exit_code: 3, apps: [{ exit_code: 3, restarts: 2, last_exit_code: 3 }] });
    });

    test("on-failure lets an app end that ends well; always does not, until the pod is stopped", async () => {
      expect(rkt.run(words(...flags, "--restart=on-failure", ...shell("a", "exit 0"))).status).toBe(0);
      expect(told().apps[0]?.restarts).toBeUndefined();
      const running = rkt.start(
        words(
          ...flags,
          "--restart=always",
          ...shell("a", "echo life; [ ! -e /lived ] || exec sleep 300; : > /lived; kill -9 $$"),
        ),
      );
      await until("the second life", () => (running.stdout().match(/life/g) ?? []).length === 2);
      expect(told().apps[0]).toMatchObject({ restarts: 1, last_exit_code: 137 });
      expect(rkt.ok(["status", uuid()])).toStartWith("state=running\n");
      rkt.ok(["stop", uuid()]);
      await running.ended;
      const { exit_code, signal } = told().apps[0] ?? {};
      expect([exit_code, signal]).toEqual([143, "SIGTERM"]);
    });
  });
}

describe("readiness", () => {
  /** The datagrams that rkt's caller gets, while `args` run. */
  async function listen(args: readonly string[]): Promise<{ messages(): string; running: RunningRkt }> {
    const socket = join(rkt.dir, "notify");
    const receiver =
      "import socket,sys,os\ntry: os.unlink(sys.argv[1])\nexcept OSError: pass\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.bind(sys.argv[1]);os.chmod(sys.argv[1],0o777);print('bound',flush=True)\nwhile True: print(repr(s.recv(4096)),flush=True)";
    const child = spawn("python3", ["-c", receiver, socket], { stdio: ["ignore", "pipe", "inherit"] });
    killAtEnd(child);
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += String(chunk);
    });
    await until("the socket", () => text.includes("bound"));
    const running = rkt.start(args, { env: { NOTIFY_SOCKET: socket } });
    void running.ended.then(() => child.kill());
    return { messages: () => text, running };
  }
  const NOTIFY = "--annotation=appc.io/executor/supports-systemd-notify=true";
  const perl = (name: string, script: string) => [
    image,
    `--name=${name}`,
    NOTIFY,
    "--user=7",
    "--exec=/usr/bin/perl",
    "--",
    "-e",
    script,
  ];

  test("of a pod whose apps do not tell: they have been started", async () => {
    const { messages, running } = await listen(words(...shell("a", "sleep 60")));
    await until("READY=1", () => messages().includes("READY=1"));
    expect(rkt.run(["status", "--wait-ready", uuid()]).status).toBe(0);
    rkt.ok(["stop", uuid()]);
    await running.ended;
  });

  test("of a pod with an app that tells: it has said so, not before", async () => {
    const script = `$| = 1; print "up\\n"; sleep 2; ${perlNotify("READY=1\\nSTATUS=warm")} print "told\\n"; sleep 60;`;
    const { messages, running } = await listen(words(...perl("a", script), "---", ...shell("b", "echo b; sleep 60")));
    await until("the apps", () => /up/.test(running.stdout()) && /b\r?\n/.test(running.stdout()));
    expect(messages()).not.toContain("READY=1");
    expect(rkt.run(["status", "--wait-ready=1ms", uuid()]).status).toBe(254);
    await until("READY=1", () => messages().includes("READY=1"));
    expect(running.stdout()).toContain("told");
    rkt.ok(["stop", uuid()]);
    await running.ended;
  });

  test("an app that ends before it has told has failed as it ended", () => {
    expect(rkt.run(words(...perl("a", "exit 9"))).status).toBe(9);
    expect(lines()).toEqual(["app-a=9"]);
  });

  test("fly: the caller's own socket is in the app's root", async () => {
    const { messages, running } = await listen(words(FLY, ...perl("a", `${perlNotify("READY=1")} sleep 60;`)));
    await until("READY=1", () => messages().includes("READY=1"));
    running.kill("SIGTERM");
    await running.ended;
  });
});

const commandLine = (pid: number | string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
};

describe("what the apps ended with, when a helper is killed with SIGKILL", () => {
  async function start(...flags: string[]): Promise<RunningRkt> {
    const running = rkt.start(
      words(...flags, ...shell("a", "echo up; sleep 4; exit 6"), "---", ...shell("b", "echo up; sleep 3; kill -11 $$")),
    );
    await until("both apps", () => (running.stdout().match(/up/g) ?? []).length >= 2);
    return running;
  }
  const BOTH = {
    apps: [
      { name: "a", exit_code: 6 },
      { name: "b", exit_code: 139, signal: "SIGSEGV" },
    ],
  };

  test("the supervisor: the apps run on, and how each ends is recorded", async () => {
    const running = await start("--exit-policy=all");
    running.kill("SIGKILL");
    expect((await running.ended).status).toBe(137);
    expect(rkt.ok(["status", uuid()])).toStartWith("state=running\n");
    await until("the pod's end", () => !rkt.ok(["status", uuid()]).startsWith("state=running"));
    expect(told()).toMatchObject({ ...BOTH, exit_code: 139 });
    for (const { started_at: started, finished_at: finished } of told().apps) {
      expect(finished ?? 0).toBeGreaterThan(started ?? 0);
    }
  });

  test("the pod's init: the kernel kills the apps with it, which is what is told", async () => {
    const running = await start();
    const [init = -1] = childrenOf(running.pid);
    process.kill(init, "SIGKILL");
    await running.ended;
    const killed = { exit_code: 137, signal: "SIGKILL", state: "exited" };
    expect(told()).toMatchObject({ exit_code: 137, apps: [killed, killed] });
    expect(lines()).toEqual(["app-a=137", "app-b=137"]);
    expect(rkt.ok(["explain", uuid()])).toContain("the kernel killed it with the pod");
  });

  test("the journal: it is started again, and the apps' ends are recorded", async () => {
    const running = await start("--exit-policy=all", "--annotation=coreos.com/rkt/stage1/journal=true");
    const [init = -1] = childrenOf(running.pid);
    const journal = childrenOf(init).filter((pid) => commandLine(pid).includes("systemd-journald"));
    expect(journal.length).toBe(1);
    for (const pid of journal) process.kill(pid, "SIGKILL");
    expect((await running.ended).status).toBe(139);
    expect(told()).toMatchObject(BOTH);
  });

  test("the script that records an app's end: it is run again", async () => {
    const running = rkt.start(
      words("--exit-policy=all", ...shell("a", "echo up; sleep 1; exit 6"), "---", ...shell("b", "sleep 5")),
    );
    await until("the app", () => running.stdout().includes("up"));
    let killed = 0;
    // It lives for some milliseconds.
    for (const deadline = Date.now() + 4000; killed === 0 && Date.now() < deadline; ) {
      const [init = -1] = childrenOf(running.pid);
      for (const pid of childrenOf(init)) {
        if (!/app-ended|\(app-ended\)|\(sd-executor\)/.test(commandLine(pid))) continue;
        try {
          process.kill(pid, "SIGKILL");
          killed += 1;
        } catch {
          // It had ended.
        }
      }
    }
    expect(killed).toBe(1);
    expect((await running.ended).status).toBe(6);
    expect(told()).toMatchObject({ exit_code: 6, apps: [{ exit_code: 6 }, { exit_code: 0 }] });
  });
});

describe("fly with --record-exit", () => {
  const record = (script: string) => rkt.run(words(FLY, "--record-exit", ...shell("a", script)));

  for (const [script, exit_code, signal] of [
    ["exit 0", 0, undefined],
    ["exit 137", 137, undefined],
    ["kill -9 $$", 137, "SIGKILL"],
    ["kill -15 $$", 143, "SIGTERM"],
    ["kill -2 $$", 130, "SIGINT"],
    ["kill -11 $$", 139, "SIGSEGV"],
  ] as const) {
    test(`${script}: rkt, status and list agree`, () => {
      expect(record(script).status).toBe(exit_code);
      expect(told()).toMatchObject({ exit_code, apps: [{ exit_code, state: "exited" }] });
      expect(told().apps[0]?.signal).toBe(signal);
    });
  }

  test("a stop asks the app to end, and what it then says counts", async () => {
    const script = "trap 'exit 8' TERM; echo up; while :; do sleep 0.1; done";
    const running = rkt.start(words(FLY, "--record-exit", ...shell("a", script)));
    await until("the app", () => running.stdout().includes("up"));
    rkt.ok(["stop", uuid()]);
    expect((await running.ended).status).toBe(8);
    expect(told().apps).toMatchObject([{ exit_code: 8 }]);
  });

  test("the shell is killed: so is the app, whatever its user, and that is told", async () => {
    const running = rkt.start(
      words(FLY, "--record-exit", image, "--name=a", "--user=7", "--exec=/bin/sleep", "--", "300"),
    );
    await until("the app", () => childrenOf(running.pid).some((pid) => commandLine(pid).includes("sleep 300")));
    const [app = -1] = childrenOf(running.pid);
    running.kill("SIGKILL");
    await running.ended;
    await until("the app's end", () => !commandLine(app).includes("sleep 300"));
    await until("the pod's end", () => !rkt.ok(["status", uuid()]).startsWith("state=running"));
    expect(told()).toMatchObject({ exit_code: 137, apps: [{ exit_code: 137, signal: "SIGKILL" }] });
  });

  test("without it nobody knows, and nobody guesses", () => {
    expect(rkt.run(words(FLY, ...shell("a", "exit 4"))).status).toBe(4);
    expect(told().apps[0]?.exit_code).toBeUndefined();
  });
});
