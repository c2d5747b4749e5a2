/** The kubelet's "rktnetes", line by line, and the API calls beside them. Needs root, docker-registry, skopeo, containernetworking-plugins. */

import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { caller, hostFile, running, started, UUID } from "../harness/clients.ts";
import { buildBusyboxOci } from "../harness/images.ts";
import { freePort, startRegistry, type TestRegistry } from "../harness/registry.ts";
import { RKT, type RunningRkt, type TestRkt, testRkt, until } from "../harness/rkt.ts";

setDefaultTimeout(300_000);

const kubelet = caller("kubelet");
let rkt: TestRkt;
let registry: TestRegistry;
/** What the kubelet puts before every command: the values that the API service names. */
let G: string[];
let id = "";
const pods: { process: RunningRkt; uuid: string }[] = [];
let service: RunningRkt | undefined;

// biome-ignore lint/suspicious/noExplicitAny: a client that is made at run time has no types.
type Answer = any;
let ask: (method: string, request?: object) => Promise<Answer>;

beforeAll(async () => {
  rkt = testRkt();
  registry = await startRegistry({ account: { user: "foo", password: "bar" } });
  const layout = join(rkt.dir, "layout");
  buildBusyboxOci(layout, { tag: "v1" });
  registry.push(layout, "v1", "team/busybox:v1");
  mkdirSync(join(rkt.configDir, "net.d"));
  const net = {
    ...{ cniVersion: "0.1.0", name: "rkt.kubernetes.io", type: "bridge", bridge: "cbr-test", isGateway: true },
    ipam: { type: "host-local", subnet: "10.213.61.0/24" },
  };
  writeFileSync(join(rkt.configDir, "net.d/10-kubernetes.conf"), JSON.stringify(net));
});
afterAll(() => {
  service?.kill("SIGTERM");
  rkt?.[Symbol.dispose]();
  registry?.stop();
  Bun.spawnSync(["ip", "link", "del", "cbr-test"]);
});

