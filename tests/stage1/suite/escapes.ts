/** Root in an app tries to get out: every attempt of escape-attempts.ts is refused, and gets through in a pod that lacks exactly the defence that refused it. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { buildAci } from "../../harness/images.ts";
import { type RunningRkt, type TestRkt, until } from "../../harness/rkt.ts";
import { runProgram } from "../../harness/temporary.ts";
import type { Stage1 } from "./context.ts";
import { ATTEMPTS, type Attempt, type Without } from "./escape-attempts.ts";

const DEFAULT_CAPABILITIES = [
  ...["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "KILL", "MKNOD", "NET_RAW", "NET_BIND_SERVICE"],
  ...["SETUID", "SETGID", "SETPCAP", "SETFCAP", "SYS_CHROOT"],
].map((name) => `CAP_${name}`);
/** The same as a mask, and with CAP_SYS_ADMIN. */
const [DEFAULT_MASK, ADMIN_MASK] = ["a80425fb", "a82425fb"];
const READ_ONLY = ["--volume=ro,kind=host,source=DATA,readOnly=true"];
const [STRICT_CAPABILITIES, STRICT_ROOT] = ["--caps-remove=CAP_NET_RAW", "--readonly-rootfs=true"];

/** What is not there on every host: attempts that need it count as refused only. */
const LACKING = new Set<string>([
  ...(existsSync("/proc/sysrq-trigger") ? [] : ["write_sysrq"]),
  ...(existsSync("/sys/kernel/mm/ksm/run") ? [] : ["write_sys"]),
  ...(existsSync("/sys/fs/cgroup/memory/release_agent") ? [] : ["write_release_agent"]),
]);

export interface Scene {
  readonly rkt: TestRkt;
  readonly image: string;
  readonly program: string;
  readonly data: string;
  /** Settings of the program. */
  readonly settings: readonly string[];
}

