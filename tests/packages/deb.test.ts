/**
 * The Debian package in Debians that are booted: installed, upgraded, its units at work, removed, purged. Needs root, what tools/setup.sh sets up for "test deb", and
 * build/rkt_*.deb: `make test-deb` makes all of it.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type BootedDebian, bootDebian } from "../harness/booted-debian.ts";
import { buildAci } from "../harness/images.ts";
import { perlFiles, perlNotify } from "../harness/perl.ts";
import { until } from "../harness/rkt.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
const debianVersion = version.replace("-", "~");
const architecture = runProgram(["dpkg", "--print-architecture"]).trim();
const PACKAGE = `build/rkt_${debianVersion}_${architecture}.deb`;

let files: TemporaryDirectory;
let next: string;

beforeAll(() => {
  files = temporaryDirectory("packages");
  copyFileSync(PACKAGE, join(files.path, "rkt.deb"));
  // The same again with a later version, to upgrade to.
  next = buildNext();
  copyFileSync(next, join(files.path, "next.deb"));
  buildAci(join(files.path, "app.aci"), {}, perlFiles());
  const answer =
    'open(my $l, "+<&=", 3) or die; while (accept(my $c, $l)) { syswrite($c, "from a pod\\n"); close($c); }';
  const port = { name: "echo", port: 7777, protocol: "tcp", count: 1, socketActivated: true };
  const app = { exec: ["/usr/bin/perl", "-e", answer], user: "0", group: "0", ports: [port] };
  buildAci(join(files.path, "server.aci"), { name: "example.com/server", app }, perlFiles());
});
afterAll(() => {
  runProgram(["rm", "-f", next]);
  files[Symbol.dispose]();
});

/** Its path. Not compressed: that takes most of the time. */
function buildNext(): string {
  const words = ["env", "DEB_COMPRESSION_LEVEL=0", "tools/build-deb.sh", `${debianVersion}+next`];
  return runProgram(words).trim().split("\n").at(-1) ?? "";
}

describe("the package itself", () => {
  test("lintian finds no error", () => {
    const { status, stdout, stderr } = spawnSync("lintian", ["--allow-root", "--fail-on=error", PACKAGE], {
      encoding: "utf8",
    });
    expect({ status, errors: `${stdout}${stderr}`.split("\n").filter((line) => line.startsWith("E:")) }).toEqual({
      status: 0,
      errors: [],
    });
  });

  test("the same commit gives the same bytes", () => {
    runProgram(["cmp", buildNext(), join(files.path, "next.deb")]);
  });

  test("its settings are a configuration file", () => {
    expect(runProgram(["dpkg-deb", "--info", PACKAGE, "conffiles"])).toBe("/etc/default/rkt\n");
  });
});

test("manual pages are without warnings of groff", () => {
  const { stdout, stderr } = spawnSync(
    "sh",
    [
      "-c",
      'for page in build/man/*.1; do man --warnings -E UTF-8 -l -Tutf8 -Z "$page" > /dev/null || echo "$page"; done',
    ],
    { encoding: "utf8", env: { ...process.env, LC_ALL: "C.UTF-8", MANWIDTH: "80", MANROFFSEQ: "" } },
  );
  expect(`${stdout}${stderr}`).toBe("");
  expect(runProgram(["sh", "-c", "ls build/man | wc -l"]).trim()).not.toBe("0");
});