kubelet.covers(
  ["GetInfo, ListPods, InspectPod, ListImages, GetLogs"],
  "the service tells its global flags",
  async () => {
    const port = await freePort();
    service = rkt.start(["--insecure-options=image,http", "api-service", `--listen=127.0.0.1:${port}`]);
    await until("the service", () => service?.stderr().includes("API service running") === true);
    const { v1alpha } = grpc.loadPackageDefinition(
      loadSync(resolve("src/services/v1alpha.proto"), { keepCase: true, longs: Number, enums: String, defaults: true }),
    ) as unknown as { v1alpha: { PublicAPI: new (address: string, credentials: grpc.ChannelCredentials) => Answer } };
    const client = new v1alpha.PublicAPI(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
    ask = (method, request = {}) =>
      new Promise((done, fail) => {
        client[method](request, (error: Error | null, answer: Answer) => (error === null ? done(answer) : fail(error)));
      });
    const { info } = await ask("GetInfo");
    expect(info.api_version).toBe("1.0.0-alpha");
    const flags = info.global_flags;
    expect(flags).toMatchObject({ dir: rkt.dataDir, local_config_dir: rkt.configDir, insecure_flags: "image,http" });
    G = [
      `--insecure-options=${flags.insecure_flags}`,
      `--local-config=${flags.local_config_dir}`,
      `--system-config=${flags.system_config_dir}`,
      `--dir=${flags.dir}`,
    ];
  },
);

const call = (...words: string[]) => {
  const result = Bun.spawnSync([RKT, ...words], { cwd: "/", stdin: "ignore" });
  return { status: result.exitCode, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
};

kubelet.covers(
  ["rkt G fetch --no-store docker://IMG"],
  "an image is fetched with the credentials of a temporary directory",
  async () => {
    const user = join(rkt.dir, "user");
    mkdirSync(join(user, "auth.d"), { recursive: true });
    const image = `docker://${registry.host}/team/busybox:v1`;
    expect(call(...G, `--user-config=${user}`, "fetch", "--no-store", image).status).toBe(254);
    const credentials = { user: "foo", password: "bar" };
    writeFileSync(
      join(user, "auth.d/10-pull.json"),
      JSON.stringify({ rktKind: "dockerAuth", rktVersion: "v1", registries: [registry.host], credentials }),
      { mode: 0o600 },
    );
    // It is given over plain http only where that is said to be wanted.
    const fetched = call(
      ...G.slice(1),
      "--insecure-options=image,http",
      `--user-config=${user}`,
      "fetch",
      "--no-store",
      image,
    );
    if (fetched.status !== 0) throw new Error(fetched.stderr);
    expect(fetched.stdout).toMatch(/^sha512-[0-9a-f]{32}\n$/);
    const { images } = await ask("ListImages", { detail: true });
    expect(images).toHaveLength(1);
    id = images[0].id;
    const annotations = Object.fromEntries(
      JSON.parse(Buffer.from(images[0].manifest).toString()).annotations.map((pair: Answer) => [pair.name, pair.value]),
    );
    expect(annotations).toMatchObject({
      "appc.io/docker/registryurl": registry.host,
      "appc.io/docker/repository": "team/busybox",
    });
    // How the kubelet names its images, and finds one by its name: in lists without detail.
    const [, repository = "", tag = ""] = /^docker:\/\/(.*):([^:]*)$/.exec(image) ?? [];
    const named = ({ annotations: list, version }: Answer) => {
      const value = (key: string) => list.find(({ Key }: Answer) => Key === `appc.io/docker/${key}`)?.value;
      return `${value("registryurl")}/${value("repository")}:${version}`;
    };
    expect((await ask("ListImages")).images.map(named)).toEqual([`${repository}:${tag}`]);
    const filters = [repository, repository.replace(":", "_")].map((keyword) => ({
      keywords: [keyword],
      labels: [{ Key: "version", value: tag }],
    }));
    const { images: found } = await ask("ListImages", { filters });
    expect(found).toMatchObject([{ id, manifest: Buffer.alloc(0) }]);
    const size = call(...G, "image", "list", "--no-legend", "--full", "--fields=size").stdout;
    expect(`${found[0].size}\n`).toBe(size);
  },
);

/** As the kubelet makes one: volumes and mounts by name, annotations of its own. */
function podManifest(name: string, script: string): string {
  const file = join(rkt.dir, `${name}.json`);
  const app = {
    ...{ exec: ["/bin/sh", "-c", script], user: "0", group: "0", workingDirectory: "/tmp" },
    environment: [{ name: "KUBERNETES_SERVICE_HOST", value: "10.0.0.1" }],
    isolators: [{ name: "resource/memory", value: { limit: "64M" } }],
  };
  const manifest = {
    ...{ acVersion: "0.8.11", acKind: "PodManifest" },
    apps: [
      {
        ...{ name, image: { id }, app, mounts: [{ volume: "data", path: "/data" }] },
        annotations: [{ name: "rkt.kubernetes.io/container-hash", value: "1" }],
      },
    ],
    volumes: [{ name: "data", kind: "host", source: hostFile(rkt, "data"), readOnly: false }],
    annotations: [{ name: "rkt.kubernetes.io/uid", value: "u-1" }],
  };
  writeFileSync(file, JSON.stringify(manifest));
  return file;
}

function prepare(name: string, script: string, ...flags: string[]): string {
  const prepared = call(...G, "prepare", "--quiet", "--pod-manifest", podManifest(name, script), ...flags);
  expect([prepared.status, prepared.stdout]).toEqual([0, expect.stringMatching(UUID)]);
  return prepared.stdout.trim();
}

const LASTING = "echo kubelet-line; trap 'exit 0' TERM; while :; do sleep 0.1; done";

kubelet.covers(
  [
    "rkt G prepare --quiet --pod-manifest FILE --stage1-name=NAME",
    "nsenter --net=/var/run/netns/ID -- rkt G,all-run run-prepared --no-overlay=true --net=host --dns=IP --dns-search=D --dns-opt=ndots:5 --hostname=H UUID",
  ],
  "a pod runs in a network that was made for it",
  async () => {
    const uuid = prepare("web", LASTING, "--stage1-name=coreos.com/rkt/stage1-coreos");
    const netns = `kubelet-${uuid.slice(0, 8)}`;
    Bun.spawnSync(["ip", "netns", "add", netns]);
    try {
      const words = [
        ...[
          `--net=/var/run/netns/${netns}`,
          "--",
          RKT,
          ...G.slice(1),
          "--insecure-options=image,http,all-run",
          "run-prepared",
        ],
        ...["--no-overlay=true", "--net=host", "--dns=10.0.0.10", "--dns-search=default.svc.cluster.local"],
        ...["--dns-search=svc.cluster.local", "--dns-opt=ndots:5", "--hostname=web-0", uuid],
      ];
      pods.push({ process: started(["nsenter", ...words]), uuid });
      await running(rkt, uuid);
      const inside = (script: string) => call(...G, "enter", "--app=web", uuid, "/bin/sh", "-c", script).stdout;
      const own = Bun.spawnSync(["ip", "netns", "exec", netns, "readlink", "/proc/self/ns/net"]).stdout.toString();
      expect(inside("readlink /proc/self/ns/net")).toBe(own);
      const resolver = inside("cat /etc/resolv.conf");
      for (const line of [
        "search default.svc.cluster.local svc.cluster.local",
        "nameserver 10.0.0.10",
        "options ndots:5",
      ])
        expect(resolver).toContain(`${line}\n`);
      expect(inside("hostname; pwd; echo $KUBERNETES_SERVICE_HOST; cat /data/file")).toBe(
        "web-0\n/tmp\n10.0.0.1\nfrom data\n",
      );
    } finally {
      Bun.spawnSync(["ip", "netns", "del", netns]);
    }
  },
);

kubelet.covers(
  ["rkt G run-prepared --net=rkt.kubernetes.io UUID", "nsenter -t PID -n"],
  "a pod is in the kubelet's network, whose namespace is found by its process",
  async () => {
    const uuid = prepare("own", `echo served > /tmp/index.html; httpd -p 80 -h /tmp; ${LASTING}`);
    pods.push({ process: started([RKT, ...G, "run-prepared", "--net=rkt.kubernetes.io", uuid]), uuid });
    await running(rkt, uuid);
    const { pods: listed } = await ask("ListPods", { detail: true, filters: [{ ids: [uuid] }] });
    expect(listed[0].networks).toMatchObject([
      { name: "rkt.kubernetes.io", ipv4: expect.stringMatching(/^10\.213\.61\./) },
    ]);
    const forward = ["nsenter", "-t", String(listed[0].pid), "-n", "curl", "-s", "http://localhost:80/index.html"];
    let page = "";
    // The app has been started, which does not say that it listens.
    await until("an answer", () => {
      page = Bun.spawnSync(forward).stdout.toString();
      return page !== "";
    });
    expect(page).toBe("served\n");
  },
);

kubelet.covers(
  ["rkt G enter --app=APP UUID CMD"],
  "a command has its status, and an unknown app is one's own fault",
  () => {
    const uuid = pods[0]?.uuid ?? "";
    expect(call(...G, "enter", "--app=web", uuid, "/bin/sh", "-c", "exit 42").status).toBe(42);
    expect(call(...G, "enter", "--app=none", uuid, "/bin/true").status).toBe(254);
  },
);

kubelet.covers(
  ["GetInfo, ListPods, InspectPod, ListImages, GetLogs"],
  "the service shows pods as the kubelet looks for them",
  async () => {
    const uuid = pods[0]?.uuid ?? "";
    const filter = { states: ["POD_STATE_RUNNING"], annotations: [{ Key: "rkt.kubernetes.io/uid", value: "u-1" }] };
    const { pods: listed } = await ask("ListPods", { detail: true, filters: [filter] });
    expect(listed.map((pod: Answer) => pod.id).sort()).toEqual(pods.map((pod) => pod.uuid).sort());
    const { pod } = await ask("InspectPod", { id: uuid });
    expect(pod).toMatchObject({
      id: uuid,
      state: "POD_STATE_RUNNING",
      apps: [{ name: "web", state: "APP_STATE_RUNNING", image: { id } }],
    });
    expect(pod.apps[0].annotations).toContainEqual({ Key: "rkt.kubernetes.io/container-hash", value: "1" });
  },
);

kubelet.covers(["rkt G rm UUID", "rkt G image rm ID"], "pods and image go, and nothing of them stays", async () => {
  for (const { process, uuid } of pods) {
    expect(call(...G, "rm", uuid).stderr).toContain(`pod "${uuid}" is currently running`);
    process.kill("SIGTERM");
    expect((await process.ended).status).toBe(0);
    expect(call(...G, "rm", uuid)).toMatchObject({ status: 0, stdout: `"${uuid}"\n` });
  }
  const removed = call(...G, "image", "rm", id);
  expect(removed).toMatchObject({ status: 0, stdout: `successfully removed aci for image: "${id}"\n` });
  expect((await ask("ListPods")).pods).toEqual([]);
});

kubelet.nothingLeftOut();
