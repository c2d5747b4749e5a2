/** Attaching to the streams and the terminal of an app: rkt attach. Needs root. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci } from "../harness/fetched-aci.ts";
import { RKT, type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { killAtEnd } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image: string;
let count = 0;

beforeAll(() => {
  rkt = testRkt();
  image = fetchedAci(rkt, {}, { "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n" });
});
afterAll(() => rkt[Symbol.dispose]());

/** A pod of one app with such a script; resolves when its status says that it runs. */
async function startPod(script: string, appFlags: string[], podFlags: string[] = []) {
  count += 1;
  const uuidFile = join(rkt.dir, `uuid-${count}`);
  const running = rkt.start([
    ...["--insecure-options=image", "run", "--net=none", `--uuid-file-save=${uuidFile}`, ...podFlags, image],
    ...["--name=app", ...appFlags, "--exec=/bin/sh", "--", "-c", script],
  ]);
  await until("the pod", () => existsSync(uuidFile) && rkt.run(["list", "--no-legend"]).stdout.includes("running"));
  const uuid = readFileSync(uuidFile, "utf8");
  if (appFlags.some((flag) => /=(stream|tty)$/.test(flag)))
    await until("the endpoints", () => rkt.run(["attach", "--mode=list", uuid]).status === 0);
  return { running, uuid };
}

/** `rkt attach` with a pipe for its input. */
function attach(uuid: string, mode: string) {
  const child = spawn(RKT, [...rkt.globals, "attach", `--mode=${mode}`, uuid], { stdio: ["pipe", "pipe", "pipe"] });
  const done = killAtEnd(child);
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => {
    out += String(chunk);
  });
  child.stderr.on("data", (chunk) => {
    err += String(chunk);
  });
  const ended = new Promise<number>((resolve) => {
    child.once("close", (code) => {
      done();
      resolve(code ?? -1);
    });
  });
  return { stdin: child.stdin, out: () => out, err: () => err, ended };
}

async function end({ running, uuid }: { running: RunningRkt; uuid: string }): Promise<void> {
  rkt.run(["stop", "--force", uuid]);
  await running.ended;
  rkt.ok(["rm", uuid]);
}

const STREAMS = ["--stdin=stream", "--stdout=stream", "--stderr=stream"];
const ECHO = 'while read line; do [ "$line" = quit ] && exit 4; echo "out $line"; echo "err $line" >&2; done';

describe("streams of an app", () => {
  test("are listed, reach every client, and take whole lines from each", async () => {
    const pod = await startPod(ECHO, STREAMS);
    const listed = JSON.parse(rkt.ok(["attach", "--mode=list", pod.uuid]));
    expect(listed.version).toBe(1);
    expect(listed.targets.map((target: { name: string }) => target.name)).toEqual(["stdin", "stdout", "stderr"]);
    const all = attach(pod.uuid, "auto");
    const output = attach(pod.uuid, "stdout");
    while (!output.out().includes("out first\n") || !all.err().includes("err first\n")) {
      all.stdin.write("first\n");
      await Bun.sleep(200);
    }
    const other = attach(pod.uuid, "stdin");
    // Half a line of one client, a line of another in between.
    other.stdin.write("sec");
    await Bun.sleep(300);
    all.stdin.write("between\n");
    await until("the line in between", () => all.out().includes("out between\n"));
    other.stdin.write("ond\n");
    await until("the other client's line", () => all.out().includes("out second\n"));
    await until("both lines at the other client", () => output.out().includes("out between\nout second\n"));
    expect(output.err()).toBe("");
    all.stdin.write("quit\n");
    expect((await pod.running.ended).status).toBe(4);
    // The app's end is the end of the connections.
    expect([await all.ended, await output.ended, await other.ended]).toEqual([0, 0, 0]);
    rkt.ok(["rm", pod.uuid]);
  });

  test("more than a pipe holds comes whole, and a client that does not read keeps nobody", async () => {
    const pod = await startPod("read line; sleep 2; seq 1 100000; exit 0", STREAMS);
    const idle = spawn(RKT, [...rkt.globals, "attach", "--mode=stdout", pod.uuid], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const done = killAtEnd(idle);
    idle.stdout.pause();
    const client = attach(pod.uuid, "stdin,stdout");
    client.stdin.write("go\n");
    expect((await pod.running.ended).status).toBe(0);
    await client.ended;
    const lines = client.out().trimEnd().split("\n");
    expect(lines.length).toBe(100_000);
    expect(lines.at(-1)).toBe("100000");
    done();
    rkt.ok(["rm", pod.uuid]);
  });

  test("that are not attachable are told, and nonsense is refused", async () => {
    const pod = await startPod("sleep 1000", ["--stdout=stream"]);
    expect(rkt.run(["attach", "--mode=stdin", pod.uuid]).stderr).toContain("it is not attachable");
    expect(rkt.run(["attach", "--mode=tty", pod.uuid]).stderr).toContain("it is not attachable");
    expect(rkt.run(["attach", "--mode=tty,stdin", pod.uuid]).stderr).toContain(
      'incompatible endpoints "tty,stdin", cannot simultaneously attach TTY and streams',
    );
    expect(rkt.run(["attach", "--mode=x", pod.uuid])).toMatchObject({
      status: 254,
      stderr: 'attach: unknown endpoint "x"\n',
    });
    await end(pod);
    const plain = await startPod("sleep 1000", []);
    expect(rkt.run(["attach", plain.uuid]).stderr).toContain("none of its streams is attachable");
    await end(plain);
  });
});

describe("the terminal of an app", () => {
  test("is the app's own, has the window's size, takes keys as they are typed, and is left by Ctrl-]", async () => {
    const pod = await startPod('trap "stty size" INT; tty; while :; do read line && echo "got $line"; done', [
      "--stdin=tty",
      "--stdout=tty",
      "--stderr=tty",
    ]);
    const command = [RKT, ...rkt.globals, "attach", pod.uuid].join(" ");
    const inner = `stty rows 33 cols 107; before=$(stty -g); ${command}; echo left=$?; [ "$(stty -g)" = "$before" ] && echo same settings`;
    const session = spawn("script", ["-qec", inner, "/dev/null"], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", TERM: "vt100" },
    });
    const done = killAtEnd(session);
    let output = "";
    session.stdout.on("data", (chunk) => {
      output += String(chunk);
    });
    // Only once keys reach the app: before, Ctrl-C would end rkt.
    session.stdin.write("typed\n");
    await until("the answer", () => output.includes("got typed"), 100);
    session.stdin.write("\x03");
    await until("the size", () => output.includes("33 107"), 100);
    session.stdin.write("\x1d\x1d\x1d");
    await until("the terminal as it was", () => output.includes("same settings"));
    expect(output).toContain("left=0");
    done();
    // The app goes on, and takes another client: here without a terminal.
    const again = attach(pod.uuid, "tty");
    again.stdin.write("once more\n");
    await until("the answer", () => again.out().includes("got once more"));
    await end(pod);
    expect(await again.ended).toBe(0);
  });
});

