import { describe, expect, test } from "bun:test";
import { discoveryTags } from "./meta-tags.ts";

const TAG = '<meta name="ac-discovery" content="e.com https://e.com/{name}.{ext}">';
const FOUND = { name: "ac-discovery", prefix: "e.com", location: "https://e.com/{name}.{ext}" };

describe("discoveryTags", () => {
  test.each([
    ["the specification's form", `<!DOCTYPE html>\n<html><head><title>My app</title>${TAG}</head></html>`],
    ["other case, quotes and order", "<META CONTENT='e.com  https://e.com/{name}.{ext} '\nNAME=ac-discovery />"],
    ["a value with references", TAG.replace("https://e.com", "https&#58;&#x2f;&#47;e.com")],
    ["odd neighbours", `<a b="<" c='>'><link x y=z/>< <1 </p>${TAG}`],
    ["a page without a head", TAG],
  ])("finds %s", (_, html) => {
    expect(discoveryTags(html)).toEqual([FOUND]);
  });

  test("keeps the page's order and both names", () => {
    const keys = '<meta name="ac-discovery-pubkeys" content="e.com https://e.com/key?a=1&amp;b=2">';
    expect(discoveryTags(keys + TAG + TAG).map(({ location }) => location)).toEqual([
      "https://e.com/key?a=1&b=2",
      FOUND.location,
      FOUND.location,
    ]);
  });

  test.each([
    ["a comment", `<!-- ${TAG} -->`],
    ["a comment that does not end", `<!-- ${TAG}`],
    ["a script", `<script>document.write('${TAG}')</script >`],
    ["a title", `<title>${TAG}`],
    ["another attribute", `<p title='${TAG}'>`],
    ["a body", `<head></head><body>${TAG}`],
    ["a body without a head", `<body class=x>${TAG}`],
    ["a tag with one part", '<meta name="ac-discovery" content="e.com">'],
    ["a tag with three parts", '<meta name="ac-discovery" content="e.com https://e.com x">'],
    ["another name", '<meta name="ac-discovery-x" content="e.com https://e.com">'],
    ["a second name of one tag", '<meta name="x" name="ac-discovery" content="e.com https://e.com">'],
    ["what is no tag", '< meta name="ac-discovery" content="e.com https://e.com">'],
    ["a tag that does not end", '<meta name="ac-discovery" content="e.com https://e.com'],
  ])("takes nothing from %s", (_, html) => {
    expect(discoveryTags(html)).toEqual([]);
  });

  /** Each of these costs a parser that looks back its time times its length. */
  test.each([
    "<",
    "<a ",
    '<a b="',
    "<a b='",
    "<a b=",
    "<!--",
    "<script>",
    "<a b = c",
    "<title></title",
    "&amp;",
    "<a\n\n",
  ])("reads a megabyte of %p in one pass", (piece) => {
    const html = piece.repeat(Math.ceil(1_000_000 / piece.length));
    expect(discoveryTags(html)).toEqual([]);
    expect(discoveryTags(`${TAG}${html}`)).toEqual([FOUND]);
  });

  test("stops counting somewhere", () => {
    expect(discoveryTags(TAG.repeat(10_000)).length).toBe(256);
  });
});