describe.each(["bookworm", "trixie"])("in Debian %s", (debian) => {
  let machine: BootedDebian;
  let image: string;
  let server: string;

  beforeAll(async () => {
    machine = await bootDebian({ debian, binds: { "/opt/files": files.path } });
    // The tests' own: here the package's counts.
    machine.enter(["rm", "/usr/local/bin/rkt"]);
  });
  afterAll(() => machine?.[Symbol.dispose]());

  const show = (unit: string, name: string) =>
    machine.enter(["systemctl", "show", "--value", `--property=${name}`, unit]).trim();
  const dpkg = (...words: string[]) => machine.run(["dpkg", ...words], { env: { DEBIAN_FRONTEND: "noninteractive" } });
  const pods = () => machine.enter(["rkt", "list", "--no-legend", "--full"]).trim();

  /** The shipped example, with other words after `rkt run` and other settings. */
  function service(name: string, words: readonly string[], settings: readonly string[] = []): void {
    const quoted = words.map(
      (word) => `"${word.replace(/["\\]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$")}"`,
    );
    const text = readFileSync("dist/init/examples/systemd/web.service", "utf8")
      .replace(
        /^ExecStart=.*$/m,
        () => `ExecStart=/usr/bin/rkt --insecure-options=image run --pod-name=${name} ${quoted.join(" ")}`,
      )
      .replace(
        "[Install]",
        () => `${settings.filter((line) => !/^(After|Requires)=/.test(line)).join("\n")}\n\n[Install]`,
      )
      .replace("[Unit]", () => ["[Unit]", ...settings.filter((line) => /^(After|Requires)=/.test(line))].join("\n"));
    writeFileSync(machine.path(`/etc/systemd/system/${name}.service`), text);
    machine.enter(["systemctl", "daemon-reload"]);
  }
  const shell = (script: string) => [image, "--mount=volume=v,target=/v", "--exec=/bin/sh", "--", "-c", script];
  const VOLUME = ["--net=none", "--volume=v,kind=host,source=/srv"];

  test("it installs: users, directories, the timer; the binary says its version", () => {
    expect(dpkg("--install", "/opt/files/rkt.deb")).toMatchObject({ status: 0 });
    expect(machine.enter(["rkt", "version"])).toStartWith(`rkt Version: ${version}\n`);
    expect(machine.enter(["id", "-nG", "rkt-fetch"])).toBe("rkt-fetch rkt\n");
    const modes = machine.enter(["stat", "-c", "%n %a %U %G", "/var/lib/rkt", "/var/lib/rkt/cas/blob", "/etc/rkt"]);
    expect(modes).toBe(
      "/var/lib/rkt 2750 root rkt\n/var/lib/rkt/cas/blob 2770 root rkt\n/etc/rkt 2775 root rkt-admin\n",
    );
    expect([show("rkt-gc.timer", "ActiveState"), show("rkt-gc.timer", "UnitFileState")]).toEqual(["active", "enabled"]);
    expect(machine.run(["systemctl", "is-enabled", "rkt-api-tcp.socket"]).stdout).toBe("disabled\n");
    expect(
      machine
        .enter(["dpkg", "--verify", "rkt"])
        .split("\n")
        .filter((line) => !/ \/usr\/share\/(doc|man)\//.test(line)),
    ).toEqual([""]);
    const fetch = (name: string) =>
      machine.enter(["rkt", "--insecure-options=image", "fetch", "--full", `/opt/files/${name}.aci`]).trim();
    image = fetch("app");
    server = fetch("server");
  });

  test("pods are services: in their order, ready when their app says so; journald, machinectl, systemctl stop", () => {
    const ready = `sleep 1; open(F, ">", "/v/first"); close(F); ${perlNotify("READY=1")} print STDERR "first is up\\n"; sleep 300;`;
    const notify = "--annotation=appc.io/executor/supports-systemd-notify=true";
    service("first", [
      ...VOLUME,
      image,
      notify,
      "--mount=volume=v,target=/v",
      "--exec=/usr/bin/perl",
      "--",
      "-e",
      ready,
    ]);
    const stop = "trap 'echo stopped > /v/stopped; exit 0' TERM";
    service(
      "second",
      [
        ...VOLUME,
        ...shell(`[ -e /v/first ] && echo after > /v/second; ${stop}; echo second speaks; while :; do sleep 0.1; done`),
      ],
      ["Requires=first.service", "After=first.service"],
    );
    machine.enter(["systemctl", "start", "second"]);
    expect([show("first", "ActiveState"), show("second", "ActiveState")]).toEqual(["active", "active"]);
    expect(readFileSync(machine.path("/srv/second"), "utf8")).toBe("after\n");
    const [uuid = ""] = pods().split("\t");
    expect(machine.enter(["machinectl", "list", "--no-legend"])).toContain(`rkt-${uuid}`);
    expect(machine.enter(["journalctl", "--unit=second", "--output=cat"])).toContain("second speaks");
    expect(show("second", "ControlGroup")).toBe("/machine.slice/second.service");
    machine.enter(["systemctl", "stop", "second"]);
    expect(show("second", "Result")).toBe("success");
    expect(readFileSync(machine.path("/srv/stopped"), "utf8")).toBe("stopped\n");
    machine.enter(["systemctl", "stop", "first"]);
  });

  test("a pod that fails is started again", async () => {
    service("again", [
      ...VOLUME,
      ...shell("[ -e /v/failed ] || { : > /v/failed; exit 7; }; echo up > /v/up; sleep 300"),
    ]);
    machine.enter(["systemctl", "start", "again"]);
    await until("the second pod", () => existsSync(machine.path("/srv/up")));
    expect(show("again", "NRestarts")).toBe("1");
    machine.enter(["systemctl", "stop", "again"]);
  });

  test("a socket starts a pod, in a network of its own", () => {
    service("echo", ["--port=echo:127.0.0.1:7777", server], ["Type=exec"]);
    const socket = readFileSync("dist/init/examples/systemd/echo.socket", "utf8");
    writeFileSync(machine.path("/etc/systemd/system/echo.socket"), socket);
    machine.enter(["systemctl", "daemon-reload"]);
    machine.enter(["systemctl", "start", "echo.socket"]);
    expect(show("echo", "ActiveState")).toBe("inactive");
    expect(machine.enter(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7777; cat <&3"])).toBe("from a pod\n");
    expect(show("echo", "ActiveState")).toBe("active");
    machine.enter(["systemctl", "stop", "echo.socket", "echo.service"]);
  });

  test("the API service answers at its socket", () => {
    machine.enter(["systemctl", "start", "rkt-api-tcp.socket"]);
    expect(show("rkt-api.service", "ActiveState")).toBe("inactive");
    // The client's preface of HTTP/2; the server's begins with its settings.
    const ask =
      "exec 3<>/dev/tcp/127.0.0.1/15441; printf 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\\0\\0\\0\\4\\0\\0\\0\\0\\0' >&3; head -c 9 <&3 | od -An -tx1";
    expect(machine.enter(["bash", "-c", ask]).trim().split(" ").slice(3, 4)).toEqual(["04"]);
    expect(show("rkt-api.service", "ActiveState")).toBe("active");
    machine.enter(["systemctl", "stop", "rkt-api-tcp.socket", "rkt-api.service"]);
  });

  test("the metadata service is started by the pod that registers, and answers it", () => {
    machine.enter(["systemctl", "start", "rkt-metadata.socket"]);
    const ask = "wget -q -O - $AC_METADATA_URL/acMetadata/v1/pod/uuid";
    const words = ["--net=host", "--uuid-file-save=/run/asking", image, "--exec=/bin/sh", "--", "-c", ask];
    const said = machine.ok(["rkt", "--insecure-options=image", "run", "--mds-register", ...words]);
    expect(said).toContain(readFileSync(machine.path("/run/asking"), "utf8").trim());
    expect(show("rkt-metadata.service", "ActiveState")).toBe("active");
    machine.enter(["systemctl", "stop", "rkt-metadata.socket", "rkt-metadata.service"]);
    expect(existsSync(machine.path("/run/rkt/metadata-svc.sock"))).toBe(false);
  });

  test("the timer collects what is over, when the settings say so", async () => {
    expect(pods()).not.toBe("");
    const settings = machine.path("/etc/default/rkt");
    writeFileSync(settings, readFileSync(settings, "utf8").replace("GRACE_PERIOD=24h", "GRACE_PERIOD=0s"));
    machine.enter(["systemctl", "restart", "rkt-gc.timer"]);
    await until("gc", () => pods() === "");
  });

  test("while pods run it upgrades, keeping settings, and is not removed", async () => {
    service("held", [...VOLUME, ...shell("sleep 300")]);
    machine.enter(["systemctl", "start", "held"]);
    const before = show("held", "MainPID");
    expect(dpkg("--install", "/opt/files/next.deb")).toMatchObject({ status: 0 });
    expect(machine.enter(["dpkg-query", "-W", "rkt"])).toBe(`rkt\t${debianVersion}+next\n`);
    expect(readFileSync(machine.path("/etc/default/rkt"), "utf8")).toContain("GRACE_PERIOD=0s");
    expect([show("held", "MainPID"), show("held", "ActiveState"), show("rkt-gc.timer", "ActiveState")]).toEqual([
      before,
      "active",
      "active",
    ]);
    const [uuid = ""] = pods().split("\t");
    const refused = dpkg("--remove", "rkt");
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain(`rkt: cannot be removed: pods are running:\n  ${uuid}\n`);
    expect(machine.enter(["rkt", "version"])).toStartWith("rkt Version: ");
    expect([show("held", "ActiveState"), show("rkt-gc.timer", "ActiveState")]).toEqual(["active", "active"]);
    machine.enter(["systemctl", "stop", "held"]);
  });

  test("it is removed: images and settings stay; and purged: nothing stays but users", () => {
    expect(dpkg("--remove", "rkt")).toMatchObject({ status: 0 });
    expect(existsSync(machine.path("/usr/bin/rkt"))).toBe(false);
    expect(show("rkt-gc.timer", "ActiveState")).toBe("inactive");
    expect(machine.enter(["sh", "-c", "find /var/lib/rkt/pods -mindepth 2 | wc -l"]).trim()).toBe("0");
    expect(machine.enter(["sh", "-c", "ls /var/lib/rkt/cas/images | wc -l"]).trim()).not.toBe("0");
    expect(dpkg("--purge", "rkt")).toMatchObject({ status: 0 });
    for (const path of ["/var/lib/rkt", "/etc/rkt", "/etc/default/rkt", "/usr/lib/rkt"])
      expect([path, existsSync(machine.path(path))]).toEqual([path, false]);
    // What is named after rkt: nothing but the test's own.
    const traces = machine.enter(["sh", "-c", "find /etc /usr /var -xdev -name '*rkt*' -o -lname '*rkt*'"]);
    expect(traces).toBe("");
    expect(machine.enter(["id", "-nG", "rkt-fetch"])).toBe("rkt-fetch rkt\n");
    expect(dpkg("--install", "/opt/files/rkt.deb")).toMatchObject({ status: 0 });
  });
});

test("package names end with what they hold", () => {
  expect(basename(PACKAGE)).toMatch(/^rkt_2\.\d+\.\d+(~[a-z0-9.]+)?_(amd64|arm64)\.deb$/);
});
