import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RktEvent } from "../core/events.ts";
import { executionConf, parseNetworkConf } from "./conf.ts";
import { loadNetworks } from "./load.ts";
import { parseNetList } from "./net-list.ts";

const dir = mkdtempSync(join(tmpdir(), "rkt-load-"));
const netDir = join(dir, "net.d");
let events: RktEvent[] = [];
const load = (net: string) => loadNetworks(parseNetList(net), dir, (event) => events.push(event));
const lines = () => events.map((event) => ("text" in event ? event.text : ""));
const write = (file: string, conf: unknown) =>
  writeFileSync(join(netDir, file), typeof conf === "string" ? conf : JSON.stringify(conf));

beforeEach(() => {
  rmSync(netDir, { recursive: true, force: true });
  mkdirSync(netDir, { recursive: true });
  events = [];
});
afterAll(() => rmSync(dir, { recursive: true }));

describe("loadNetworks", () => {
  test("has the two built-in networks without any configuration", () => {
    rmSync(netDir, { recursive: true });
    const [conf] = load("default");
    expect(conf).toMatchObject({ name: "default", file: "99-default.conf", version: "0.1.0", ipMasq: true });
    expect(load("default-restricted")[0]?.ipMasq).toBe(false);
    expect(lines()[0]).toBe(`loading networks from ${netDir}`);
  });

  test("orders by file name, whatever the order asked for, and ignores other files", () => {
    write("20-b.conf", { name: "b", type: "ptp" });
    write("10-a.conflist", { name: "a", cniVersion: "1.0.0", plugins: [{ type: "bridge" }, { type: "portmap" }] });
    write("30-c.conf.bak", "{");
    expect(load("default,b,a").map((conf) => conf.name)).toEqual(["a", "b", "default"]);
    expect(load("all").map((conf) => conf.name)).toEqual(["a", "b", "default-restricted", "default"]);
  });

  test("lets a user's network replace a built-in one, and the first file of a name win", () => {
    write("10-mine.conf", { name: "default", type: "bridge" });
    write("20-mine.conf", { name: "default", type: "macvlan" });
    const [conf, ...more] = load("default");
    expect(more).toEqual([]);
    expect(conf?.plugins[0]?.type).toBe("bridge");
    expect(lines()).toContain(`overriding "default" network with one from ${netDir}`);
    expect(lines()).toContain('"default" network already defined, ignoring 20-mine.conf');
  });

  test("names every network that is not there", () => {
    expect(() => load("x,default,y")).toThrow("networks not found: x, y");
  });

  test("adds the plugins in the directory named like the network (CNI 1.1.0)", () => {
    const plugins = [{ type: "bridge" }];
    write("10-a.conflist", { name: "a", cniVersion: "1.1.0", plugins });
    write("11-b.conflist", { name: "b", cniVersion: "1.1.0", loadOnlyInlinedPlugins: true, plugins });
    for (const name of ["a", "b"]) mkdirSync(join(netDir, name));
    write("a/10-tuning.conf", { type: "tuning" });
    write("b/10-tuning.conf", { type: "tuning" });
    const [a, b] = load("a,b");
    expect(a?.plugins.map((plugin) => plugin.type)).toEqual(["bridge", "tuning"]);
    expect(b?.plugins).toHaveLength(1);
    // The copy kept for the teardown stands by itself.
    expect(parseNetworkConf("10-a.conflist", "copy", a?.text ?? "").plugins).toHaveLength(2);
  });

  test.each([
    ["{", "error loading"],
    [{ type: "ptp" }, "the network has no name"],
    [{ name: "../x", type: "ptp" }, 'network name "../x"'],
    [{ name: "x", type: "../../bin/sh" }, 'plugin type "../../bin/sh"'],
    [{ name: "x" }, "a plugin has no type"],
    [{ name: "x", plugins: [] }, "has no plugins"],
    [{ name: "x", type: "ptp", cniVersion: "9.0.0" }, 'CNI version "9.0.0"'],
  ])("refuses %p", (conf, message) => {
    write("10-x.conf", conf);
    expect(() => load("default")).toThrow(message);
  });
});

describe("executionConf", () => {
  const conf = parseNetworkConf(
    "x.conflist",
    "x.conflist",
    JSON.stringify({
      name: "x",
      cniVersion: "0.4.0",
      plugins: [{ type: "portmap", capabilities: { portMappings: true, mac: false }, snat: true }],
    }),
  );
  const [plugin = { type: "", capabilities: new Set<string>(), fields: {} }] = conf.plugins;

  test("adds name, version, the runtime values asked for and the result before, and takes the capabilities out", () => {
    const values = { runtimeConfig: { portMappings: [1], mac: "02:00:00:00:00:01" }, prevResult: { ips: [] } };
    expect(JSON.parse(executionConf(conf, "0.4.0", plugin, values))).toEqual({
      type: "portmap",
      snat: true,
      name: "x",
      cniVersion: "0.4.0",
      runtimeConfig: { portMappings: [1] },
      prevResult: { ips: [] },
    });
  });

  test("adds nothing that is not there", () => {
    const text = executionConf(conf, "0.4.0", plugin, { runtimeConfig: {}, prevResult: undefined });
    expect(Object.keys(JSON.parse(text)).sort()).toEqual(["cniVersion", "name", "snat", "type"]);
  });
});
