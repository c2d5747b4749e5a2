import { describe, expect, test } from "bun:test";
import type { Config, RegistryRule } from "./config.ts";
import { mergeFiles } from "./merge.ts";
import { dockerCredentials } from "./mod.ts";
import { readConfigFile } from "./read-file.ts";
import { insecureHosts, pullEndpoints, pushEndpoint } from "./registries.ts";

function read(content: object): { config: Config; problems: string[] } {
  const json = JSON.stringify({ rktKind: "registries", rktVersion: "v1", ...content });
  const { entry, problems } = readConfigFile("/r/a.json", json, ["registries"]);
  const found = [...problems];
  const config = mergeFiles(entry === undefined ? [] : [{ file: "/r/a.json", entry }], found);
  return { config, problems: found.map(({ field, text }) => `${field}: ${text}`) };
}

const rules = (...registries: object[]) => read({ registries }).config;
const asked = (config: Config, name: string, pinned = false) => {
  const slash = name.indexOf("/");
  return pullEndpoints(config, { registry: name.slice(0, slash), repository: name.slice(slash + 1), pinned });
};
const places = (config: Config, name: string, pinned = false) =>
  asked(config, name, pinned).map(({ registry, repository }) => `${registry}/${repository}`);

describe("pullEndpoints", () => {
  test("without a rule: the registry itself, with TLS", () => {
    expect(asked(rules(), "quay.io/a/b")).toEqual([
      {
        registry: "quay.io",
        repository: "a/b",
        isMirror: false,
        connection: { insecure: false, caFile: undefined, clientCertificate: undefined, clientKey: undefined },
      },
    ]);
  });

  test("mirrors in order, then the registry; the prefix is rewritten", () => {
    const config = rules(
      { prefix: "docker.io", mirrors: [{ location: "m1:5000/hub" }, { location: "m2" }] },
      { prefix: "docker.io/library", mirrors: [{ location: "lib.example/base" }], location: "real.example/library" },
    );
    expect(places(config, "registry-1.docker.io/team/app")).toEqual([
      "m1:5000/hub/team/app",
      "m2/team/app",
      "registry-1.docker.io/team/app",
    ]);
    expect(places(config, "registry-1.docker.io/library/busybox")).toEqual([
      "lib.example/base/busybox",
      "real.example/library/busybox",
    ]);
    expect(places(config, "registry-1.docker.io/librarian/x")[0]).toBe("m1:5000/hub/librarian/x");
    expect(places(config, "docker.io.evil/x/y")).toEqual(["docker.io.evil/x/y"]);
  });

  test("a mirror for digests is not asked for tags, and the other way round", () => {
    const config = rules({
      prefix: "q.io",
      mirrors: [
        { location: "digests", pull: "digest-only" },
        { location: "tags", pull: "tag-only" },
      ],
    });
    expect(places(config, "q.io/a", true)).toEqual(["digests/a", "q.io/a"]);
    expect(places(config, "q.io/a", false)).toEqual(["tags/a", "q.io/a"]);
  });

  test("a connection takes what every matching prefix says, the longest last, and a mirror what it says itself", () => {
    const config = rules(
      { prefix: "q.io", caFile: "/q.pem", insecure: true },
      { prefix: "q.io/team", insecure: false, mirrors: [{ location: "m:1" }, { location: "m:1", caFile: "/own.pem" }] },
      { prefix: "m:1", caFile: "/m.pem", insecure: true },
    );
    const seen = asked(config, "q.io/team/a").map(({ connection: { insecure, caFile } }) => [insecure, caFile]);
    expect(seen).toEqual([
      [true, "/m.pem"],
      [true, "/own.pem"],
      [false, "/q.pem"],
    ]);
    expect(insecureHosts(config).sort()).toEqual(["m:1", "q.io"]);
  });

  test("a blocked registry is neither pulled from nor pushed to, and names the file", () => {
    const config = rules({ prefix: "bad.io", blocked: true, mirrors: [{ location: "m" }] }, { prefix: "bad.io/good" });
    expect(() => asked(config, "bad.io/x")).toThrow('Cannot use "bad.io/x": "bad.io" is blocked');
    expect(() => pushEndpoint(config, { registry: "bad.io", repository: "x" })).toThrow("is blocked");
    expect(places(config, "bad.io/good/x")).toEqual(["bad.io/good/x"]);
    expect(() => asked(rules({ prefix: "docker.io", blocked: true }), "registry-1.docker.io/a/b")).toThrow(
      "is blocked",
    );
  });

  test("a push goes past the mirrors", () => {
    const config = rules({ prefix: "q.io", mirrors: [{ location: "m" }], location: "real/q" });
    expect(pushEndpoint(config, { registry: "q.io", repository: "a" })).toMatchObject({
      registry: "real",
      repository: "q/a",
    });
  });
});

describe("kind registries", () => {
  test.each([
    [{ registries: [{}] }, "registries[0].prefix: no prefix specified"],
    [{ registries: [{ prefix: "https://q.io" }] }, 'registries[0].prefix: "https://q.io" is no place of images'],
    [{ registries: [{ prefix: "q.io", blokked: true }] }, "registries[0].blokked: unknown field"],
    [{ registries: [{ prefix: "q.io", blocked: "yes" }] }, "registries[0].blocked: expected true or false"],
    [{ registries: [{ prefix: "q.io", mirrors: [{}] }] }, "registries[0].mirrors[0].location: no location specified"],
    [{ registries: [{ prefix: "q.io", mirrors: {} }] }, "registries[0].mirrors: expected a list"],
    [{ registries: [{ prefix: "q.io", mirrors: [{ location: "m", pull: "x" }] }] }, 'expected one of "all"'],
    [{ registries: [{ prefix: "q.io", caFile: "ca.pem" }] }, "registries[0].caFile: expected an absolute path"],
    [{ registries: [{ prefix: "q.io", clientKey: "/k" }] }, "expected clientCertificate and clientKey together"],
    [{ caFiles: ["x"] }, "caFiles[0]: expected an absolute path"],
    [{ registries: [{ prefix: "a" }, { prefix: "a" }] }, 'settings for registry "a" are already specified'],
  ])("%j", (content, problem) => {
    expect(read(content).problems.join("\n")).toContain(problem);
  });
});

test("dockerCredentials: the longest path, of equals the last", () => {
  const config = rules();
  const login = (user: string) => ({ user, password: "p" });
  const dockerAuth = new Map(
    Object.entries({
      "q.io": login("all"),
      "q.io/team": login("team"),
      "docker.io": login("1"),
      "index.docker.io": login("2"),
    }),
  );
  const user = (registry: string, repository?: string) =>
    dockerCredentials({ ...config, dockerAuth }, registry, repository)?.user;
  expect([user("q.io", "x"), user("q.io", "team/x"), user("q.io", "teams/x"), user("q.io:443", "x")]).toEqual([
    "all",
    "team",
    "all",
    undefined,
  ]);
  expect(user("registry-1.docker.io", "library/x")).toBe("2");
});

test("rules keep their file", () => {
  const rule: RegistryRule | undefined = rules({ prefix: "a" }).registries.get("a");
  expect(rule?.file).toBe("/r/a.json");
});
