/**
 * Wrong command lines: each ends with 254 and one line that says what is wrong with what (and at most a hint), and leaves nothing half done: no pod, mount, network or
 * cgroup. Needs root.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildAci, buildBusyboxOci, packOciArchive } from "../harness/images.ts";
import { type Census, type CensusScope, censusScope, leftBehind, takeCensus } from "../harness/leaks.ts";
import { mountsBelow, type TestRkt, testRkt } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let image = "";
let scope: CensusScope;
let before: Census;
let files = 0;

/** Words of a case: `$D` is the test's directory, `$I` the image's id. */
type Case = readonly [name: string, words: string, message: string];

const RUN = "--insecure-options=image run";
const FLY = `${RUN} --stage1-name=coreos.com/rkt/stage1-fly --volume=data,kind=empty $I`;
const NSPAWN = `${RUN} --net=none $I`;
const SHELL = "--exec=/bin/sh -- -c exit";
const FETCH = "--insecure-options=image fetch";

const IMAGES: readonly Case[] = [
  ["no image", "run", "must provide at least one image or specify the pod manifest"],
  ["no image to prepare", "prepare", "must provide at least one image or specify the pod manifest"],
  ["no image to fetch", "fetch", "must provide at least one image"],
  ["a file that is missing", `${RUN} /nowhere/app.aci`, 'Cannot open "/nowhere/app.aci": no such file or directory'],
  [
    "a relative file that is missing",
    `${RUN} ./nowhere.aci`,
    'Cannot open "$D/nowhere.aci": no such file or directory',
  ],
  [
    "a directory instead of a file",
    `${FETCH} $D/directory.aci`,
    'Cannot read "$D/directory.aci": it is not a regular file',
  ],
  ["a text instead of an archive", `${FETCH} $D/text.aci`, 'Cannot fetch image "$D/text.aci": Cannot read the image: '],
  ["an empty file", `${FETCH} $D/empty.aci`, 'Cannot fetch image "$D/empty.aci": Cannot read the image: '],
  ["half an archive", `${FETCH} $D/cut.aci`, 'Cannot fetch image "$D/cut.aci": '],
  ["a name with capitals", `${RUN} Example.com/App`, 'Cannot use "Example.com/App" in an image name: '],
  ["a name of nothing but signs", `${RUN} !!`, 'Cannot use "!!" in an image name: '],
  ["an unknown hash", `${RUN} sha512-${"0".repeat(64)}`, `no image IDs found for "sha512-${"0".repeat(64)}"`],
  [
    "a hash that is none",
    `${RUN} sha512-zzzz`,
    'invalid image string "sha512-zzzz": expected sha512- and 2 to 128 hexadecimal digits',
  ],
  [
    "a name that is not in the store",
    `${RUN} --pull-policy=never example.com/nothing`,
    'unable to fetch image from image name "example.com/nothing',
  ],
  [
    "a docker name that is not in the store",
    `${RUN} --pull-policy=never docker://busybox`,
    'unable to fetch docker image from URL "docker://busybox"',
  ],
  [
    "an unknown pull policy",
    `${RUN} --pull-policy=always $I`,
    'Cannot use "always" for --pull-policy: expected never, new or update',
  ],
  [
    "a registry where nobody answers",
    "--insecure-options=image,http fetch docker://127.0.0.1:1/app",
    'Cannot reach "http://127.0.0.1:1/v2/app/manifests/latest": the connection was refused',
  ],
  [
    "a server where nobody answers",
    "--insecure-options=image,http fetch http://127.0.0.1:1/app.aci",
    'Cannot reach "http://127.0.0.1:1/app.aci": the connection was refused',
  ],
  [
    "plain http without leave",
    `${FETCH} http://127.0.0.1:1/app.aci`,
    'Cannot fetch "http://127.0.0.1:1/app.aci": plain http is not allowed',
  ],
  [
    "an unknown scheme",
    `${FETCH} ftp://example.com/app.aci`,
    'invalid image string "ftp://example.com/app.aci": expected docker://, ',
  ],
  [
    "a repository with capitals",
    `${FETCH} docker://UPPER/App`,
    'invalid image string "docker://UPPER/App": "UPPER/App" is no repository name',
  ],
  [
    "a digest that is too short",
    `${FETCH} docker://127.0.0.1:1/app@sha256:123`,
    'Cannot use "sha256:123" as a digest: ',
  ],
  ["a layout that is missing", `${FETCH} oci:/nowhere`, 'Cannot open "/nowhere": no such file or directory'],
  [
    "a layout that is none",
    `${FETCH} oci:$D/directory.aci`,
    'Cannot fetch image "$D/directory.aci": Cannot read the image: it holds no file "oci-layout"',
  ],
  [
    "an unknown name in a layout",
    `${FETCH} oci:$D/layout:nothing`,
    'Cannot find an image named "nothing" in the layout "$D/layout"',
  ],
  [
    "a text as oci-archive",
    `${FETCH} oci-archive:$D/text.aci`,
    'Cannot fetch image "$D/text.aci": Cannot read the image: ',
  ],
  [
    "an OCI archive as docker-archive",
    `${FETCH} docker-archive:$D/archive.tar`,
    'Cannot fetch image "$D/archive.tar": Cannot read the image: the archive holds no "manifest.json"',
  ],
  ["content that is not what its digest says", `${FETCH} oci:$D/tampered`, 'Cannot fetch image "$D/tampered": '],
  [
    "an image without a signature",
    "fetch $D/app.aci",
    'Cannot verify image "example.com/busybox": it has no signature, expected one beside it',
  ],
  [
    "a signature that is missing",
    "fetch $D/app.aci --signature=/nowhere.asc",
    'error opening signature file: "/nowhere.asc" cannot be read',
  ],
  [
    "a text as signature",
    "fetch $D/app.aci --signature=$D/text.aci",
    "keystore: no valid signatures found in signature file",
  ],
  ["an image without a program", `${RUN} example.com/noexec`, "has no app section and --exec argument is not provided"],
];

