/** Socket activation: what a service manager opened for rkt reaches the app, all of it and in order. Needs root and Debian's perl-base. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { type Launched, launchRkt } from "../harness/launch.ts";
import { perlFiles } from "../harness/perl.ts";
import { freePort } from "../harness/registry.ts";
import { type TestRkt, testRkt, until } from "../harness/rkt.ts";

import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

/** Says what it was given, then answers one connection on each descriptor with the descriptor's number. */
const SERVER = `
$| = 1;
print "pid ", ($ENV{LISTEN_PID} == $$ ? "own" : $ENV{LISTEN_PID}), " fds $ENV{LISTEN_FDS} names $ENV{LISTEN_FDNAMES}\\n";
print "socket ", readlink("/proc/self/fd/$_"), "\\n" for 3 .. 2 + $ENV{LISTEN_FDS};
opendir(my $descriptors, "/proc/self/fd");
print "extra ", join(" ", grep { $_ ne "" && !m{^/proc/} } map { readlink("/proc/self/fd/$_") // "" } grep { /\\d/ && $_ > 2 + $ENV{LISTEN_FDS} } readdir($descriptors)), "\\n";
print "up\\n";
for my $fd (3 .. 2 + $ENV{LISTEN_FDS}) {
  open(my $listener, "+<&=", $fd) or die "fd $fd: $!";
  accept(my $client, $listener) or die "accept $fd: $!";
  syswrite($client, "answer on $fd\\n");
  close($client);
}
exit 7;
`;

let rkt: TestRkt;
let image: string;

beforeAll(() => {
  rkt = testRkt();
  const aci = join(rkt.dir, "server.aci");
  const port = (name: string, number: number) => ({
    name,
    port: number,
    protocol: "tcp",
    count: 1,
    socketActivated: true,
  });
  const app = {
    exec: ["/usr/bin/perl", "/server.pl"],
    user: "0",
    group: "0",
    ports: [port("first", 1001), port("second", 1002), port("third", 1003)],
  };
  buildAci(aci, { app }, { ...perlFiles(), "server.pl": SERVER });
  image = rkt.ok(["--insecure-options=image", "fetch", "--full", aci]).trim();
});
afterAll(() => rkt[Symbol.dispose]());

/** What a client reads from a port of loopback until its end. */
function ask(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    createConnection(port, "127.0.0.1")
      .on("data", (chunk) => {
        text += String(chunk);
      })
      .on("error", reject)
      .on("close", () => resolve(text));
  });
}

async function threePorts(): Promise<[number, number, number]> {
  return [await freePort(), await freePort(), await freePort()];
}

async function check(launched: Launched, ports: readonly number[], names: string, extra: RegExp): Promise<void> {
  await until("the app's start", () => /^up\r?$/m.test(launched.stdout()) || launched.over());
  const told = launched.stdout().replaceAll("\r", "");
  expect(launched.stderr()).not.toContain("Cannot");
  expect(told).toContain(`pid own fds 3 names ${names}\n`);
  const [a, b, c] = launched.sockets();
  expect(told).toContain(`socket socket:[${a}]\nsocket socket:[${b}]\nsocket socket:[${c}]\n`);
  expect(told).toMatch(extra);
  const answers: string[] = [];
  for (const port of ports) answers.push(await ask(port));
  expect(answers).toEqual(["answer on 3\n", "answer on 4\n", "answer on 5\n"]);
  expect((await launched.ended).status).toBe(7);
}

describe("three activated sockets", () => {
  test("fly: the app has them, with their names", async () => {
    const ports = await threePorts();
    const run = ["--insecure-options=image", "run", "--stage1-name=coreos.com/rkt/stage1-fly", image];
    const launched = launchRkt(rkt, run, { sockets: ports.map((port) => `127.0.0.1:${port}`) });
    await check(launched, ports, "name0:name1:name2", /^extra \S+\/pods\/run\/[0-9a-f-]+$/m); // the pod's lock, and nothing else
  });

  for (const address of ["0.0.0.0", "127.0.0.1"]) {
    test(`nspawn: each goes to the port that it was opened for, at ${address}, past the pod's own network`, async () => {
      const ports = await threePorts();
      // Opened in another order than the image's ports: the host's numbers tell which is which.
      const [first, second, third] = ports;
      const mapping = [`--port=first:${second}`, `--port=second:${third}`, `--port=third:${first}`];
      const run = ["--insecure-options=image", "run", ...mapping, image, "--name=server"];
      const launched = launchRkt(rkt, run, { sockets: [second, third, first].map((port) => `${address}:${port}`) });
      await check(launched, [second, third, first], "server.socket:server.socket:server.socket", /^extra $/m);
    });
  }

  test("nspawn: without any, the pod's systemd opens them in the pod's network", async () => {
    const uuidFile = join(rkt.dir, "uuid");
    const running = rkt.start(["--insecure-options=image", "run", `--uuid-file-save=${uuidFile}`, image]);
    await until("the app's start", () => /^up\r?$/m.test(running.stdout()));
    expect(running.stdout()).toContain("fds 3");
    const [network] = JSON.parse(rkt.ok(["status", "--format=json", readFileSync(uuidFile, "utf8")])).networks;
    const answer = (port: number) =>
      runProgram([
        "python3",
        "-c",
        `import socket; s=socket.create_connection(("${network.ip}", ${port})); print(s.recv(99).decode(), end="")`,
      ]);
    expect([1001, 1002, 1003].map(answer)).toEqual(["answer on 3\n", "answer on 4\n", "answer on 5\n"]);
    expect((await running.ended).status).toBe(7);
  });
});

test("sockets meant for another process are none of a pod's", async () => {
  const run = ["--insecure-options=image", "run", "--stage1-name=coreos.com/rkt/stage1-fly", image, "--exec=/bin/sh"];
  const { stdout } = rkt.run([...run, "--", "-c", "echo fds=$LISTEN_FDS pid=$LISTEN_PID; ls /proc/$$/fd"], {
    env: { LISTEN_FDS: "3", LISTEN_PID: "1", LISTEN_FDNAMES: "a:b:c" },
  });
  expect(stdout).toStartWith("fds= pid=\n0\n1\n");
});
