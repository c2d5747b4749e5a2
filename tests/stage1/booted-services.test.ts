/** Pods as services of a systemd that is process 1: in the background, ready when the app says so, started by a socket, started again. Needs root. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BootedDebian, bootDebian } from "../harness/booted-debian.ts";
import { buildAci } from "../harness/images.ts";
import { perlFiles, perlNotify } from "../harness/perl.ts";
import { until } from "../harness/rkt.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

let files: TemporaryDirectory;
let machine: BootedDebian;
let image: string;
let server: string;
const rkt = (...args: string[]) => ["rkt", "--insecure-options=image", ...args];

beforeAll(async () => {
  files = temporaryDirectory("services");
  buildAci(join(files.path, "app.aci"), {}, perlFiles());
  const answer =
    'open(my $l, "+<&=", 3) or die; while (accept(my $c, $l)) { syswrite($c, "from a pod\\n"); close($c); }';
  const port = { name: "echo", port: 7777, protocol: "tcp", count: 1, socketActivated: true };
  const app = { exec: ["/usr/bin/perl", "-e", answer], user: "0", group: "0", ports: [port] };
  buildAci(join(files.path, "server.aci"), { name: "example.com/server", app }, perlFiles());
  machine = await bootDebian({ binds: { "/opt/files": files.path } });
  image = machine.ok(rkt("fetch", "--full", "/opt/files/app.aci")).trim();
  server = machine.ok(rkt("fetch", "--full", "/opt/files/server.aci")).trim();
});
afterAll(() => {
  machine?.[Symbol.dispose]();
  files[Symbol.dispose]();
});

const property = (unit: string, name: string) =>
  machine.enter(["systemctl", "show", "--value", `--property=${name}`, unit]).trim();

/** A service of the machine, from the shipped example's settings; `words`: what follows `rkt run`. */
function service(name: string, words: readonly string[], settings: readonly string[] = []): void {
  const quoted = words.map(
    (word) => `"${word.replace(/["\\]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$")}"`,
  );
  const example = readFileSync("dist/init/examples/systemd/web.service", "utf8");
  const text = example
    .replace(
      /^ExecStart=.*$/m,
      () => `ExecStart=/usr/local/bin/rkt --insecure-options=image run --pod-name=${name} ${quoted.join(" ")}`,
    )
    .replace(/^ExecStopPost=.*$/m, "")
    .replace("[Install]", () => `${settings.join("\n")}\n\n[Install]`);
  writeFileSync(machine.path(`/etc/systemd/system/${name}.service`), text);
  machine.enter(["systemctl", "daemon-reload"]);
}

test("--detach: a transient unit, ready when rkt comes back; its end is the unit's", async () => {
  const run = ["run", "--detach", "--rm", "--net=none", "--pod-name=back", image, "--exec=/bin/sh", "--", "-c"];
  const uuid = machine.enter(rkt(...run, "echo said; trap 'exit 0' TERM; while :; do sleep 0.1; done")).trim();
  const unit = `rkt-${uuid}.service`;
  expect([property(unit, "ActiveState"), property(unit, "Type"), property(unit, "KillMode")]).toEqual([
    "active",
    "notify",
    "mixed",
  ]);
  expect(property(unit, "Slice")).toBe("machine.slice");
  expect(machine.enter(["rkt", "logs", "back"])).toBe("said\n");
  machine.enter(["systemctl", "stop", unit]);
  expect(machine.enter(["rkt", "list", "--no-legend"]).trim()).toBe("");
  expect(property(unit, "LoadState")).toBe("not-found");
  const wrong = rkt("run", "--detach", "--net=nonesuch", image, "--exec=/bin/true");
  expect(() => machine.enter(wrong)).toThrow("networks not found: nonesuch");
  expect(machine.enter(["rkt", "list", "--no-legend"]).trim()).toBe("");
});

test("Type=notify: systemctl start waits for the word of the app", async () => {
  const script = `sleep 2; open(F, ">", "/v/told"); close(F); ${perlNotify("READY=1")} sleep 300;`;
  const flags = ["--annotation=appc.io/executor/supports-systemd-notify=true", "--mount=volume=v,target=/v"];
  service("telling", [
    "--net=none",
    "--volume=v,kind=host,source=/srv",
    image,
    ...flags,
    "--exec=/usr/bin/perl",
    "--",
    "-e",
    script,
  ]);
  machine.enter(["systemctl", "start", "telling"]);
  expect(existsSync(machine.path("/srv/told"))).toBe(true);
  expect(property("telling", "ActiveState")).toBe("active");
  machine.enter(["systemctl", "stop", "telling"]);
  expect(property("telling", "Result")).toBe("success");
});

test("a socket of systemd's is the app's: the first connection starts the pod", async () => {
  // fly: the machine has no network plugins, and a port needs a network. The other flavors: tests/rules/sockets.test.ts.
  service("echo", ["--stage1-name=coreos.com/rkt/stage1-fly", "--port=echo:127.0.0.1:7777", server], ["Type=exec"]);
  const socket = readFileSync("dist/init/examples/systemd/echo.socket", "utf8");
  writeFileSync(machine.path("/etc/systemd/system/echo.socket"), socket);
  machine.enter(["systemctl", "daemon-reload"]);
  machine.enter(["systemctl", "start", "echo.socket"]);
  expect(property("echo", "ActiveState")).toBe("inactive");
  const ask = "exec 3<>/dev/tcp/127.0.0.1/7777; cat <&3";
  expect(machine.enter(["bash", "-c", ask])).toBe("from a pod\n");
  expect(property("echo", "ActiveState")).toBe("active");
  expect(machine.enter(["bash", "-c", ask])).toBe("from a pod\n");
  machine.enter(["systemctl", "stop", "echo.socket", "echo.service"]);
});

test("a pod that fails is followed by another of its name; a stop is none, and comes to every app in order", async () => {
  const script =
    "[ -e /v/failed ] || { : > /v/failed; exit 7; }; trap 'echo stopped > /v/stopped; exit 0' TERM; echo up > /v/up; while :; do sleep 0.1; done";
  service("again", [
    "--net=none",
    "--volume=v,kind=host,source=/srv",
    image,
    "--mount=volume=v,target=/v",
    "--exec=/bin/sh",
    "--",
    "-c",
    script,
  ]);
  machine.enter(["systemctl", "start", "again"]);
  await until("the second pod", () => existsSync(machine.path("/srv/up")));
  expect(property("again", "NRestarts")).toBe("1");
  machine.enter(["systemctl", "stop", "again"]);
  expect(readFileSync(machine.path("/srv/stopped"), "utf8")).toBe("stopped\n");
  const pods: { state: string; exit_code: number }[] = JSON.parse(machine.enter(["rkt", "list", "--format=json"]));
  expect(pods.some(({ exit_code }) => exit_code === 7)).toBe(true);
  expect(pods.every(({ state }) => state !== "running")).toBe(true);
});
