/** Nomad's rkt driver, line by line. Needs root, docker-registry, skopeo, gpg, containernetworking-plugins. */

import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { discoveryPage, startAppcSite } from "../harness/appc-site.ts";
import { asCalled, caller, hostFile, limitsBelow, type PodStatus, running, UUID } from "../harness/clients.ts";
import { buildBusyboxOci, makeSigner } from "../harness/images.ts";
import { startRegistry, type TestRegistry } from "../harness/registry.ts";
import { type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const nomad = caller("nomad");
let rkt: TestRkt;
let registry: TestRegistry;
let image = "";
let pod: RunningRkt | undefined;
let uuid = "";

beforeAll(async () => {
  rkt = testRkt();
  registry = await startRegistry();
  const layout = join(rkt.dir, "layout");
  buildBusyboxOci(layout, { tag: "v1", entrypoint: ["/bin/false"], env: ["FROM=image"] });
  registry.push(layout, "v1", "busybox:1.29.3");
  image = `docker://${registry.host}/busybox:1.29.3`;
});
afterAll(() => {
  rkt?.[Symbol.dispose]();
  registry?.stop();
});

nomad.covers(["rkt version"], "the versions are found, and new enough", () => {
  const { status, stdout } = asCalled(["version"]);
  expect(status).toBe(0);
  const rktVersion = /rkt [vV]ersion[:]? (\d[.\d]+)/.exec(stdout)?.[1] ?? "";
  expect(/appc [vV]ersion[:]? (\d[.\d]+)/.exec(stdout)?.[1]).toBe("0.8.11");
  // The driver refuses what is older than 1.27.0.
  const [major = 0, minor = 0] = rktVersion.split(".").map(Number);
  expect(major > 1 || minor >= 27).toBe(true);
});

nomad.covers(
  ["rkt trust --skip-fingerprint-review=true --prefix=P --debug=BOOL"],
  "a prefix is trusted with the keys that its site names",
  async () => {
    using signer = makeSigner("Signer <signer@example.com>");
    const site = await startAppcSite(rkt.dir);
    try {
      site.pages.set("https://example.com/key.asc", { body: signer.publicKey });
      site.pages.set(
        "https://example.com/app",
        discoveryPage(["ac-discovery-pubkeys", "example.com/app", "https://example.com/key.asc"]),
      );
      const words = ["trust", "--skip-fingerprint-review=true", "--prefix=example.com/app", "--debug=false"];
      const trusted = await rkt.start(words, { env: site.env }).ended;
      expect([trusted.status, trusted.stdout + trusted.stderr]).toEqual([
        0,
        expect.stringContaining('Trusting "https://example.com/key.asc" for prefix "example.com/app"'),
      ]);
      expect(rkt.ok(["trust", "--list"])).toContain(signer.fingerprint.toLowerCase().slice(-8));
    } finally {
      site.stop();
    }
  },
);

const globals = ["--insecure-options=image,http", "--debug=false"];

nomad.covers(
  [
    "rkt --insecure-options=A,B --debug=BOOL prepare --no-overlay=true --volume=… --mount=… --set-env=K=V IMAGE --exec=CMD --memory=BYTES --cpu=SHARES --port=NAME:HOSTPORT --user=U --group=G -- ARGS",
  ],
  "prepare prints the UUID and nothing else on stdout",
  () => {
    const volumes = ["alloc", "local", "secrets"].flatMap((name) => [
      `--volume=a1-web-${name},kind=host,source=${hostFile(rkt, name)}`,
      `--mount=volume=a1-web-${name},target=/${name}`,
    ]);
    const shared = hostFile(rkt, "shared");
    const script = "echo $0 $1 starts; trap 'exit 7' TERM; while :; do sleep 0.05; done";
    const { status, stdout, stderr } = rkt.run([
      ...globals,
      ...["prepare", "--no-overlay=true", ...volumes],
      ...[`--volume=own,kind=host,source=${shared},readOnly=true`, "--mount=volume=own,target=/own"],
      ...["--set-env=NOMAD_TASK_NAME=web", "--set-env=EMPTY=", image, "--exec=/bin/sh"],
      ...["--memory=134217728", "--cpu=2", "--user=nobody", "--group=nogroup", "--", "-c", script, "arg zero", "one"],
    ]);
    expect([status, stdout, stderr]).toEqual([0, expect.stringMatching(UUID), expect.any(String)]);
    uuid = stdout.trim();
  },
);

nomad.covers(
  [
    "rkt --insecure-options=all --debug=BOOL run-prepared --dns=IP --dns-search=D --net=A,B UUID",
    "rkt status --format=json UUID",
  ],
  "run-prepared runs in the foreground, and status tells the address",
  async () => {
    pod = rkt.start([
      "--insecure-options=all",
      "--debug=false",
      "run-prepared",
      "--dns=8.8.8.8",
      "--dns=1.1.1.1",
      "--dns-search=example.com",
      "--net=default,default-restricted",
      uuid,
    ]);
    // The driver asks once a second until there is an address.
    let status: PodStatus | undefined;
    await until(
      "an address",
      () => {
        const asked = rkt.run(["status", "--format=json", uuid]);
        status = asked.status === 0 ? (JSON.parse(asked.stdout) as PodStatus) : undefined;
        return status?.networks?.[0]?.ip !== undefined;
      },
      120,
    );
    await running(rkt, uuid);
    // In the order of the configuration files' names, as ever.
    expect(status?.networks?.map(({ netName, ip }) => `${netName} ${ip}`.replace(/\d+\.\d+$/, ""))).toEqual([
      "default-restricted 172.31.",
      "default 172.16.",
    ]);
    await until("the app", () => pod?.stdout().includes("arg zero one starts") === true, 60);
  },
);

nomad.covers(["rkt cat-manifest UUID"], "the manifest has one app, and its ports", () => {
  const manifest = JSON.parse(rkt.ok(["cat-manifest", uuid]));
  expect(manifest.apps).toHaveLength(1);
  expect(manifest.apps[0].app.ports ?? []).toEqual([]);
  expect(manifest.apps[0].app.exec.slice(0, 2)).toEqual(["/bin/sh", "-c"]);
});

nomad.covers(
  ["rkt enter UUID CMD ARGS"],
  "enter runs a command with its arguments and status, and finds what was asked for",
  () => {
    const inside = (script: string) => rkt.run(["enter", uuid, "/bin/sh", "-c", script]);
    const context = inside(
      "cat /alloc/file /local/file /secrets/file /own/file; echo $NOMAD_TASK_NAME:$FROM; cat /etc/resolv.conf",
    );
    expect(context.stdout).toMatch(/^from alloc\nfrom local\nfrom secrets\nfrom shared\nweb:image\n/);
    expect(context.stdout).toContain("nameserver 8.8.8.8\nnameserver 1.1.1.1\n");
    expect(context.stdout).toContain("search example.com\n");
    expect(inside("id -u; id -g").stdout).toBe("65534\n65534\n");
    expect(inside("echo x > /own/other").stderr).toContain("Read-only file system");
    expect(inside("cat /proc/1/cgroup; exit 9").status).toBe(9);
    expect(limitsBelow(uuid, "memory.limit_in_bytes", "memory.max")).toContain("134217728");
    expect(limitsBelow(uuid, "cpu.cfs_quota_us", "cpu.max").join(" ")).toContain("200000");
  },
);

nomad.covers(["rkt status --format=json UUID"], "a signal to rkt ends the pod, with the app's status", async () => {
  pod?.kill("SIGTERM");
  const ended = await pod?.ended;
  expect(JSON.parse(rkt.ok(["status", "--format=json", uuid]))).toMatchObject({ name: uuid, state: "exited" });
  expect([0, 7]).toContain(ended?.status ?? -1);
  // The driver shows 80 characters of it.
  const unknown = rkt.run(["status", "--format=json", "00000000"]);
  expect([unknown.status, unknown.stderr]).toEqual([254, expect.stringContaining('no matches found for "00000000"')]);
});

nomad.covers(
  ["rkt run-prepared --dns=host --net=host UUID"],
  "on the host's network, with the host's servers of names",
  async () => {
    const second = rkt
      .ok([
        ...globals,
        "prepare",
        image,
        "--exec=/bin/sh",
        "--",
        "-c",
        "cat /etc/resolv.conf; readlink /proc/self/ns/net",
      ])
      .trim();
    const ran = await rkt.start([...globals, "run-prepared", "--dns=host", "--net=host", second]).ended;
    expect(ran.status).toBe(0);
    const net = Bun.spawnSync(["readlink", "/proc/self/ns/net"]).stdout.toString().trim();
    expect(ran.stdout.replaceAll("\r", "").trim().split("\n").pop()).toBe(net);
    for (const line of readFileSync("/etc/resolv.conf", "utf8").split("\n").filter(Boolean))
      expect(ran.stdout).toContain(line);
  },
);

nomad.covers(
  [
    "rkt --insecure-options=A,B --debug=BOOL prepare --no-overlay=true --volume=… --mount=… --set-env=K=V IMAGE --exec=CMD --memory=BYTES --cpu=SHARES --port=NAME:HOSTPORT --user=U --group=G -- ARGS",
  ],
  "a port that the image names is forwarded from the host's",
  async () => {
    const layout = join(rkt.dir, "layout");
    buildBusyboxOci(layout, { tag: "port", ports: ["80/tcp"], entrypoint: ["/bin/sh"] });
    registry.push(layout, "port", "web:1");
    const serve = "echo served > /index.html; exec httpd -f -p 80 -h /";
    const web = rkt
      .ok([
        ...globals,
        "prepare",
        `docker://${registry.host}/web:1`,
        "--exec=/bin/sh",
        "--port=80-tcp:18399",
        "--",
        "-c",
        serve,
      ])
      .trim();
    expect(JSON.parse(rkt.ok(["cat-manifest", web])).apps[0].app.ports).toMatchObject([
      { name: "80-tcp", port: 80, protocol: "tcp" },
    ]);
    const served = rkt.start([...globals, "run-prepared", web]);
    await running(rkt, web);
    let page = "";
    await until("the page", () => {
      page = Bun.spawnSync(["curl", "-s", "http://127.0.0.1:18399/index.html"]).stdout.toString();
      return page !== "";
    });
    expect(page).toBe("served\n");
    rkt.ok(["stop", "--force", web]);
    await served.ended;
  },
);

nomad.nothingLeftOut();