const PODS: readonly Case[] = [
  [
    "a volume without a kind",
    `${RUN} --volume=data,source=/tmp $I`,
    'Cannot read the volume "data,source=/tmp": unrecognized volume kind: ',
  ],
  [
    "a volume of an unknown kind",
    `${RUN} --volume=data,kind=nfs,source=/tmp $I`,
    'Cannot read the volume "data,kind=nfs,source=/tmp": unrecognized volume kind: ',
  ],
  [
    "a volume with a relative source",
    `${RUN} --volume=data,kind=host,source=tmp $I`,
    'Cannot read the volume "data,kind=host,source=tmp": source for host volume must be absolute path',
  ],
  [
    "a volume with a bad name",
    `${RUN} --volume=Da_ta,kind=host,source=/tmp $I`,
    'Cannot read the volume "Da_ta,kind=host,source=/tmp": name: ACName must contain only',
  ],
  [
    "a volume with a bad truth",
    `${RUN} --volume=data,kind=host,source=/tmp,readOnly=maybe $I`,
    'Cannot use "data,kind=host,source=/tmp,readOnly=maybe" for --volume: strconv.ParseBool: parsing "maybe"',
  ],
  [
    "a volume with a bad mode",
    `${RUN} --volume=data,kind=empty,mode=99 $I`,
    'Cannot read the volume "data,kind=empty,mode=99": mode for empty volume must be octal',
  ],
  [
    "a volume with an unknown parameter",
    `${RUN} --volume=data,kind=empty,color=red $I`,
    'Cannot use "data,kind=empty,color=red" for --volume: unknown volume parameter "color"',
  ],
  [
    "a volume given twice",
    `${RUN} --volume=data,kind=host,source=/tmp --volume=data,kind=empty $I`,
    'duplicate volume name "data"',
  ],
  [
    "a volume of what is not there",
    `${NSPAWN} --volume=data,kind=host,source=/nowhere/x ${SHELL}`,
    'Cannot use "/nowhere/x" for volume "data": no such file or directory',
  ],
  [
    "a mount point that no volume fills, under fly",
    `${RUN} --stage1-name=coreos.com/rkt/stage1-fly $I ${SHELL}`,
    'missing volume for mountpoint "data"',
  ],
  ["a mount without a volume", `${RUN} --mount=target=/x $I`, 'Cannot use "target=/x" for --mount: volume must be set'],
  [
    "a mount of an unknown volume",
    `${NSPAWN} --mount=volume=nothing,target=/x ${SHELL}`,
    'dangling mount point "/x": volume "nothing" not found',
  ],
  ["a mount that is nonsense", `${RUN} --mount=nonsense $I`, 'unknown mount parameter "nonsense"'],
  ["an unknown port", `${RUN} --port=nothing:8080 $I ${SHELL}`, 'port name "nothing" could not be found in any apps'],
  ["a port without a number", `${RUN} --port=http $I`, '"http" is not in name:[ip:]port format'],
  [
    "a port with a word for a number",
    `${RUN} --port=http:x $I`,
    'Cannot use "http:x" for --port: "x" is not a valid port number',
  ],
  [
    "a port beyond 65535",
    `${RUN} --port=http:70000 $I`,
    'Cannot use "http:70000" for --port: "70000" is not a valid port number',
  ],
  [
    "a port at a bad address",
    `${RUN} --port=http:999.1.1.1:80 $I`,
    'Cannot use "http:999.1.1.1:80" for --port: "999.1.1.1" is not a valid IP',
  ],
  [
    "a port of the host for two",
    `${RUN} --port=http:8080 --port=alt:8080 $I ${SHELL}`,
    "port tcp-0.0.0.0:8080 already mapped to pod port 80",
  ],
  ["a port without a network", `${NSPAWN} --port=http:8080`, "--port flag does not work with 'none' networking"],
  [
    "a port in the host's network",
    `${RUN} --net=host --port=http:8080 $I`,
    "--port flag does not work with 'host' networking",
  ],
  ["an unknown network", `${RUN} --net=nothing $I ${SHELL}`, "networks not found: nothing"],
  [
    "a network with bad arguments",
    `${RUN} --net=default:IP $I ${SHELL}`,
    'network "default" provided with invalid arguments: "IP"',
  ],
  [
    "an unknown user",
    `${NSPAWN} --user=nobody-here ${SHELL}`,
    'Cannot find user "nobody-here" of the app: the image\'s "/etc/passwd" has no such name',
  ],
  ["an unknown user under fly", `${FLY} --user=nobody-here ${SHELL}`, 'Cannot find user "nobody-here" of the app'],
  ["an unknown group", `${NSPAWN} --group=nobody-here ${SHELL}`, 'Cannot find group "nobody-here" of the app'],
  [
    "a user by a file that is missing",
    `${NSPAWN} --user=/nowhere ${SHELL}`,
    'Cannot find user "/nowhere" of the app: the image has no such file',
  ],
  [
    "a program that is missing",
    `${NSPAWN} --exec=/nowhere/program`,
    'Cannot start app "busybox": unable to open "/nowhere/program": No such file or directory',
  ],
  ["a program that is in no directory of PATH", `${NSPAWN} --exec=program`, 'Unable to find "program" in "'],
  [
    "a program that is missing, under fly",
    `${FLY} --exec=/nowhere/program`,
    'Cannot start app "busybox": unable to open "/nowhere/program"',
  ],
  ["a directory as program", `${FLY} --exec=/bin`, 'Cannot start app "busybox": "/bin" is no regular file'],
  [
    "a relative working directory",
    `${RUN} $I --working-dir=x`,
    'Cannot use "x" for --working-dir: expected an absolute path',
  ],
  [
    "a working directory that is missing, under fly",
    `${FLY} --working-dir=/nowhere ${SHELL}`,
    'Cannot start app "busybox": its working directory "/nowhere" does not exist in the image',
  ],
  [
    "a bad name of an app",
    `${RUN} $I --name=A_b`,
    'Cannot use "A_b" for --name: expected lower-case letters, digits and "-"',
  ],
  ["two apps of one name", `${NSPAWN} --name=a --- $I --name=a`, "error: multiple apps with name a"],
  ["a variable without a value", `${RUN} --set-env=A $I`, 'Cannot use "A" for --set-env: expected NAME=VALUE'],
  ["a variable given twice", `${RUN} --set-env=A=1 --set-env=A=2 $I`, 'key "A" already set'],
  [
    "a file of variables that is missing",
    `${RUN} --set-env-file=/nowhere $I`,
    'Cannot read the environment file "/nowhere": no such file or directory',
  ],
  [
    "a file of variables with a bad line",
    `${RUN} --set-env-file=$D/variables $I`,
    'Cannot use line 2 of "$D/variables": expected NAME=VALUE',
  ],
  [
    "a bad hostname",
    `${RUN} --hostname=a_b! $I`,
    'Cannot use "a_b!" for --hostname: expected letters, digits, "-" and "."',
  ],
  [
    "a hostname that is too long",
    `${RUN} --hostname=${"a".repeat(65)} $I`,
    `Cannot use "${"a".repeat(65)}" for --hostname: `,
  ],
  [
    "a bad name server",
    `${RUN} --dns=nonsense $I`,
    'Cannot use "nonsense" for --dns: expected an IP address, host or none',
  ],
  [
    "a bad hosts entry",
    `${RUN} --hosts-entry=nonsense $I`,
    'Cannot use "nonsense" for --hosts-entry: expected IP=NAME, or host',
  ],
  ["a bad IPC mode", `${RUN} --ipc=host $I`, "unknown value for --ipc parameter: host"],
  [
    "a terminal for two",
    `${RUN} --interactive $I --name=a --- $I --name=b`,
    "interactive option only supports one image",
  ],
  [
    "memory that is no quantity",
    `${NSPAWN} --memory=lots`,
    'Cannot use "lots" for --memory: Cannot use "lots" as a quantity: ',
  ],
  [
    "no memory",
    `${NSPAWN} --memory=0`,
    "memory limit of 0 bytes too low. Try a reasonable value, such as --memory=16M",
  ],
  [
    "processor that is no quantity",
    `${NSPAWN} --cpu=fast`,
    'Cannot use "fast" for --cpu: Cannot use "fast" as a quantity: ',
  ],
  [
    "too few processor shares",
    `${RUN} $I --cpu-shares=1`,
    'Cannot use "1" for --cpu-shares: expected a number from 2 to 262144',
  ],
  [
    "too high a score",
    `${RUN} $I --oom-score-adj=5000`,
    'Cannot use "5000" for --oom-score-adj: expected a number from -1000 to 1000',
  ],
  [
    "an unknown capability",
    `${NSPAWN} --caps-retain=CAP_NONSENSE ${SHELL}`,
    'Cannot use "CAP_NONSENSE" as a capability: ',
  ],
  [
    "capabilities kept and removed",
    `${NSPAWN} --caps-retain=CAP_KILL --caps-remove=CAP_KILL`,
    "cannot use both --caps-retain and --caps-remove",
  ],
  [
    "a filter of an unknown mode",
    `${NSPAWN} --seccomp=mode=maybe,read`,
    'Cannot use "mode=maybe,read" for --seccomp: expected mode=retain or mode=remove',
  ],
  ["a filter of an unknown set", `${NSPAWN} --seccomp=mode=retain,@nonsense/all ${SHELL}`, '"@nonsense/all"'],
  ["a bad annotation", `${RUN} --annotation=UPPER=1 $I`, 'Cannot use "UPPER" as an identifier: '],
  [
    "a stage1 that is missing",
    `${RUN} --stage1-path=/nowhere.aci $I`,
    'Cannot open "/nowhere.aci": no such file or directory',
  ],
  [
    "a stage1 that is not in its directory",
    `${RUN} --stage1-from-dir=nothing.aci $I`,
    'Cannot find the stage1 image "nothing.aci"',
  ],
  [
    "a stage1 that is none",
    `${RUN} --stage1-path=$D/app.aci $I ${SHELL}`,
    'Cannot use image "example.com/busybox" as stage1: it lacks the annotation "coreos.com/rkt/stage1/run"',
  ],
  ["two apps under fly", `${FLY} --name=a --- $I --name=b`, "fly only supports 1 application per Pod for now"],
  [
    "a UUID file that cannot be written",
    `${RUN} --uuid-file-save=/nowhere/uuid $I`,
    'Cannot write the pod\'s UUID to "/nowhere/uuid": no such file or directory',
  ],
  ["no prepared pod", "run-prepared", "must provide exactly one UUID"],
  [
    "an unknown prepared pod",
    "run-prepared 00000000-0000-4000-8000-000000000000",
    'no matches found for "00000000-0000-4000-8000-000000000000"',
  ],
  ["a flag without its value", "run $I --exec", "error parsing app image arguments: flag needs an argument: --exec"],
  [
    "a file as data directory",
    `--dir=$D/text.aci ${RUN} $I`,
    'Cannot use "$D/text.aci" as data directory: it is no directory',
  ],
  [
    "a file as data directory of a fetch",
    `--dir=$D/text.aci ${FETCH} $D/app.aci`,
    'Cannot use "$D/text.aci" as data directory: it is no directory',
  ],
  [
    "a data directory that cannot be made",
    `--dir=/proc/rkt ${FETCH} $D/app.aci`,
    'Cannot make the data directory "/proc/rkt": ',
  ],
  [
    "a file as configuration directory",
    `--local-config=$D/text.aci ${RUN} $I`,
    'expected "$D/text.aci" to be a directory',
  ],
];

