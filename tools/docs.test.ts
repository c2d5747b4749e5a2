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

/** As the places that show Markdown make it: small letters, no punctuation, a dash for each space. */
const anchor = (title: string) =>
  title
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

describe("links", () => {
  test.each(documents)("of %s lead to files", (document) => {
    const text = readFileSync(join(root, document), "utf8").replace(/```.*?```/gs, "");
    const targets = [...text.matchAll(/\]\(([^)#\s]+)/g)].map((match) => match[1] ?? "");
    const files = targets.filter((target) => !/^[a-z]+:/.test(target));
    expect(files.filter((target) => !existsSync(join(root, dirname(document), target)))).toEqual([]);
  });

  test.each(documents)("of %s to a part of it lead to its headings", (document) => {
    const text = readFileSync(join(root, document), "utf8").replace(/```.*?```/gs, "");
    const headings = new Set([...text.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) => anchor(title)));
    const targets = [...text.matchAll(/\]\(#(\S+?)\)/g)].map((match) => match[1] ?? "");
    expect(targets.filter((target) => !headings.has(target))).toEqual([]);
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

test("the headings of the page about troubleshooting are texts of the program", () => {
  const source = ["src", "stage1"]
    .flatMap((directory) =>
      readdirSync(join(root, directory), { recursive: true, encoding: "utf8" }).map((name) => join(directory, name)),
    )
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .map((name) => readFileSync(join(root, name), "utf8"))
    .join("\n");
  const text = readFileSync(join(root, "docs/troubleshooting.md"), "utf8");
  const headings = [...text.matchAll(/^### `([^`]+)`/gm)].map((match) => match[1] ?? "");
  expect(headings.length).toBeGreaterThan(40);
  const parts = headings.flatMap((heading) => heading.split("…").map((part) => part.trim()));
  expect(parts.filter((part) => part.length > 2 && !source.includes(part))).toEqual([]);
});
