/** CoreOS' wrappers of the kubelet, etcd and flannel, and the units beside them: stage1-fly, the host's network. Needs root, docker-registry, skopeo. */

import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asCalled, caller, hostFile, savedUuid, started } from "../harness/clients.ts";
import { buildAci, buildBusyboxOci } from "../harness/images.ts";
import { startRegistry, type TestRegistry } from "../harness/registry.ts";
import { RKT, type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const coreos = caller("coreos");
let rkt: TestRkt;
let registry: TestRegistry;
let image = "";
let pod: RunningRkt;
let file = "";

beforeAll(async () => {
  rkt = testRkt();
  registry = await startRegistry();
  const layout = join(rkt.dir, "layout");
  buildBusyboxOci(layout, { tag: "v1", env: ["IMAGE=yes"] });
  registry.push(layout, "v1", "coreos/hyperkube:v1");
  image = `docker://${registry.host}/coreos/hyperkube:v1`;
  file = join(rkt.dir, "kubelet-pod.uuid");
});
afterAll(() => {
  rkt?.[Symbol.dispose]();
  registry?.stop();
});

coreos.covers(
  [
    "rkt G run R --trust-keys-from-https --volume … --mount … --hosts-entry host --inherit-env --set-env=NOTIFY_SOCKET=… --stage1-from-dir=stage1-fly.aci docker://IMG --exec=/kubelet -- ARGS",
  ],
  "the kubelet is rkt's own process, with the host's network, hosts and directories",
  async () => {
    const etc = hostFile(rkt, "etc-kubernetes");
    const lib = hostFile(rkt, "var-lib-kubelet");
    mkdirSync(join(etc, "below"));
    Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", join(etc, "below")]);
    writeFileSync(join(etc, "below/mounted"), "yes\n");
    // As everything is shared on a host that systemd has set up.
    Bun.spawnSync(["sh", "-c", `mount --bind ${lib} ${lib} && mount --make-shared ${lib}`]);
    try {
      const script = `
        cat /etc/kubernetes/file /etc/kubernetes/below/mounted; echo x > /etc/kubernetes/new
        echo "$INHERITED $NOTIFY_SOCKET $IMAGE $0 $*"; readlink /proc/self/ns/net; cat /etc/hosts > /var/lib/kubelet/hosts
        mkdir -p /var/lib/kubelet/volume; mount -t tmpfs tmpfs /var/lib/kubelet/volume && echo deep > /var/lib/kubelet/volume/file
        echo ready > /var/lib/kubelet/ready; trap 'umount /var/lib/kubelet/volume; exit 5' TERM; while :; do sleep 0.05; done`;
      pod = started(
        [
          ...[
            RKT,
            ...rkt.globals,
            "run",
            `--uuid-file-save=${file}`,
            "--trust-keys-from-https",
            "--insecure-options=image,http",
          ],
          ...[
            "--volume",
            `etc,kind=host,source=${etc},readOnly=true,recursive=true`,
            "--mount",
            "volume=etc,target=/etc/kubernetes",
          ],
          ...[
            "--volume",
            `lib,kind=host,source=${lib},readOnly=false,recursive=true`,
            "--mount",
            "volume=lib,target=/var/lib/kubelet",
          ],
          ...["--hosts-entry", "host", "--inherit-env", "--set-env=NOTIFY_SOCKET=/run/x", "--net=host"],
          ...["--stage1-from-dir=stage1-fly.aci", image, "--exec=/bin/sh", "--", "-c", script, "--v=2", "--x", "y"],
        ],
        { INHERITED: "from the unit" },
      );
      await until("the kubelet", () => existsSync(join(lib, "ready")), 120);
      const net = Bun.spawnSync(["readlink", "/proc/self/ns/net"]).stdout.toString();
      expect(pod.stdout()).toBe(`from etc-kubernetes\nyes\nfrom the unit /run/x yes --v=2 --x y\n${net}`);
      expect(pod.stderr()).toContain("Read-only file system");
      expect(readFileSync(join(lib, "hosts"), "utf8")).toBe(readFileSync("/etc/hosts", "utf8"));
      // What the kubelet mounts for a pod's volume is there for the host: others have to get it.
      expect(readFileSync(join(lib, "volume/file"), "utf8")).toBe("deep\n");
      expect(readFileSync(join(rkt.dataDir, "pods/run", await savedUuid(file), "pid"), "utf8")).toBe(`${pod.pid}\n`);
    } finally {
      Bun.spawnSync(["umount", join(etc, "below")]);
      Bun.spawnSync(["umount", "--recursive", "--lazy", lib]);
    }
  },
);

coreos.covers(
  ["rkt stop --uuid-file=F", "rkt rm --uuid-file=F"],
  "the unit's ExecStop= and the next ExecStartPre= find the pod by its file",
  async () => {
    const uuid = await savedUuid(file);
    const at = (command: string) => asCalled([...rkt.globals, command, `--uuid-file=${file}`]);
    expect(at("stop")).toEqual({ status: 0, stdout: `"${uuid}"\n`, stderr: "" });
    expect((await pod.ended).status).toBe(5);
    expect(at("rm")).toEqual({ status: 0, stdout: `"${uuid}"\n`, stderr: "" });
    // ExecStartPre=- ignores what the first start of a machine gets.
    expect(at("rm").status).toBe(254);
    expect(asCalled([...rkt.globals, "stop", "--uuid-file=/nonexistent"]).status).toBe(1);
  },
);

coreos.covers(
  [
    "rkt run --insecure-options=image --uuid-file-save=F IMG --user=UID -- ARGS",
    "rkt fetch A.aci B.aci --insecure-options=image",
  ],
  "etcd runs as its user, from images that were fetched before",
  async () => {
    const [a, b] = [join(rkt.dir, "a.aci"), join(rkt.dir, "b.aci")];
    buildAci(a, { name: "coreos.com/etcd", app: { exec: ["/bin/sh"], user: "0", group: "0" } });
    buildAci(b, { name: "coreos.com/flannel" });
    const fetched = asCalled([...rkt.globals, "fetch", "a.aci", "b.aci", "--insecure-options=image"], { cwd: rkt.dir });
    expect([fetched.status, fetched.stdout]).toEqual([0, expect.stringMatching(/^(sha512-[0-9a-f]{32}\n){2}$/)]);
    const saved = join(rkt.dir, "etcd.uuid");
    const [id = ""] = fetched.stdout.split("\n");
    const words = [
      "run",
      "--insecure-options=image",
      `--uuid-file-save=${saved}`,
      "--net=none",
      id,
      "--user=232",
      "--exec=/bin/sh",
    ];
    const ran = asCalled([
      ...rkt.globals,
      ...words,
      "--",
      "-c",
      "id -u; echo $0 $1; exit 3",
      "--name=etcd",
      "--data-dir=/x",
    ]);
    expect([ran.status, ran.stdout.replaceAll("\r", "")]).toEqual([3, "232\n--name=etcd --data-dir=/x\n"]);
    expect(await savedUuid(saved)).toMatch(/^[0-9a-f-]{36}$/);
  },
);

coreos.covers(
  ["nsenter -m -u -i -n -p -t 1 -- /usr/bin/rkt ARGS"],
  "rkt is itself when it was started into other namespaces",
  () => {
    // Those of a process that stands for the machine's first one.
    const host = Bun.spawn([
      "unshare",
      "--mount",
      "--uts",
      "--ipc",
      "--net",
      "--pid",
      "--fork",
      "--mount-proc",
      "--kill-child",
      "sleep",
      "300",
    ]);
    try {
      const inner = () =>
        Bun.spawnSync(["pgrep", "-P", String(host.pid)])
          .stdout.toString()
          .trim();
      for (let tries = 0; inner() === "" && tries < 100; tries += 1) Bun.sleepSync(50);
      const call = (...words: string[]) =>
        Bun.spawnSync(["nsenter", "-m", "-u", "-i", "-n", "-p", "-t", inner(), "--", RKT, ...words], { cwd: "/" });
      expect(call("version").stdout.toString()).toContain("rkt Version: ");
      expect(call(...rkt.globals, "list", "--no-legend").exitCode).toBe(0);
      const ran = call(
        ...rkt.globals,
        "--insecure-options=image",
        "run",
        "--net=none",
        "coreos.com/etcd",
        "--exec=/bin/echo",
        "--",
        "inside",
      );
      expect([ran.exitCode, ran.stdout.toString().replaceAll("\r", "")]).toEqual([0, "inside\n"]);
    } finally {
      host.kill("SIGKILL");
    }
  },
);

coreos.covers(["rkt api-service"], "the service says when it listens, and ends when it is told to", async () => {
  const service = started([RKT, ...rkt.globals, "api-service"]);
  await until("the service", () => service.stderr().includes("API service running"));
  expect(service.stderr()).toContain("Listening on localhost:15441");
  service.kill("SIGTERM");
  expect(await service.ended).toMatchObject({ status: 0, stderr: expect.stringContaining("API service exiting...") });
});

coreos.nothingLeftOut();
