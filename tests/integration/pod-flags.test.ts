/** What `run`, `prepare` and `run-prepared` refuse: one line, status 254 (or what the reference says), and nothing is left behind. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci } from "../harness/images.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

describe("mistakes on the command line of a pod", () => {
  let rkt: TestRkt;
  let image: string;
  const rest = ["--insecure-options=image"];

  beforeAll(() => {
    rkt = testRkt();
    const aci = join(rkt.dir, "app.aci");
    const ports = [{ name: "web", protocol: "tcp", port: 80, count: 1, socketActivated: false }];
    buildAci(aci, { app: { exec: ["/bin/true"], user: "0", group: "0", ports } });
    image = rkt.ok([...rest, "fetch", "--full", aci]).trim();
    writeFileSync(join(rkt.dir, "pod.json"), JSON.stringify({ acKind: "PodManifest", acVersion: "1.30.0", apps: [] }));
    writeFileSync(join(rkt.dir, "env"), "A=1\n# comment\n\nA=2\n");
  });
  afterAll(() => rkt[Symbol.dispose]());

  const cases: [string, string[], string][] = [
    ["no image", ["run"], "must provide at least one image or specify the pod manifest"],
    ["arguments without an image", ["run", "--", "x"], "an image is required before any app arguments"],
    [
      "two sets of arguments",
      ["run", "IMAGE", "--", "a", "---", "--", "b"],
      "only one set of app arguments allowed per image",
    ],
    ["an app's flag before the image", ["run", "--memory=1G", "IMAGE"], "--memory must follow an image"],
    [
      "a flag given twice",
      ["run", "IMAGE", "--exec=/a", "--exec=/b"],
      "--exec specified multiple times for the same image",
    ],
    ["two stage1s", ["run", "--stage1-name=a", "--stage1-path=/b", "IMAGE"], "are mutually exclusive"],
    ["two pull policies", ["run", "--store-only", "--no-store", "IMAGE"], "both --store-only and --no-store specified"],
    ["an unknown pull policy", ["run", "--pull-policy=maybe", "IMAGE"], "expected never, new or update"],
    ["a volume twice", ["run", "--volume=a,kind=empty", "--volume=a,kind=empty", "IMAGE"], 'duplicate volume name "a"'],
    [
      "a mount without a volume",
      ["run", "IMAGE", "--mount=volume=a,target=/a"],
      'dangling mount point "/a": volume "a" not found',
    ],
    [
      "a size for an empty volume",
      ["run", "--volume=a,kind=empty,size=1M", "IMAGE"],
      "size for empty volume cannot be set",
    ],
    ["a key twice", ["run", "--set-env=A=1", "--set-env=A=2", "IMAGE"], 'key "A" already set'],
    ["a key twice in a file", ["run", "--set-env-file=DIR/env", "IMAGE"], 'key "A" already set (line 4'],
    [
      "both capability sets",
      ["run", "IMAGE", "--caps-retain=CAP_KILL", "--caps-remove=CAP_CHOWN"],
      "cannot use both --caps-retain and --caps-remove",
    ],
    [
      "too little memory",
      ["run", "IMAGE", "--memory=16"],
      "memory limit of 16 bytes too low. Try a reasonable value, such as --memory=16M",
    ],
    ["too little memory for the pod", ["run", "--pod-memory=16", "IMAGE"], "memory limit of 16 bytes too low"],
    ["shares out of range", ["run", "IMAGE", "--cpu-shares=1"], "expected a number from 2 to 262144"],
    ["a score out of range", ["run", "IMAGE", "--oom-score-adj=2000"], "expected a number from -1000 to 1000"],
    ["no processes at all", ["run", "IMAGE", "--pids=0"], "must be at least 1"],
    ["a setting of the machine", ["run", "--sysctl=vm.swappiness=1", "IMAGE"], 'Cannot set "vm.swappiness" for a pod'],
    ["a filter without a mode", ["run", "IMAGE", "--seccomp=chroot"], "expected mode=retain or mode=remove"],
    ["a mode of output", ["run", "IMAGE", "--stdout=file"], "expected log, null, stream, tty"],
    ["a relative directory", ["run", "IMAGE", "--working-dir=tmp"], "expected an absolute path"],
    ["a group that is none", ["run", "IMAGE", "--supplementary-gids=a b"], "expected numbers, names or absolute paths"],
    ["two apps of a name", ["run", "IMAGE", "---", "IMAGE"], "error: multiple apps with name busybox"],
    [
      "two apps on one terminal",
      ["run", "--interactive", "IMAGE", "---", "IMAGE", "--name=b"],
      "interactive option only supports one image",
    ],
    ["an unknown port", ["run", "--port=ftp:21", "IMAGE"], 'port name "ftp" could not be found in any apps'],
    [
      "a port without a network",
      ["run", "--net=none", "--port=web:80", "IMAGE"],
      "--port flag does not work with 'none' networking",
    ],
    [
      "a port on the host's network",
      ["run", "--net=host", "--port=web:80", "IMAGE"],
      "--port flag does not work with 'host' networking",
    ],
    ["a network without a name", ["run", "--net=", "IMAGE"], "netname must not be empty"],
    ["an unknown IPC mode", ["run", "--ipc=shared", "IMAGE"], "unknown value for --ipc parameter: shared"],
    ["a host name that is none", ["run", "--hostname=a b", "IMAGE"], "for --hostname"],
    ["a name server that is none", ["run", "--dns=example.com", "IMAGE"], "expected an IP address, host or none"],
    [
      "a name server beside none",
      ["run", "--dns=none,192.0.2.1", "IMAGE"],
      'Cannot use --dns: "host" and "none" stand alone',
    ],
    [
      "a search domain beside the host's file",
      ["run", "--dns=host", "--dns-search=example.com", "IMAGE"],
      "Cannot call --dns-opt, --dns-search, or --dns-domain with --dns=host",
    ],
    ["a hosts entry", ["run", "--hosts-entry=example.com", "IMAGE"], "expected IP=NAME, or host"],
    [
      "metadata without a network",
      ["run", "--mds-register", "--net=none", "IMAGE"],
      "--mds-register flag does not work with --net=none",
    ],
    ["metadata without a service", ["run", "--mds-register", "IMAGE"], "could not reach the metadata service."],
    [
      "a manifest and an image",
      ["run", "--pod-manifest=DIR/pod.json", "IMAGE"],
      "conflicting flags set with --pod-manifest (see --help)",
    ],
    [
      "a manifest and a volume",
      ["run", "--pod-manifest=DIR/pod.json", "--volume=a,kind=empty"],
      "conflicting flags set with --pod-manifest",
    ],
    [
      "a manifest and a limit",
      ["prepare", "--pod-manifest=DIR/pod.json", "--pod-pids=5"],
      "conflicting flags set with --pod-manifest",
    ],
    ["an empty manifest", ["run", "--pod-manifest=DIR/pod.json"], "pod must contain at least one application"],
    ["no manifest", ["run", "--pod-manifest=DIR/none.json"], "Cannot read the pod manifest"],
    ["no UUID", ["run-prepared"], "must provide exactly one UUID"],
    ["an unknown pod", ["run-prepared", "ffffffff"], 'no matches found for "ffffffff"'],
  ];
  test.each(cases)("%s", (_name, words, message) => {
    const args = words.map((word) => (word === "IMAGE" ? image : word.replace("DIR", rkt.dir)));
    const result = rkt.run([...rest, ...args]);
    expect(result.stderr).toContain(message);
    expect(result.status).toBe(254);
    expect(rkt.pods()).toEqual([]);
  });

  test("a manifest that leaves an app out runs the image's own; one with a dangling mount makes no pod", () => {
    const file = join(rkt.dir, "image-app.json");
    const write = (app: object) =>
      writeFileSync(
        file,
        JSON.stringify({
          acKind: "PodManifest",
          acVersion: "1.30.0",
          apps: [{ name: "a", image: { id: image }, ...app }],
        }),
      );
    write({ mounts: [{ volume: "none", path: "/none" }] });
    const dangling = rkt.run([...rest, "run", "--net=none", "--pod-manifest", file]);
    expect(dangling.stderr).toContain('dangling mount point "/none": volume "none" not found');
    expect(rkt.pods()).toEqual([]);
    write({});
    expect(rkt.run([...rest, "run", "--net=none", "--pod-manifest", file]).status).toBe(0);
    rkt.ok(["gc", "--grace-period=0s"]);
  });

  test("a pod in a file: what prepare wrote there, run-prepared, enter, attach, export and rm read", () => {
    const file = join(rkt.dir, "uuid");
    const from = `--uuid-file=${file}`;
    const script = ["--exec=/bin/sh", "--", "-c", "echo ran > /made"];
    const printed = rkt.ok([...rest, "prepare", "--quiet", `--uuid-file-save=${file}`, image, ...script]);
    expect(printed).toBe(`${readFileSync(file, "utf8")}\n`);
    for (const words of [
      ["enter", from, "/bin/true"],
      ["attach", from],
    ] as const)
      expect(rkt.run(words).stderr).toContain(`pod "${printed.trim()}" isn't currently running`);
    rkt.ok(["run-prepared", "--net=none", from]);
    const out = join(rkt.dir, "out.aci");
    rkt.ok(["export", from, out]);
    expect(runProgram(["tar", "-xzOf", out, "rootfs/made"])).toBe("ran\n");
    rkt.ok(["rm", from]);
    expect(rkt.run(["run-prepared", `${from}.not-there`])).toMatchObject({
      status: 254,
      stderr: expect.stringContaining("unable to resolve UUID from file"),
    });
    expect(rkt.run(["run-prepared", from, "another"]).stderr).toContain("must provide exactly one UUID");
  });

  test("a pod is prepared, cannot be prepared again, runs once, with its own IPC mode", () => {
    const uuid = rkt
      .ok([
        ...rest,
        "prepare",
        "--quiet",
        "--pod-pids=60",
        "--sysctl=net.core.somaxconn=99",
        image,
        "--exec=/bin/sh",
        "--",
        "-c",
        "cat /proc/sys/net/core/somaxconn; ls -l /proc/self/ns/ipc; exit 3",
      ])
      .trim();
    expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
    const manifest = JSON.parse(rkt.ok(["cat-manifest", uuid]));
    expect(manifest.isolators).toEqual([
      { name: "resource/pids", value: { limit: "60" } },
      { name: "os/unix/sysctl", value: { "net.core.somaxconn": "99" } },
    ]);
    const result = rkt.run([...rest, "run-prepared", "--net=none", "--ipc=parent", uuid]);
    expect(result.stdout).toMatch(/^99\r?\n/);
    // rkt 1.x took the flag here and forgot it.
    expect(result.stdout).toContain(readlinkSync("/proc/self/ns/ipc"));
    expect(result.status).toBe(3);
    const again = rkt.run(["run-prepared", uuid]);
    expect(again.stderr).toContain("is not prepared");
    expect(again.status).toBe(254);
  });
});
