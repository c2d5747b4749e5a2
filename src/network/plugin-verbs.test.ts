/** CHECK, STATUS and GC, with plugins that note what they were given. */

import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkNetwork, collectNetwork, networkStatus } from "./chain.ts";
import { type NetworkConf, parseNetworkConf } from "./conf.ts";
import { parseView } from "./namespace-view.ts";

const dir = mkdtempSync(join(tmpdir(), "rkt-verbs-"));
const log = join(dir, "log");
const where = { dirs: [dir], emit: () => {} };
const attachment = { containerId: "u", netns: "/run/netns/cni-u", ifName: "eth0", args: "A=1", ...where };
const RESULT = { cniVersion: "1.1.0", ips: [{ address: "10.213.0.2/24" }] };

/** A plugin that appends its call to the log and answers with `answer`, or fails. */
function plugin(type: string, answer = "", status = 0): void {
  const script = `#!/bin/sh
conf=$(cat)
printf '{"type":"${type}","command":"%s","id":"%s","netns":"%s","args":"%s","conf":%s}\\n' "$CNI_COMMAND" "\${CNI_CONTAINERID-absent}" "\${CNI_NETNS-absent}" "\${CNI_ARGS-absent}" "$conf" >> ${log}
printf '%s' '${answer}'
exit ${status}
`;
  writeFileSync(join(dir, type), script, { mode: 0o755 });
}

interface Call {
  type: string;
  command: string;
  id: string;
  netns: string;
  args: string;
  conf: Record<string, unknown>;
}

function calls(): Call[] {
  if (!existsSync(log)) return [];
  const lines = readFileSync(log, "utf8").trim().split("\n");
  return lines.map((line): Call => JSON.parse(line));
}

function list(more: object = {}): NetworkConf {
  const plugins = [{ type: "one", capabilities: { mac: true } }, { type: "two" }];
  const text = JSON.stringify({ name: "verbs", cniVersion: "1.1.0", plugins, ...more });
  return parseNetworkConf("10-verbs.conflist", "10-verbs.conflist", text);
}

beforeEach(() => {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  for (const type of ["one", "two"]) plugin(type);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("checkNetwork", () => {
  test("gives each plugin, in order, the result of the whole network and its runtime values", async () => {
    expect(await checkNetwork(list(), "1.1.0", { mac: "02::1" }, RESULT, attachment)).toBeTrue();
    const base = { command: "CHECK", id: "u", netns: "/run/netns/cni-u", args: "A=1" };
    const conf = { cniVersion: "1.1.0", name: "verbs", prevResult: RESULT };
    expect(calls()).toEqual([
      { type: "one", ...base, conf: { ...conf, type: "one", runtimeConfig: { mac: "02::1" } } },
      { type: "two", ...base, conf: { ...conf, type: "two" } },
    ]);
  });

  test("stops at the plugin that finds something, and tells in its words", async () => {
    plugin("one", '{"code":100,"msg":"no route","details":"to 10.0.0.0/8"}', 1);
    await expect(checkNetwork(list(), "1.1.0", {}, RESULT, attachment)).rejects.toThrow(
      'Cannot check network "verbs": plugin "one" failed: no route; to 10.0.0.0/8 (CNI error code 100)',
    );
    expect(calls().map(({ type }) => type)).toEqual(["one"]);
  });

  test.each([
    ["before 0.4.0", list(), "0.3.1", RESULT],
    ["where it is switched off", list({ disableCheck: true }), "1.1.0", RESULT],
    ["where it is switched off by a word", list({ disableCheck: "true" }), "1.1.0", RESULT],
    ["without a result", list(), "1.1.0", undefined],
  ] as const)("asks nobody %s", async (_when, conf, version, result) => {
    expect(await checkNetwork(conf, version, {}, result, attachment)).toBeFalse();
    expect(calls()).toEqual([]);
  });
});

describe("networkStatus", () => {
  test("asks every plugin, about the network and no pod", async () => {
    expect(await networkStatus(list(), "1.1.0", where)).toBeTrue();
    const base = { command: "STATUS", id: "absent", netns: "absent", args: "absent" };
    const conf = { cniVersion: "1.1.0", name: "verbs" };
    expect(calls()).toEqual([
      { type: "one", ...base, conf: { ...conf, type: "one" } },
      { type: "two", ...base, conf: { ...conf, type: "two" } },
    ]);
  });

  test("tells which plugin cannot add a pod, and asks nobody before 1.1.0", async () => {
    plugin("two", '{"code":50,"msg":"no addresses left"}', 1);
    await expect(networkStatus(list(), "1.1.0", where)).rejects.toThrow(
      'Cannot use network "verbs": plugin "two" failed: no addresses left (CNI error code 50)',
    );
    rmSync(log);
    expect(await networkStatus(list(), "1.0.0", where)).toBeFalse();
    expect(calls()).toEqual([]);
  });
});

describe("collectNetwork", () => {
  const valid = [{ containerID: "u", ifname: "eth0" }];

  test("tells every plugin what is in use, also after one has failed", async () => {
    plugin("one", '{"code":11,"msg":"try again"}', 1);
    const errors = await collectNetwork(list(), "1.1.0", valid, where);
    expect(errors?.map(({ message }) => message)).toEqual([
      'Cannot collect garbage of network "verbs": plugin "one" failed: try again (CNI error code 11)',
    ]);
    expect(
      calls().map(({ type, command, id, conf }) => [type, command, id, conf["cni.dev/valid-attachments"]]),
    ).toEqual([
      ["one", "GC", "absent", valid],
      ["two", "GC", "absent", valid],
    ]);
  });

  test("asks nobody before 1.1.0, or where it is switched off", async () => {
    expect(await collectNetwork(list(), "1.0.0", valid, where)).toBeUndefined();
    expect(await collectNetwork(list({ disableGC: true }), "1.1.0", valid, where)).toBeUndefined();
    expect(calls()).toEqual([]);
  });
});

describe("parseView", () => {
  test("finds interfaces and addresses in /proc/net", () => {
    const devices = "Inter-|   Receive\n face |bytes\n    lo: 0 0\n  eth0: 1 2\n";
    const trie =
      "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.213.0.2\n        /32 host LOCAL\n     |-- 10.213.0.255\n        /32 link BROADCAST\n";
    const view = parseView(devices, trie, "fd000000000000000000000000000002 02 40 00 80     eth0\n");
    expect([...view.interfaces]).toEqual(["lo", "eth0"]);
    for (const ip of ["10.213.0.2", "fd00::2"]) expect(view.hasAddress(ip)).toBeTrue();
    for (const ip of ["10.213.0.255", "10.213.0.20", "fd00::3"]) expect(view.hasAddress(ip)).toBeFalse();
  });
});
