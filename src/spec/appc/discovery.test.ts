import { describe, expect, test } from "bun:test";
import { parseAppString } from "./app-string.ts";
import { discoveryPlaces, discoveryUrl, imageEndpoints } from "./discovery.ts";
import { appcArch } from "./os-arch.ts";

test("places go up to the host", () => {
  expect(discoveryPlaces("e.com/a/b")).toEqual(["e.com/a/b", "e.com/a", "e.com"]);
  expect(discoveryUrl("https", "e.com/a")).toBe("https://e.com/a?ac-discovery=1");
});

describe("imageEndpoints", () => {
  const tag = (location: string, prefix = "e.com", name = "ac-discovery") => ({ name, prefix, location });
  const endpoints = (app: string, ...tags: ReturnType<typeof tag>[]) => imageEndpoints(tags, parseAppString(app));
  const arch = appcArch();
  const TEMPLATE = "https://s.e.com/{name}-{version}-{os}-{arch}.{ext}";

  test("fills in name, labels and defaults, in the page's order", () => {
    expect(endpoints("e.com/a/b:1.0,arch=ppc64le", tag(TEMPLATE), tag("http://m/{name}.{ext}"))).toEqual([
      {
        image: "https://s.e.com/e.com/a/b-1.0-linux-ppc64le.aci",
        signature: "https://s.e.com/e.com/a/b-1.0-linux-ppc64le.aci.asc",
      },
      { image: "http://m/e.com/a/b.aci", signature: "http://m/e.com/a/b.aci.asc" },
    ]);
    expect(endpoints("e.com/a", tag(TEMPLATE))[0]?.image).toBe(`https://s.e.com/e.com/a-latest-linux-${arch}.aci`);
    expect(endpoints("e.com/a:", tag("https://m/{version}.{ext}"))[0]?.image).toBe("https://m/latest.aci");
    expect(endpoints("e.com/a,channel=beta", tag("https://m/{channel}.{ext}"))[0]?.image).toBe("https://m/beta.aci");
  });

  test("a prefix is the beginning of a name (rkt 1.x)", () => {
    const found = (app: string, prefix: string) => endpoints(app, tag(TEMPLATE, prefix)).length;
    expect(found("e.com/reduce-worker", "e.com/reduce")).toBe(1);
    expect(found("e.com/a", "e.com/b")).toBe(0);
    expect(found("e.com", "e.com/a")).toBe(0);
  });

  test.each([
    ["a variable that nothing fills", "https://m/{name}-{flavor}.{ext}"],
    ["another scheme", "hdfs://m/{name}.{ext}"],
    ["no URL", "{name}.{ext}"],
    ["credentials", "https://user:password@m/{name}.{ext}"],
  ])("passes over %s", (_, template) => {
    expect(endpoints("e.com/a", tag(template), tag("https://m/{name}.{ext}")).map(({ image }) => image)).toEqual([
      "https://m/e.com/a.aci",
    ]);
  });

  test("a label stays one part of the URL", () => {
    const image = (version: string) =>
      imageEndpoints([tag("https://m/{version}/{name}.{ext}")], {
        name: "e.com/a",
        labels: [{ name: "version", value: version }],
      })[0]?.image;
    expect(image("1.0+git")).toBe("https://m/1.0+git/e.com/a.aci");
    expect(image("../x?y#z{os}")).toBe("https://m/..%2Fx%3Fy%23z%7Bos%7D/e.com/a.aci");
  });

  test("keys are no images", () => {
    expect(endpoints("e.com/a", tag("https://m/key", "e.com", "ac-discovery-pubkeys"))).toEqual([]);
  });
});