const app = (more: object = {}) => ({
  name: "a",
  image: { id: image },
  app: { exec: ["/bin/sh"], user: "0", group: "0" },
  ...more,
});
const withIsolator = (isolator: object) =>
  app({ app: { exec: ["/bin/sh"], user: "0", group: "0", isolators: [isolator] } });

/** The pod manifest (or text), and what is said about it after its file's name. */
const MANIFESTS: readonly [name: string, content: () => unknown, message: string][] = [
  ["no JSON", () => "{", "it is not JSON"],
  ["no apps", () => ({ apps: [] }), "pod must contain at least one application"],
  ["another kind", () => ({ acKind: "ImageManifest", apps: [app()] }), 'missing or bad ACKind (must be "PodManifest")'],
  ["a bad version", () => ({ acVersion: "x", apps: [app()] }), "acVersion: SemVer is bad"],
  ["no image id", () => ({ apps: [app({ image: {} })] }), "apps[0].image.id: badly formatted hash string"],
  ["a bad app name", () => ({ apps: [app({ name: "A B" })] }), "apps[0].name: ACName must contain only"],
  ["an app name twice", () => ({ apps: [app(), app()] }), 'apps[1]: duplicate apps of name "a"'],
  [
    "a text where a list must be",
    () => ({ apps: [app({ app: { exec: "sh", user: "0", group: "0" } })] }),
    "apps[0].app.exec: expected a list, got a string",
  ],
  ["no user", () => ({ apps: [app({ app: { exec: ["/bin/sh"] } })] }), "apps[0].app: user is required"],
  [
    "a volume of an unknown kind",
    () => ({ apps: [app()], volumes: [{ name: "v", kind: "nfs" }] }),
    "volumes[0]: unrecognized volume kind",
  ],
  [
    "a limit that is no quantity",
    () => ({ apps: [withIsolator({ name: "resource/memory", value: { limit: "lots" } })] }),
    'apps[0].app.isolators[0].value.limit: Cannot use "lots" as a quantity',
  ],
  [
    "an isolator without a value",
    () => ({ apps: [withIsolator({ name: "os/linux/capabilities-retain-set" })] }),
    "apps[0].app.isolators[0].value: set must be non-empty",
  ],
  [
    "a port beyond 65535",
    () => ({ apps: [app()], ports: [{ name: "http", hostPort: 99999 }] }),
    "ports[0].hostPort: must be between 0 and 65535, got 99999",
  ],
];

