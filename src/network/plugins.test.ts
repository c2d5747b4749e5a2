/** Chains of plugins, with plugins that note what they were given: ADD, DEL, a failed ADD, the teardown from records. */

import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RktEvent } from "../core/events.ts";
import { recordingHost } from "../host/recording.ts";
import { addNetwork, deleteNetwork } from "./chain.ts";
import { type NetworkConf, parseNetworkConf } from "./conf.ts";
import { parseNetList } from "./net-list.ts";
import { planNetworks } from "./plan.ts";
import { negotiateVersion } from "./plugin.ts";
import { programEnvironment } from "./program.ts";
import { recordedNetworks, recordNetns, recordNetwork, recordState, saveNetInfo } from "./record.ts";
import { tearDownNetwork } from "./tear-down.ts";

const dir = mkdtempSync(join(tmpdir(), "rkt-plugins-"));
const pluginDir = join(dir, "net.d");
const log = join(dir, "log");
const podDir = join(dir, "pod");
let events: RktEvent[] = [];
const emit = (event: RktEvent) => void events.push(event);

interface Call {
  type: string;
  command: string;
  netns: string;
  ifName: string;
  args: string;
  conf: Record<string, unknown>;
}

/** A plugin that appends its call to the log and answers with `answer` (shell text), or fails. */
function plugin(type: string, answer: string, status = 0): void {
  const script = `#!/bin/sh
conf=$(cat)
printf '{"type":"${type}","command":"%s","netns":"%s","ifName":"%s","args":"%s","conf":%s}\\n' "$CNI_COMMAND" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$conf" >> ${log}
printf '%s' '${answer}'
exit ${status}
`;
  writeFileSync(join(pluginDir, type), script, { mode: 0o755 });
}

const calls = (): Call[] =>
  existsSync(log)
    ? readFileSync(log, "utf8")
        .trim()
        .split("\n")
        .map((line): Call => JSON.parse(line))
    : [];
const short = () => calls().map(({ command, type }) => `${command} ${type}`);

function list(version: string, ...plugins: object[]): NetworkConf {
  const text = JSON.stringify({ name: "chain", cniVersion: version, plugins });
  return parseNetworkConf("10-chain.conflist", "10-chain.conflist", text);
}

const attachment = { containerId: "u", netns: "/run/netns/cni-u", ifName: "eth0", args: "", dirs: [pluginDir], emit };
const context = { uuid: "u", podDir, localConfigDir: dir, stage1NetDirs: [], emit };

