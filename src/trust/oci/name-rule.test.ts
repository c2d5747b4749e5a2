import { describe, expect, test } from "bun:test";
import { parseImageName } from "./image-name.ts";
import { type NameRule, nameProblem } from "./name-rule.ts";

const image = (text: string) => {
  const name = parseImageName(text);
  if (name === undefined) throw new Error(text);
  return name;
};
const DIGEST = `sha256:${"a".repeat(64)}`;

describe("parseImageName", () => {
  test("one form for one image", () => {
    const hub = { repository: "docker.io/library/busybox", tag: undefined, digest: undefined };
    for (const text of [
      "busybox",
      "docker.io/busybox",
      "index.docker.io/library/busybox",
      "registry-1.docker.io/library/busybox",
    ]) {
      expect(parseImageName(text)).toEqual(hub);
    }
    expect(parseImageName("localhost/app:1")).toEqual({ repository: "localhost/app", tag: "1", digest: undefined });
    expect(parseImageName(`Reg.Example:5000/team/app:v1@${DIGEST}`)).toEqual({
      repository: "reg.example:5000/team/app",
      tag: "v1",
      digest: DIGEST,
    });
  });

  test("what is none", () => {
    for (const text of [
      "",
      "/app",
      "a//b",
      "a/../b",
      "a/./b",
      "app@sha256:12",
      "a b",
      "app:",
      "reg.example/app/",
      "x".repeat(2000),
    ]) {
      expect(parseImageName(text)).toBeUndefined();
    }
  });
});

describe("nameProblem", () => {
  const app = image("reg.example/team/app:1.0");
  const pinned = image(`reg.example/team/app@${DIGEST}`);
  const cases: [NameRule, good: string[], bad: string[]][] = [
    [
      { rule: "same", image: app },
      ["reg.example/team/app", "reg.example/team/app:1.0"],
      [
        "reg.example/team/app:2.0",
        "reg.example/team/apps",
        "reg.example/team",
        "other.example/team/app",
        "team/app",
        "nonsense name",
      ],
    ],
    [
      { rule: "same", image: pinned },
      ["reg.example/team/app", "reg.example/team/app:1.0"],
      [`reg.example/team/app@sha256:${"b".repeat(64)}`, "reg.example/team/other"],
    ],
    [
      { rule: "below", prefixes: ["reg.example/team", "docker.io"] },
      ["reg.example/team/app:1", "reg.example/team", "busybox"],
      ["reg.example/teams/app", "reg.example/other"],
    ],
    [{ rule: "below", prefixes: [""] }, ["anything.example/at/all"], ["no name"]],
    [
      { rule: "matchExact", image: app },
      ["reg.example/team/app:1.0"],
      ["reg.example/team/app", "reg.example/team/app:2.0"],
    ],
    [{ rule: "matchExact", image: pinned }, [], ["reg.example/team/app:1.0", `reg.example/team/app@${DIGEST}`]],
    [
      { rule: "matchRepoDigestOrExact", image: app },
      ["reg.example/team/app:1.0"],
      ["reg.example/team/app", "reg.example/team/app:2.0"],
    ],
    [
      { rule: "matchRepoDigestOrExact", image: pinned },
      ["reg.example/team/app:2.0", "reg.example/team/app"],
      ["reg.example/team/other:1.0"],
    ],
    [
      { rule: "matchRepository", image: app },
      ["reg.example/team/app:2.0", "reg.example/team/app"],
      ["reg.example/team/other:1.0"],
    ],
    [{ rule: "exactReference", reference: "a.example/b:1" }, ["a.example/b:1"], ["a.example/b:2", "a.example/b"]],
    [{ rule: "exactRepository", repository: "a.example/b" }, ["a.example/b:1", "a.example/b"], ["a.example/c:1"]],
    [
      { rule: "remapIdentity", image: app, prefix: "reg.example/team", signedPrefix: "origin.example/them" },
      ["origin.example/them/app:1.0"],
      ["reg.example/team/app:1.0", "origin.example/them/app:2.0"],
    ],
    [
      { rule: "remapIdentity", image: app, prefix: "reg.example/tea", signedPrefix: "origin.example/them" },
      ["reg.example/team/app:1.0"],
      ["origin.example/themm/app:1.0"],
    ],
  ];
  test.each(cases)("%j", (rule, good, bad) => {
    for (const name of good) expect([name, nameProblem(rule, name)]).toEqual([name, undefined]);
    for (const name of bad) expect([name, nameProblem(rule, name) !== undefined]).toEqual([name, true]);
  });

  test("a layout matches no rule that needs the image's name", () => {
    for (const rule of ["matchExact", "matchRepoDigestOrExact", "matchRepository"] as const) {
      expect(nameProblem({ rule, image: undefined }, "a.example/b:1")).toContain("an image of a registry");
    }
  });

  test("a signature without a name is enough for rkt's own keys only", () => {
    expect(nameProblem({ rule: "same", image: app }, undefined)).toBeUndefined();
    expect(nameProblem({ rule: "matchRepository", image: app }, undefined)).toContain("names no image");
  });
});
