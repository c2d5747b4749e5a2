import { describe, expect, test } from "bun:test";
import { discoverKeys } from "./discover-keys.ts";

const TAG = '<meta name="ac-discovery-pubkeys" content="example.com/app https://example.com/key.asc">';

describe("discoverKeys", () => {
  const discover = async (prefix: string, pages: Record<string, string>, allowHttp = false) => {
    const asked: string[] = [];
    const keys = await discoverKeys(
      prefix,
      allowHttp,
      async (url) => {
        asked.push(url);
        const page = pages[url];
        if (page === undefined) throw new Error("404");
        return Buffer.from(page);
      },
      () => {},
    ).catch((error: Error) => error.message);
    return { keys, asked };
  };

  test("walks up to the host, and stops at the first page with keys for the prefix", async () => {
    expect(await discover("example.com/app/sub", { "https://example.com?ac-discovery=1": TAG })).toEqual({
      keys: ["https://example.com/key.asc"],
      asked: [
        "https://example.com/app/sub?ac-discovery=1",
        "https://example.com/app?ac-discovery=1",
        "https://example.com?ac-discovery=1",
      ],
    });
  });

  test("a tag for another prefix does not count", async () => {
    const { keys } = await discover("example.com/apple", { "https://example.com?ac-discovery=1": TAG });
    expect(keys).toBe("meta tag 'ac-discovery-pubkeys' not found on example.com/apple");
  });

  test("http only when allowed", async () => {
    expect((await discover("example.com", { "http://example.com?ac-discovery=1": "" })).asked).toHaveLength(1);
    expect((await discover("example.com/app", { "http://example.com/app?ac-discovery=1": TAG }, true)).keys).toEqual([
      "https://example.com/key.asc",
    ]);
  });
});