beforeEach(() => {
  rmSync(dir, { recursive: true, force: true });
  for (const path of [pluginDir, podDir]) mkdirSync(path, { recursive: true });
  events = [];
  plugin("one", '{"ips":[{"address":"10.213.0.2/24"}]}');
  plugin("two", '{"cniVersion":"1.0.0","ips":[{"address":"10.213.0.2/24"}],"two":true}');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("addNetwork", () => {
  test("gives each plugin the result of the one before", async () => {
    const result = await addNetwork(list("1.0.0", { type: "one" }, { type: "two" }), "1.0.0", {}, attachment);
    expect(short()).toEqual(["ADD one", "ADD two"]);
    const [first, second] = calls();
    expect(first?.conf).toEqual({ type: "one", name: "chain", cniVersion: "1.0.0" });
    expect(second?.conf.prevResult).toEqual({ cniVersion: "1.0.0", ips: [{ address: "10.213.0.2/24" }] });
    expect(result).toMatchObject({ two: true });
  });

  test("tells a failure in the plugin's own words, with network, plugin and code", async () => {
    plugin("two", '{"code":11,"msg":"no address left","details":"range full"}', 1);
    await expect(addNetwork(list("1.0.0", { type: "two" }), "1.0.0", {}, attachment)).rejects.toThrow(
      'Cannot add network "chain": plugin "two" failed: no address left; range full (CNI error code 11)',
    );
  });

  test("tells what a plugin said that died without an answer", async () => {
    writeFileSync(join(pluginDir, "two"), "#!/bin/sh\necho oh no >&2\nexit 3\n", { mode: 0o755 });
    await expect(addNetwork(list("1.0.0", { type: "two" }), "1.0.0", {}, attachment)).rejects.toThrow(
      'plugin "two" failed: exit status 3: oh no',
    );
  });

  test("passes no descriptor of this process on", async () => {
    writeFileSync(join(pluginDir, "two"), `#!/bin/sh\nls /proc/self/fd | tr '\\n' ' ' > ${log}\necho '{}'\n`, {
      mode: 0o755,
    });
    await addNetwork(list("1.0.0", { type: "two" }), "1.0.0", {}, attachment);
    // 3 is the directory that ls itself opened.
    expect(readFileSync(log, "utf8").trim()).toBe("0 1 2 3");
  });
});

describe("deleteNetwork", () => {
  const conf = list("0.4.0", { type: "one" }, { type: "two" });

  test("runs in reverse order with ADD's result, and goes on after a failure", async () => {
    plugin("two", '{"code":7,"msg":"broken"}', 1);
    const errors = await deleteNetwork(conf, "0.4.0", {}, { ips: [] }, attachment);
    expect(short()).toEqual(["DEL two", "DEL one"]);
    expect(calls()[1]?.conf.prevResult).toEqual({ ips: [] });
    expect(errors.map((error) => error.message)).toEqual([
      'Cannot delete network "chain": plugin "two" failed: broken (CNI error code 7)',
    ]);
  });

  test("gives no result to plugins older than 0.4.0", async () => {
    await deleteNetwork(conf, "0.3.1", {}, { ips: [] }, attachment);
    expect(calls().every((call) => call.conf.prevResult === undefined)).toBe(true);
  });
});

describe("negotiateVersion", () => {
  const conf = { ...list("0.3.1", { type: "one" }, { type: "two" }), versions: ["0.4.0", "1.0.0", "1.1.0"] as const };

  test("takes the highest version that all plugins know", async () => {
    plugin("one", '{"supportedVersions":["0.4.0","1.0.0","1.1.0"]}');
    plugin("two", '{"supportedVersions":["0.4.0","1.0.0"]}');
    expect(await negotiateVersion(conf, attachment)).toBe("1.0.0");
  });

  test("asks nobody when there is no choice", async () => {
    expect(await negotiateVersion(list("0.3.1", { type: "one" }), attachment)).toBe("0.3.1");
    expect(calls()).toEqual([]);
  });

  test("refuses when there is no common version", async () => {
    plugin("one", '{"supportedVersions":["0.1.0"]}');
    await expect(negotiateVersion(conf, attachment)).rejects.toThrow("no plugin version in common");
  });
});

describe("planNetworks", () => {
  const ports = [{ name: "http", protocol: "tcp" as const, podPort: 80, hostPort: 8080, hostIp: "127.0.0.1" }];
  const conf = (name: string, file: string, ...plugins: object[]) =>
    parseNetworkConf(file, file, JSON.stringify({ name, cniVersion: "1.0.0", plugins }));
  const plan = (confs: NetworkConf[], net = "a,b") => planNetworks(confs, parseNetList(net), ports, [pluginDir]);
  const portmap = { type: "two", capabilities: { portMappings: true } };

  test("prefers the first masquerading network, else the last, and forwards itself", () => {
    const [a, b, c] = [{ type: "one" }, { type: "one", ipMasq: true }, { type: "one", ipMasq: true }].map((p, i) =>
      conf(`n${i}`, `${i}.conflist`, p),
    ) as [NetworkConf, NetworkConf, NetworkConf];
    expect(plan([a, b, c])).toMatchObject({ forwardable: 1, ownForwarding: true });
    expect(plan([a, a])).toMatchObject({ forwardable: 1 });
    expect(plan([])).toMatchObject({ forwardable: -1 });
  });

  test("hands the ports to one network whose plugins take them", () => {
    const confs = ["a", "b"].map((name) => conf(name, `${name}.conflist`, { type: "one" }, portmap));
    const { networks, ownForwarding } = plan(confs);
    const mapping = { hostPort: 8080, containerPort: 80, protocol: "tcp", hostIP: "127.0.0.1" };
    expect(ownForwarding).toBe(false);
    expect(networks.map((network) => network.runtimeConfig)).toEqual([{}, { portMappings: [mapping] }]);
  });

  test("names interfaces in order, keeps file names apart, passes arguments on", () => {
    const confs = ["a", "b"].map((name) => conf(name, "10.conflist", { type: "one" }));
    const { networks } = plan(confs, "a,b:IP=10.213.0.9;X=1");
    expect(networks[1]).toMatchObject({
      ifName: "eth1",
      file: "10-2.conflist",
      cniArgs: "IP=10.213.0.9;X=1",
      pluginPath: join(pluginDir, "one"),
    });
  });

  test("lets plugins pass over an argument that another one of the network knows, and over no other", () => {
    const a = conf("a", "a.conf", { type: "one" });
    const cniArgs = (args: string) => plan([a], `a${args}`).networks[0]?.cniArgs;
    expect(cniArgs(":IP=10.213.0.9")).toBe("IP=10.213.0.9;IgnoreUnknown=1");
    expect(cniArgs(":IP=10.213.0.9;GATEWAY=10.213.0.1")).toBe("IP=10.213.0.9;GATEWAY=10.213.0.1;IgnoreUnknown=1");
    expect(cniArgs(":IPP=10.213.0.9")).toBe("IPP=10.213.0.9");
    expect(cniArgs(":X=1;IgnoreUnknown=true")).toBe("X=1;IgnoreUnknown=true");
    expect(cniArgs("")).toBe("");
  });

  test("hands an address over as a runtime value where a plugin declares that it takes one", () => {
    const a = conf(
      "a",
      "a.conflist",
      { type: "one", capabilities: { ips: true } },
      { type: "two", capabilities: { mac: true } },
    );
    expect(plan([a], "a:IP=10.213.0.9;X=1;MAC=02:00:00:00:00:01").networks[0]).toMatchObject({
      args: "IP=10.213.0.9;X=1;MAC=02:00:00:00:00:01",
      cniArgs: "X=1",
      runtimeConfig: { ips: ["10.213.0.9"], mac: "02:00:00:00:00:01" },
    });
  });

  test("hands over every runtime value of the conventions that a plugin declares, and no other", () => {
    const capabilities = {
      aliases: true,
      ipRanges: true,
      deviceID: true,
      infinibandGUID: true,
      cgroupPath: true,
      dns: true,
    };
    const [a, b] = ["a", "b"].map((name) =>
      conf(name, `${name}.conflist`, { type: "one", ...(name === "a" ? { capabilities } : {}) }),
    ) as [NetworkConf, NetworkConf];
    const args = "aliases=web+www;ipRanges=10.1.0.0/24+fd00::/64;deviceID=0000:01:00.0;infinibandGUID=24:8a:07;K=V";
    const values = {
      cgroupPath: "/rkt/x",
      dns: { servers: ["192.0.2.1"], searches: [] },
      bandwidth: { egressRate: 8 },
    };
    const { networks } = planNetworks([a, b], parseNetList(`a:${args},b:aliases=x`), [], [pluginDir], values);
    expect(networks[0]).toMatchObject({ cniArgs: "K=V" });
    expect(networks[0]?.runtimeConfig).toEqual({
      cgroupPath: "/rkt/x",
      dns: { servers: ["192.0.2.1"], searches: [] },
      aliases: ["web", "www"],
      ipRanges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00::/64" }]],
      deviceID: "0000:01:00.0",
      infinibandGUID: "24:8a:07",
    });
    expect(networks[1]).toMatchObject({ cniArgs: "aliases=x", runtimeConfig: {} });
  });

  test("names a plugin that is not installed", () => {
    expect(() => plan([conf("a", "a.conflist", { type: "nowhere" })])).toThrow('Could not find plugin "nowhere"');
  });
});

describe("tearDownNetwork", () => {
  const { host } = recordingHost();
  const state = { ifName: "eth0", args: "IP=10.213.0.9", version: "1.0.0", runtimeConfig: {} } as const;
  const second = parseNetworkConf("20-b.conf", "20-b.conf", '{"name":"b","type":"two","cniVersion":"1.0.0"}');

  test("deletes recorded networks in reverse order, one of them killed within its ADD, and forgets them", async () => {
    recordNetwork(podDir, "10-chain.conflist", list("1.0.0", { type: "one" }), { ...state, result: undefined });
    recordState(podDir, "10-chain.conflist", { ...state, result: { ips: [] } });
    recordNetwork(podDir, "20-b.conf", second, { ...state, ifName: "eth1", result: undefined });
    expect(await tearDownNetwork({ ...context, host })).toEqual([]);
    expect(short()).toEqual(["DEL two", "DEL one"]);
    expect(calls().map((call) => [call.ifName, call.args, call.conf.prevResult])).toEqual([
      ["eth1", "IP=10.213.0.9", undefined],
      ["eth0", "IP=10.213.0.9", { ips: [] }],
    ]);
    expect(existsSync(join(podDir, "net"))).toBe(false);
    expect(await tearDownNetwork({ ...context, host })).toEqual([]);
    expect(calls()).toHaveLength(2);
  });

  test("says which plugins it executes, and nothing after them", async () => {
    recordNetwork(podDir, "20-b.conf", second, { ...state, result: {} });
    await tearDownNetwork({ ...context, host });
    expect(events).toEqual([{ kind: "debug", source: "networking", text: "teardown - executing net-plugin two" }]);
  });

  test("keeps the record of a network whose DEL failed, for another try, and goes on with the others", async () => {
    plugin("two", '{"code":7,"msg":"busy"}', 1);
    recordNetwork(podDir, "10-chain.conflist", list("1.0.0", { type: "one" }), { ...state, result: {} });
    recordNetwork(podDir, "20-b.conf", second, { ...state, result: {} });
    const problems = await tearDownNetwork({ ...context, host });
    expect(problems.map((problem) => problem.what)).toEqual(['network "b"']);
    expect(readdirSync(join(podDir, "net")).sort()).toEqual(["20-b.conf", "20-b.conf.state"]);
    plugin("two", "");
    expect(await tearDownNetwork({ ...context, host })).toEqual([]);
    expect(existsSync(join(podDir, "net"))).toBe(false);
  });

  test("reports a record that cannot be read", async () => {
    recordNetwork(podDir, "20-b.conf", second, { ...state, result: {} });
    writeFileSync(join(podDir, "net", "20-b.conf"), "");
    const [problem] = await tearDownNetwork({ ...context, host });
    expect(problem?.what).toBe('network file "20-b.conf"');
  });

  test("never unmounts what is not a namespace's place", async () => {
    for (const path of ["/etc/passwd", "/run/netns/../../etc/passwd", "/run/netns/.."]) {
      const recording = recordingHost();
      recordNetns(podDir, path);
      const [problem] = await tearDownNetwork({ ...context, host: recording.host });
      expect(problem?.error.message).toContain("expected /run/netns/NAME");
      expect(recording.calls).toEqual([]);
    }
  });

  test("writes what rkt list shows, and falls back to it when a state was lost", async () => {
    recordNetwork(podDir, "20-b.conf", second, { ...state, result: undefined });
    const ip4 = { ip: "10.213.0.2", prefix: 24, gateway: undefined };
    const ip6 = { ip: "fd00::2", prefix: 64, gateway: undefined };
    const common = { network: "b", routes: [], mac: undefined, mtu: undefined };
    saveNetInfo(podDir, [
      { file: "20-b.conf", pluginPath: "/p/two", args: "A=1", interface: { ...common, ifName: "eth7", ip4, ip6 } },
    ]);
    expect(JSON.parse(readFileSync(join(podDir, "net-info.json"), "utf8"))).toEqual([
      {
        netName: "b",
        netConf: "net/20-b.conf",
        pluginPath: "/p/two",
        ifName: "eth7",
        ip: "10.213.0.2",
        args: "A=1",
        mask: "255.255.255.0",
        ip6: "fd00::2",
        prefix6: 64,
      },
    ]);
    recordState(podDir, "20-b.conf", { ...state, args: "", result: undefined });
    expect(recordedNetworks(podDir)[0]).toMatchObject({ state: { ifName: "eth0", args: "" } });
    writeFileSync(join(podDir, "net", "20-b.conf.state"), "");
    await tearDownNetwork({ ...context, host });
    expect(calls()[0]).toMatchObject({ ifName: "eth7", args: "A=1" });
  });
});

test("programEnvironment() keeps what a plugin may need and nothing that steers or belongs to rkt", () => {
  const env = programEnvironment({
    PATH: "/bin",
    HTTPS_PROXY: "p",
    BUN_OPTIONS: "x",
    RKT_LOCK_FD: "3",
    LISTEN_FDS: "1",
  });
  expect(env).toEqual({ PATH: "/bin:/usr/sbin:/sbin", HTTPS_PROXY: "p" });
});