describe("logs in the kubelet's form", () => {
  test("are written, long lines in parts, and the file is opened anew when it was renamed", async () => {
    const logs = join(rkt.dir, "logs");
    mkdirSync(logs);
    const annotation = (name: string, value: string) => `--annotation=coreos.com/rkt/experiment/${name}=${value}`;
    const long = "x".repeat(20_000);
    const pod = await startPod(
      `echo first; echo ${long}; printf unfinished >&2; while [ ! -e /go/go ]; do sleep 0.1; done; echo last`,
      [annotation("kubernetes-log-path", "deep/er/0.log"), "--mount=volume=go,target=/go"],
      [
        annotation("logmode", "k8s-plain"),
        annotation("kubernetes-log-dir", logs),
        `--volume=go,kind=host,source=${rkt.dir}`,
      ],
    );
    const file = join(logs, "deep/er/0.log");
    const lines = (path: string) => (existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : []);
    await until("the first lines", () => lines(file).length >= 3);
    const texts = lines(file).map((line) => /^\S+Z (stdout|stderr) ([PF]) (.*)$/.exec(line)?.slice(1) ?? []);
    expect(texts.map(([stream, tag, text]) => [stream, tag, text?.length])).toEqual([
      ["stdout", "F", 5],
      ["stdout", "P", 16384],
      ["stdout", "F", 3616],
    ]);
    renameSync(file, `${file}.1`);
    await Bun.write(join(rkt.dir, "go"), "");
    await pod.running.ended;
    expect(
      lines(file)
        .map((line) => line.slice(line.indexOf(" ") + 1))
        .sort(),
    ).toEqual(["stderr F unfinished", "stdout F last"]);
    rkt.ok(["rm", pod.uuid]);
  });

  test("stay in the pod's directory of logs", () => {
    const annotation = (name: string, value: string) => `--annotation=coreos.com/rkt/experiment/${name}=${value}`;
    for (const path of ["../escaped", "/absolute", "a/../../b"]) {
      const { status, stderr } = rkt.run([
        ...["--insecure-options=image", "run", "--net=none", annotation("logmode", "k8s-plain")],
        ...[
          annotation("kubernetes-log-dir", rkt.dir),
          image,
          annotation("kubernetes-log-path", path),
          "--exec=/bin/true",
        ],
      ]);
      expect(status).toBe(254);
      expect(stderr).toContain("expected a relative path of a file in the pod's directory of logs");
    }
  });
});
