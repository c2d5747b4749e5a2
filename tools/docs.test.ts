/** What the documents name is there: files behind links, and the tests that the threat model cites. */

import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dir, "..");
const documents = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];

describe("links", () => {
  test.each(documents)("of %s lead to files", (document) => {
    const text = readFileSync(join(root, document), "utf8").replace(/```.*?```/gs, "");
    const targets = [...text.matchAll(/\]\(([^)#\s]+)/g)].map((match) => match[1] ?? "");
    const files = targets.filter((target) => !/^[a-z]+:/.test(target));
    expect(files.filter((target) => !existsSync(join(root, dirname(document), target)))).toEqual([]);
  });
});

test("the threat model cites tests that exist, at least one under each heading unless it says that nothing is tested", () => {
  const text = readFileSync(join(root, "docs/threat-model.md"), "utf8");
  const attacks = text.split(/^### /m).slice(1);
  expect(attacks.length).toBeGreaterThan(15);
  const missing = attacks.flatMap((attack) => {
    const [title = ""] = attack.split("\n");
    const citations = [...attack.matchAll(/^- `((?:tests|src|stage1)\/\S+\.test\.ts)`: "(.+)"$/gm)];
    if (citations.length === 0 && !attack.includes("Not tested")) return [`${title}: no test`];
    return citations.flatMap(([, file = "", name = ""]) =>
      existsSync(join(root, file)) && readFileSync(join(root, file), "utf8").includes(name) ? [] : [`${file}: ${name}`],
    );
  });
  expect(missing).toEqual([]);
});