beforeAll(() => {
  rkt = testRkt();
  const here = (name: string) => join(rkt.dir, name);
  const ports = ["http", "alt"].map((name, index) => ({ name, port: 80 + index, protocol: "tcp" }));
  const mountPoints = [{ name: "data", path: "/data" }];
  buildAci(here("app.aci"), { app: { exec: ["/bin/sh"], user: "0", group: "0", ports, mountPoints } });
  buildAci(here("noexec.aci"), { name: "example.com/noexec", app: null });
  const { layers } = buildBusyboxOci(here("layout"));
  packOciArchive(here("layout"), here("archive.tar"));
  buildBusyboxOci(here("tampered"));
  const blob = here(`tampered/blobs/${layers[0]?.digest.replace(":", "/")}`);
  const bytes = readFileSync(blob);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(blob, bytes);
  writeFileSync(here("text.aci"), "this is no archive\n");
  writeFileSync(here("empty.aci"), "");
  writeFileSync(here("cut.aci"), readFileSync(here("app.aci")).subarray(0, 300_000));
  writeFileSync(here("variables"), "A=1\nnonsense\n");
  mkdirSync(here("directory.aci"));
  image = rkt.ok(["--insecure-options=image", "fetch", "--full", here("app.aci")]).trim();
  rkt.ok(["--insecure-options=image", "fetch", here("noexec.aci")]);
  // Both stage1s are rendered, and what stays after any pod is there.
  const volume = "--volume=data,kind=empty";
  for (const stage1 of ["nspawn", "fly"])
    rkt.ok([
      "--insecure-options=image",
      "run",
      volume,
      `--stage1-name=coreos.com/rkt/stage1-${stage1}`,
      image,
      "--exec=/bin/true",
    ]);
  rkt.ok(["gc", "--grace-period=0s"]);
  scope = censusScope();
  before = takeCensus(scope);
});
afterAll(() => {
  scope[Symbol.dispose]();
  rkt[Symbol.dispose]();
});