export function escapeCases(stage1: Stage1): void {
  describe("root in an app tries to get out", () => {
    let scene: Scene;
    let servers: readonly Server[] = [];
    let waiting: RunningRkt | undefined;
    let inside = 0;
    const named = (without: Without) => ATTEMPTS.filter((one) => one.without === without);
    const key = String(0x4000_0000 + process.pid);

    beforeAll(async () => {
      const program = compile(stage1.rkt.dir);
      servers = [await listening("\0rkt-escape"), await listening(0)];
      runProgram([program, `key=${key}`, "share"]);
      scene = setScene(stage1, program, servers[1], key);
      waiting = stage1.rkt.start(words(scene, stage1, [], ["wait", `mark=${process.pid}`]));
      await until("the app that waits", () => waiting?.stdout().includes("waiting") === true);
      inside = processOf(`mark=${process.pid}`);
    });
    afterAll(async () => {
      for (const server of servers) server.close();
      if (scene !== undefined) runProgram([scene.program, `key=${key}`, "unshare"]);
      waiting?.kill("SIGTERM");
      await waiting?.ended;
    });

    test("every attempt is written down, and every line is an attempt", () => {
      const names = runProgram([scene.program, "names"]).trim().split("\n");
      expect(names.sort()).toEqual(ATTEMPTS.map(({ name }) => name).sort());
      const page = readFileSync(join(import.meta.dir, "../../../docs/escape-attempts.md"), "utf8");
      expect(ATTEMPTS.map(row).filter((line) => !page.includes(line))).toEqual([]);
    });

    test("each is refused, by the defence that is written down", () => {
      const strict = new Set<Without>([STRICT_CAPABILITIES as Without, STRICT_ROOT as Without]);
      const other = new Set<Without>(["cgroup namespace", "nsenter"]);
      const inStrict = ATTEMPTS.filter(({ without }) => strict.has(without));
      const plain = ATTEMPTS.filter(
        ({ without, name }) =>
          !strict.has(without) && !other.has(without) && (name !== "write_sys" || !LACKING.has(name)),
      );
      const answers = new Map([
        ...attempts(scene, stage1, [], plain),
        ...attempts(scene, stage1, [STRICT_CAPABILITIES, STRICT_ROOT], inStrict),
      ]);
      expect(wrong([...plain, ...inStrict], answers, ({ answer }) => answer)).toEqual([]);
    });

    test("each gets through with the capability that it needs, and the calls that come with it", () => {
      const capabilities = [...new Set(ATTEMPTS.map(({ without }) => without).filter((one) => one.startsWith("CAP_")))];
      const apps = capabilities.flatMap((capability) => [
        ...["---", scene.image, `--name=${capability.toLowerCase().replaceAll("_", "-")}`, "--exec=/bin/escape"],
        ...["--mount=volume=data,target=/data", "--mount=volume=ro,target=/ro"],
        ...[`--caps-retain=${[...DEFAULT_CAPABILITIES, capability].join(",")}`, "--"],
        ...[...scene.settings, `as=${capability}`, ...named(capability).map(({ name }) => name)],
      ]);
      const result = stage1.rkt.run([...podWords(stage1, scene, [], READ_ONLY), ...apps.slice(1)]);
      const answers = parse(result.stdout, (capability, name) => `${capability} ${name}`);
      const all = capabilities.flatMap(named);
      const byName = new Map(all.map((one) => [one.name, answers.get(`${one.without} ${one.name}`) ?? result.stderr]));
      expect(wrong(all, byName, () => ["done"])).toEqual([]);
    });

    const byFlags: readonly [Without, { globals?: string[]; pod?: string[]; env?: Record<string, string> }][] = [
      // The variable is systemd-nspawn's own: rkt's option is about the apps' filters.
      ["filters", { globals: ["--insecure-options=image,seccomp"], env: { SYSTEMD_SECCOMP: "0" } }],
      ["paths", { globals: ["--insecure-options=image,paths"] }],
      ["--net=host", { pod: ["--net=host"] }],
      ["--ipc=parent", { pod: ["--net=none", "--ipc=parent"] }],
      [STRICT_CAPABILITIES as Without, {}],
      [STRICT_ROOT as Without, {}],
      ["--volume=…,readOnly=true", { pod: ["--net=none", "--volume=ro,kind=host,source=DATA"] }],
    ];
    test.each(byFlags)("each gets through where there is no %s", (without, how) => {
      const tried = named(without).filter(({ name }) => !LACKING.has(name));
      expect(tried).not.toBeEmpty();
      expect(wrong(tried, attempts(scene, stage1, [], tried, how), () => ["done"])).toEqual([]);
    });

    test("a second chroot leads out of a pod of the flavor fly", () => {
      const answers = attempts(scene, { ...stage1, flavor: "fly" }, [], named("fly"));
      expect(wrong(named("fly"), answers, () => ["done"])).toEqual([]);
    });

    test.each([
      ["pid namespace", ["--mount", "--uts", "--ipc", "--net", "--cgroup"], DEFAULT_MASK],
      ["mount namespace", ["--uts", "--ipc", "--net", "--cgroup", "--pid"], DEFAULT_MASK],
    ] as const)("each gets through outside of the %s alone", (without, namespaces, mask) => {
      const tried = named(without).filter(({ name }) => !LACKING.has(name));
      const all = beside(scene, inside, ["--mount", "--uts", "--ipc", "--net", "--cgroup", "--pid"], mask, tried);
      expect(wrong(tried, all, ({ answer }) => answer)).toEqual([]);
      expect(wrong(tried, beside(scene, inside, namespaces, mask, tried), () => ["done"])).toEqual([]);
    });

    test("release_agent is out of sight even for CAP_SYS_ADMIN, but for the cgroup namespace", () => {
      const tried = named("cgroup namespace").filter(({ name }) => !LACKING.has(name));
      const all = ["--mount", "--uts", "--ipc", "--net", "--pid"];
      const inPod = beside(scene, inside, [...all, "--cgroup"], ADMIN_MASK, tried);
      expect(wrong(tried, inPod, ({ answer }) => answer)).toEqual([]);
      expect(wrong(tried, beside(scene, inside, all, ADMIN_MASK, tried), () => ["done"])).toEqual([]);
    });

    test("whoever enters brings no program into the pod that its root could overwrite", async () => {
      const uuidFile = join(stage1.rkt.dir, "uuid-overwrite");
      for (const enter of ["rkt", "nsenter"] as const) {
        const { dev, ino } = statSync(enter === "rkt" ? realpathSync(process.env.RKT ?? "build/rkt") : scene.program);
        const flags = [`--caps-retain=${[...DEFAULT_CAPABILITIES, "CAP_SYS_PTRACE"].join(",")}`];
        const settings = [`device=${dev}`, `inode=${ino}`, `mark=${process.pid}-${enter}`, "overwrite_runtime"];
        const pod = stage1.rkt.start(
          words(scene, stage1, flags, settings, { pod: ["--net=none", `--uuid-file-save=${uuidFile}`] }),
        );
        await until("the app's start", () => existsSync(uuidFile) && processOf(`mark=${process.pid}-${enter}`) > 0);
        if (enter === "rkt") {
          const uuid = readFileSync(uuidFile, "utf8");
          for (let visit = 0; visit < 3; visit += 1)
            expect(stage1.rkt.run(["enter", uuid, "/bin/true"]).status).toBe(0);
          writeFileSync(join(scene.data, "visited"), "");
        } else {
          // The descriptor is opened on the host: the program stays one of the host's, executed in the pod.
          const target = processOf(`mark=${process.pid}-${enter}`);
          const script = `exec 9< "$1"; exec nsenter --target "$2" --mount --pid --root timeout 2 /proc/self/fd/9 wait`;
          spawnSync("/bin/sh", ["-c", script, "sh", scene.program, String(target)], { timeout: 60_000 });
        }
        const { stdout, stderr } = await pod.ended;
        expect(`${enter} ${stdout.trim()} ${stderr}`).toStartWith(
          enter === "rkt" ? "rkt overwrite_runtime ENOENT" : "nsenter overwrite_runtime done",
        );
        spawnSync("rm", ["-f", uuidFile, join(scene.data, "visited")]);
      }
    });
  });
}

