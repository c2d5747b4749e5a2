/** rkt logs: from a journal and from a console, while the pod runs and after; what an app writes is hostile. Needs root. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { mountsBelow, RKT, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image: string;
const INSECURE = "--insecure-options=image";

beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(rkt);
});
afterAll(() => rkt[Symbol.dispose]());

const app = (name: string, script: string) => [image, `--name=${name}`, "--exec=/bin/sh", "--", "-c", script];
const lines = (text: string) => text.split("\n").filter((line) => line !== "");
const ended = (pod: string) => until("the pod's end", () => !rkt.ok(["status", pod]).startsWith("state=running"));

test("what an app says by syslog(3) is in its journal, under its own name whatever it claims; also under a read-only root", async () => {
  // A sender that is gone before journald looks has no name there.
  const script = "{ echo hello from $(id -u); sleep 1; } | logger -t two";
  for (const flags of [[], ["--readonly-rootfs=true", "--user=7"]]) {
    const words = [
      "run",
      "--detach",
      "--net=none",
      image,
      "--name=one",
      ...flags,
      "--exec=/bin/sh",
      "--",
      "-c",
      script,
    ];
    const pod = rkt.ok([INSECURE, ...words]).trim();
    await ended(pod);
    expect(rkt.ok(["logs", "--app=one", pod])).toBe(`hello from ${flags.length === 0 ? 0 : 7}\n`);
    rkt.ok(["rm", pod]);
  }
});

describe("a pod with a journal", () => {
  let pod: string;
  beforeAll(async () => {
    const one = "echo out; echo err >&2; echo by-name > /dev/stdout; until [ -e /go ]; do sleep 0.1; done; echo late";
    const two = `printf '\\033]0;owned\\007\\033[2J\\302\\205tail\\n'; printf 'a\\377b\\n'; until [ -e /go ]; do sleep 0.1; done`;
    const words = [...app("one", one), "---", image, "--name=two", "--user=7", "--exec=/bin/sh", "--", "-c", two];
    pod = rkt.ok([INSECURE, "run", "--detach", "--net=none", "--pod-name=talker", ...words]).trim();
    await until("the lines", () => lines(rkt.ok(["logs", pod])).length === 5);
  });
  const logs = (...flags: string[]) => rkt.ok(["logs", ...flags, "talker"]);

  test("gives what every app wrote, to its descriptors and to /dev/stdout by name", () => {
    expect(lines(logs("--app=one")).sort()).toEqual(["by-name", "err", "out"]);
    expect(lines(logs()).filter((line) => line.startsWith("one | ")).length).toBe(3);
  });

  test("a pipe gets every byte, a terminal no control character", () => {
    const raw = spawnSync(RKT, [...rkt.globals, "logs", "--app=two", pod]).stdout;
    expect(raw).toEqual(
      Buffer.from("\x1b]0;owned\x07\x1b[2J\u0085tail\na\xffb\n".replace("\u0085", "\xc2\x85"), "latin1"),
    );
    const shown = spawnSync("script", ["-qc", [RKT, ...rkt.globals, "logs", "--app=two", pod].join(" "), "/dev/null"], {
      input: "",
    }).stdout.toString();
    expect(shown).toContain("\\x1b]0;owned\\x07\\x1b[2J\\x85tail");
    expect(shown).not.toMatch(/[\u001b\u0007\u0080-\u009f]/);
  });

  test("times, the last lines, since and until, JSON", () => {
    const [first = ""] = lines(logs("--timestamps", "--app=one"));
    expect(first).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z out$/);
    expect(lines(logs("-n", "1", "--app=one")).length).toBe(1);
    expect(logs("--until=1h")).toBe("");
    expect(lines(logs("--since=1h")).length).toBe(5);
    const time = (text: string) => JSON.parse(text).time;
    const json = lines(logs("--format=json"));
    expect(json.map((line) => JSON.parse(line).app).sort()).toEqual(["one", "one", "one", "two", "two"]);
    expect(json.map(time)).toEqual(json.map(time).sort());
  });

  test("follows until the pod is over", async () => {
    const following = rkt.start(["logs", "-f", "--app=one", pod]);
    await until("what was there", () => following.stdout().includes("out\n"));
    expect(following.stdout()).not.toContain("late");
    // The last app's end is the pod's, and the entered command's.
    for (const name of ["one", "two"]) rkt.run(["enter", `--app=${name}`, "--user=0", pod, "/bin/touch", "/go"]);
    const { status, stdout } = await following.ended;
    expect(status).toBe(0);
    expect(stdout).toEndWith("late\n");
  });

  test("is there when the pod is over, and after what a reboot does to mounts", async () => {
    await ended(pod);
    expect(lines(logs()).length).toBe(6);
    const mounted = mountsBelow(join(rkt.dataDir, "pods/run", pod)).reverse();
    expect(mounted.length).toBeGreaterThan(0);
    for (const point of mounted) expect(spawnSync("umount", ["--lazy", point]).status).toBe(0);
    expect(lines(logs()).length).toBe(6);
  });

  test("a link in place of the journal leads nowhere", () => {
    const overlay = join(rkt.dataDir, "pods/run", pod, "overlay");
    // The stage1's: an app's tree lies beside it, and their names' order changes with every build.
    const journals = readdirSync(overlay).map((tree) => join(overlay, tree, "upper/var/log/journal"));
    const journal = journals.find(existsSync) ?? "";
    renameSync(journal, `${journal}.away`);
    symlinkSync("/var/log", journal);
    const { status, stdout } = rkt.run(["logs", pod]);
    // What is left to show is its console.
    expect({ status, journal: stdout.includes("late") }).toEqual({ status: 0, journal: false });
    rmSync(journal);
    renameSync(`${journal}.away`, journal);
  });

  test("files that only look like a journal cost nothing but their lines", () => {
    const overlay = join(rkt.dataDir, "pods/run", pod, "overlay");
    const [directory = ""] = spawnSync("find", [overlay, "-path", "*/upper/var/log/journal/*", "-type", "d"], {
      encoding: "utf8",
    }).stdout.split("\n");
    // An empty name would be the current directory.
    expect(directory).toStartWith("/");
    symlinkSync("/etc/shadow", join(directory, "shadow.journal"));
    mkdirSync(join(directory, "directory.journal"));
    spawnSync("mkfifo", [join(directory, "fifo.journal")]);
    spawnSync("dd", ["if=/dev/urandom", `of=${join(directory, "noise.journal")}`, "bs=64k", "count=1"]);
    const { stdout } = rkt.run(["logs", "--app=one", pod]);
    expect(stdout).toContain("late");
    expect(stdout).not.toContain("root:");
  });
});

describe("a fly pod", () => {
  test("has its console: followed, and refused where times or apps are asked for", async () => {
    const fly = "--stage1-name=coreos.com/rkt/stage1-fly";
    const script = "echo one; echo two >&2; sleep 2; printf 'three'";
    const pod = rkt.ok([INSECURE, "run", "--detach", fly, ...app("agent", script)]).trim();
    const following = rkt.start(["logs", "--follow", pod]);
    expect((await following.ended).stdout).toBe("one\ntwo\nthree\n");
    expect(rkt.ok(["logs", "-n1", pod])).toBe("three\n");
    const refused = rkt.run(["logs", "--since=1h", "--timestamps", pod]);
    expect(refused.status).toBe(254);
    expect(refused.stderr).toContain("--since, --timestamps");
  });
});

describe("a pod that was started in the foreground", () => {
  test("keeps a journal when its annotation says so, else there is nothing to show", () => {
    const file = join(rkt.dir, "uuid");
    const run = (...flags: string[]) =>
      rkt.ok([INSECURE, "run", "--net=none", `--uuid-file-save=${file}`, ...flags, ...app("a", "echo said")]);
    run();
    const refused = rkt.run(["logs", `--uuid-file=${file}`]);
    expect(refused.status).toBe(254);
    expect(refused.stderr).toContain("keeps no journal");
    run("--annotation=coreos.com/rkt/stage1/journal=true");
    expect(rkt.ok(["logs", `--uuid-file=${file}`])).toBe("said\n");
    expect(rkt.run(["logs", `--uuid-file=${file}`, "--app=b"]).stderr).toContain('app "b" is not present in pod');
  });
});