function expectOneLine(words: readonly string[], message: string): void {
  const result = rkt.run(words);
  const lines = result.stderr.trimEnd().split("\n");
  // A notice, a warning and progress are no complaints; a hint belongs to the complaint before it.
  const complaints = lines.filter(
    (line) => !/^(hint: |image: warning: |networking: |Downloading )/.test(line) && line !== "",
  );
  const command = words.find((word) => ["run", "fetch", "prepare", "run-prepared"].includes(word)) ?? "";
  expect({ status: result.status, stdout: result.stdout, complaints: complaints.length }).toEqual({
    status: 254,
    stdout: "",
    complaints: 1,
  });
  expect(complaints[0]).toStartWith(`${command}: `);
  expect(complaints[0]?.replaceAll(rkt.dir, "$D")).toContain(message);
  // No error is left half translated, and none says the same thing twice.
  expect(complaints[0]).not.toMatch(/\bE[A-Z]{3,}: |internal error|undefined|\[object|(\b.{12,}): \1$/);
}

function expectNothingHalfDone(): void {
  const pods = join(rkt.dataDir, "pods");
  const left = readdirSync(pods).flatMap((state) => readdirSync(join(pods, state)));
  expect(left).toEqual([]);
  expect(mountsBelow(rkt.dir)).toEqual([]);
  const networks = (before["entry"] ?? []).filter((entry) => entry.startsWith("/run/netns/"));
  expect(existsSync("/run/netns") ? readdirSync("/run/netns").sort() : []).toEqual(
    networks.map((entry) => entry.slice(11)).sort(),
  );
}

for (const [title, cases] of [
  ["images", IMAGES],
  ["pods", PODS],
] as const) {
  describe(`wrong words about ${title}`, () => {
    for (const [name, words, message] of cases) {
      test(name, () => {
        const filled = words.split(" ").map((word) => word.replaceAll("$D", rkt.dir).replaceAll("$I", image));
        expectOneLine(filled, message);
        expectNothingHalfDone();
      });
    }
  });
}

describe("wrong pod manifests", () => {
  for (const [name, content, message] of MANIFESTS) {
    test(name, () => {
      const value = content();
      const manifest = { acKind: "PodManifest", acVersion: "0.8.11", ...(typeof value === "object" ? value : {}) };
      const path = join(rkt.dir, `manifest-${files++}.json`);
      writeFileSync(path, typeof value === "string" ? value : JSON.stringify(manifest));
      expectOneLine(["--insecure-options=image", "run", "--net=none", `--pod-manifest=${path}`], message);
      expect(rkt.run(["run", `--pod-manifest=${path}`]).stderr).toContain(`"${path}"`);
      expectNothingHalfDone();
    });
  }

  test("a file that is missing, and a directory", () => {
    expectOneLine(
      ["run", "--pod-manifest=/nowhere.json"],
      'Cannot read the pod manifest "/nowhere.json": no such file or directory',
    );
    expectOneLine(
      ["run", `--pod-manifest=${rkt.dir}`],
      'Cannot read the pod manifest "$D": illegal operation on a directory',
    );
    expectNothingHalfDone();
  });
});

describe("mistakes in the grammar: the usage, and 254", () => {
  for (const words of [
    ["run", "--nonsense", "image"],
    ["run", "--stage1-path=/a", "--stage1-name=b", "image"],
    ["--insecure-options=nonsense", "run", "image"],
  ]) {
    test(words.join(" "), () => {
      const { status, stdout, stderr } = rkt.run(words);
      expect({ status, stdout }).toEqual({ status: 254, stdout: "" });
      expect(stderr).toMatch(/^Error: [^\n]+\nNAME:\n\trun - /);
      expectNothingHalfDone();
    });
  }
});

test("after all of it the machine is as it was", async () => {
  expect(await leftBehind(scope, before)).toEqual([]);
});
