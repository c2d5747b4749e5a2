import { describe, expect, test } from "bun:test";
import { byteUnits, jsonProgress, liveProgress } from "./progress.ts";

/** A terminal that knows the few control sequences that are used. */
function screen() {
  const lines: string[] = [""];
  return {
    write(text: string) {
      for (const [part] of text.matchAll(/\x1b\[[?\d]*[A-Za-z]|\r|\n|[^\x1b\r\n]+/g)) {
        const up = /^\x1b\[(\d+)A$/.exec(part)?.[1];
        if (up !== undefined) lines.length -= Number(up);
        else if (part === "\x1b[J") lines[lines.length - 1] = "";
        else if (part === "\n") lines.push("");
        else if (part !== "\r" && !part.startsWith("\x1b")) lines[lines.length - 1] += part;
      }
    },
    lines: () => lines.filter((line) => line !== ""),
  };
}

test("jsonProgress writes one object a line", () => {
  const lines: string[] = [];
  const progress = jsonProgress((text) => void lines.push(text));
  progress.update("ACI", 1, 10);
  progress.update("ACI\n", 2, undefined);
  expect(lines).toEqual([
    '{"event":"progress","label":"ACI","done":1,"total":10}\n',
    '{"event":"progress","label":"ACI\\n","done":2,"total":null}\n',
  ]);
});

describe("liveProgress", () => {
  test("a line each, redrawn in place, and left behind when all is done", () => {
    const { write, lines } = screen();
    let time = 0;
    const progress = liveProgress(write, () => time);
    progress.update("ACI", 0, 10_000_000);
    time += 200;
    progress.update("signature", 0, 100);
    expect(lines()).toEqual([
      "Downloading ACI: [>                   ] 0 B/10 MB",
      "Downloading signature: [>                   ] 0 B/100 B",
    ]);
    time += 200;
    progress.update("ACI", 3_200_000, 10_000_000);
    progress.aside(() => write("image: a line\n"));
    expect(lines()).toEqual([
      "image: a line",
      "Downloading ACI: [======>             ] 3.2 MB/10 MB",
      "Downloading signature: [>                   ] 0 B/100 B",
    ]);
    progress.update("ACI", 10_000_000, 10_000_000);
    progress.update("signature", 100, 100);
    progress.aside(() => write("done\n"));
    expect(lines()).toEqual([
      "image: a line",
      "Downloading ACI: [====================] 10 MB/10 MB",
      "Downloading signature: [====================] 100 B/100 B",
      "done",
    ]);
  });

  test("is not redrawn more often than ten times a second", () => {
    let writes = 0;
    let time = 0;
    const progress = liveProgress(
      () => writes++,
      () => time,
    );
    for (let i = 0; i < 1000; i++) {
      time += 1;
      progress.update("ACI", i, 1000);
    }
    expect(writes).toBeLessThan(25);
  });
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [3_200_000, "3.2 MB"],
  [997_123, "997 KB"],
  [12_345_678_901, "12.3 GB"],
])("byteUnits(%p)", (bytes, text) => {
  expect(byteUnits(bytes)).toBe(text);
});