/** A line of docs/escape-attempts.md. */
export function row({ what, answer, defence, without }: Attempt): string {
  return `| ${what} | ${answer.map((one) => (one === "nothing" ? "an empty file" : one)).join(" or ")} | ${defence} | ${withoutWords(without)} |`;
}

function withoutWords(without: Without): string {
  if (without.startsWith("CAP_")) return `\`--caps-retain=…,${without}\``;
  switch (without) {
    case "filters":
      return "`--insecure-options=seccomp`, `SYSTEMD_SECCOMP=0`";
    case "paths":
      return "`--insecure-options=paths`";
    case "fly":
      return "`--stage1-name=coreos.com/rkt/stage1-fly`";
    case "nsenter":
      return "nsenter(1) in place of `rkt enter`";
    default:
      if (without.endsWith("namespace")) return `a process outside of this namespace alone`;
      return /^--(net|ipc)/.test(without) ? `\`${without}\`` : `without \`${without}\``;
  }
}

export function compile(directory: string): string {
  const program = join(directory, "escape");
  runProgram(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", program, join(import.meta.dir, "escape.c")]);
  return program;
}

export function setScene(stage1: Stage1, program: string, server: Server | undefined, key: string): Scene {
  const { rkt } = stage1;
  const data = join(rkt.dir, "escape-data");
  const secret = join(rkt.dir, "secret");
  mkdirSync(data);
  writeFileSync(secret, "of the host\n");
  writeFileSync(join(data, "file"), "of the volume\n");
  symlinkSync(secret, join(data, "link"));
  const aci = join(rkt.dir, "escape.aci");
  buildAci(aci, { name: "example.com/escape" }, { "bin/escape": readFileSync(program), data: null, ro: null });
  const image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
  // Any pod's: prepared is enough to have files.
  const other = rkt.ok(["--insecure-options=image", "prepare", image]).trim();
  const pod = join(rkt.dataDir, "pods/prepared", other, "pod");
  const disk = readdirSync("/sys/block").find(canOpen) ?? "loop0";
  const [major, minor] = readFileSync(`/sys/block/${disk}/dev`, "utf8").trim().split(":");
  const address = server?.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const settings = [
    ...[`pid=${process.pid}`, `major=${major}`, `minor=${minor}`, "abstract=rkt-escape", `tcp=${port}`],
    ...[`key=${key}`, `secret=${secret}`, `other=${pod}`],
  ];
  return { rkt, image, program, data, settings };
}

/** Not every disk can be opened by root of a virtual machine or container either. */
function canOpen(disk: string): boolean {
  try {
    closeSync(openSync(`/dev/${disk}`, "r"));
    return true;
  } catch {
    return false;
  }
}

function podWords(
  { flavor }: Stage1,
  { data }: Scene,
  globals: readonly string[] = [],
  pod: readonly string[] = ["--net=none"],
): string[] {
  const net = pod.some((word) => word.startsWith("--net")) ? [] : ["--net=none"];
  const ro = pod.some((word) => word.startsWith("--volume=ro")) ? [] : READ_ONLY;
  return [
    ...(globals.length === 0 ? ["--insecure-options=image"] : globals),
    ...["run", `--stage1-name=coreos.com/rkt/stage1-${flavor}`, ...net, ...pod, ...ro],
    `--volume=data,kind=host,source=${data}`,
  ].map((word) => word.replace("source=DATA", `source=${data}`));
}

interface How {
  readonly globals?: readonly string[];
  readonly pod?: readonly string[];
  readonly env?: Record<string, string>;
}

/** The words of a pod of one app, which makes attempts. */
function words(
  scene: Scene,
  stage1: Stage1,
  app: readonly string[],
  attempts: readonly string[],
  how: How = {},
): string[] {
  return [
    ...podWords(stage1, scene, how.globals, how.pod),
    ...[
      scene.image,
      "--name=app",
      "--exec=/bin/escape",
      "--mount=volume=data,target=/data",
      "--mount=volume=ro,target=/ro",
    ],
    ...[...app, "--", ...scene.settings, ...attempts],
  ];
}

export function attempts(
  scene: Scene,
  stage1: Stage1,
  app: readonly string[],
  tried: readonly Attempt[],
  how: How = {},
): Map<string, string> {
  const names = tried.map(({ name }) => name);
  const { stdout, stderr } = stage1.rkt.run(words(scene, stage1, app, names, how), { env: how.env ?? {} });
  const answers = parse(stdout, (_, name) => name);
  if (answers.size < tried.length) throw new Error(`${stdout}\n${stderr}`);
  return answers;
}

/** By a process that was put into some of the pod's namespaces from outside, with an app's capabilities. */
function beside(
  scene: Scene,
  inside: number,
  namespaces: readonly string[],
  mask: string,
  tried: readonly Attempt[],
): Map<string, string> {
  const mount = namespaces.includes("--mount");
  const names = tried.map(({ name }) => name);
  const program = mount ? ["--root", "/bin/escape"] : [scene.program, `data=${scene.data}`];
  const output = runProgram([
    "nsenter",
    `--target=${inside}`,
    ...namespaces,
    ...program,
    `bound=${mask}`,
    ...scene.settings,
    ...names,
  ]);
  return parse(output, (_, name) => name);
}

export function parse(output: string, key: (as: string, name: string) => string): Map<string, string> {
  return new Map(
    [...output.matchAll(/^(?:(\S+) )?([a-z0-9_]+) ([A-Za-z0-9 ]+)\r?$/gm)].map(
      ([, as = "", name = "", answer = ""]) => [key(as, name), answer],
    ),
  );
}

/** What went another way than expected. */
export function wrong(
  tried: readonly Attempt[],
  answers: ReadonlyMap<string, string>,
  expected: (one: Attempt) => readonly string[],
): string[] {
  return tried.flatMap((one) => {
    const answer = answers.get(one.name) ?? "no answer";
    return expected(one).includes(answer) ? [] : [`${one.name}: ${answer}, expected ${expected(one).join(" or ")}`];
  });
}

/** A process of a pod, as the host numbers it, by one of its words; 0: none. */
function processOf(word: string): number {
  for (const id of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const given = readFileSync(`/proc/${id}/cmdline`, "utf8").split("\0");
      if (given[0] === "/bin/escape" && given.includes(word)) return Number(id);
    } catch {
      // It ended meanwhile.
    }
  }
  return 0;
}

export function listening(where: string | number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy()).once("error", reject);
    const done = () => resolve(server);
    if (typeof where === "string") server.listen({ path: where }, done);
    else server.listen(where, "127.0.0.1", done);
  });
}
