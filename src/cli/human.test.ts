import { describe, expect, test } from "bun:test";
import { goTime, humanSize, humanTime } from "./human.ts";

const now = new Date("2026-08-01T12:00:00Z");
const ago = (seconds: number) => humanTime(new Date(now.getTime() - seconds * 1000), now);

describe("humanTime", () => {
  test.each([
    [0, "now"],
    [1, "1 second ago"],
    [59, "59 seconds ago"],
    [60, "1 minute ago"],
    [150, "2 minutes ago"],
    [3600, "1 hour ago"],
    [2 * 3600, "2 hours ago"],
    [86400, "1 day ago"],
    [6 * 86400, "6 days ago"],
    [8 * 86400, "1 week ago"],
    [20 * 86400, "2 weeks ago"],
    [40 * 86400, "1 month ago"],
    [90 * 86400, "3 months ago"],
    [400 * 86400, "1 year ago"],
    [600 * 86400, "2 years ago"],
    [1500 * 86400, "4 years ago"],
    [20000 * 86400, "a long while ago"],
  ])("%d seconds: %s", (seconds, words) => expect(ago(seconds)).toBe(words));

  test("the future", () => expect(ago(-130)).toBe("2 minutes from now"));
});

describe("humanSize", () => {
  test.each([
    [0, "0B"],
    [9, "9B"],
    [100, "100B"],
    [1536, "1.5KiB"],
    [12 * 1024 * 1024, "12MiB"],
    [1024 ** 3, "1.0GiB"],
  ])("%d: %s", (bytes, words) => expect(humanSize(bytes)).toBe(words));
});

describe("goTime", () => {
  const inZone = (zone: string, milliseconds: number): string => {
    const script = `import { goTime } from ${JSON.stringify(`${import.meta.dir}/human.ts`)}; process.stdout.write(goTime(new Date(${milliseconds})));`;
    return Bun.spawnSync([process.execPath, "-e", script], { env: { TZ: zone } }).stdout.toString();
  };
  const winter = Date.parse("2015-12-14T11:30:33.652Z");
  const summer = Date.parse("2026-07-01T11:30:33.000Z");

  test("names the zone as Go does", () => {
    expect(inZone("Europe/Berlin", winter)).toBe("2015-12-14 12:30:33.652 +0100 CET");
    expect(inZone("Europe/Berlin", summer)).toBe("2026-07-01 13:30:33 +0200 CEST");
    expect(inZone("Etc/UTC", winter)).toBe("2015-12-14 11:30:33.652 +0000 UTC");
    expect(inZone("America/New_York", summer)).toBe("2026-07-01 07:30:33 -0400 EDT");
    expect(inZone("America/Sao_Paulo", summer)).toBe("2026-07-01 08:30:33 -0300 -0300");
  });

  test("takes nanoseconds, drops zeros at the end", () => {
    expect(goTime(1_450_000_000_120_000_000n)).toContain(".12 ");
  });
});
