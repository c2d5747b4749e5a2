import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataDir } from "../core/data-dir.ts";
import { parseUuid } from "../core/uuid.ts";
import { linux } from "../host/linux.ts";
import { chooseIdRange, readIdRange, takeIdRange } from "./id-ranges.ts";

const dir = mkdtempSync(join(tmpdir(), "rkt-ranges-"));
afterAll(() => rmSync(dir, { recursive: true }));

let count = 0;
function files(content: { subuid?: string; subgid?: string; passwd?: string }) {
  count += 1;
  const write = (name: string, text = "") => {
    const file = join(dir, `${name}-${count}`);
    writeFileSync(file, text);
    return file;
  };
  return {
    subuid: write("subuid", content.subuid),
    subgid: write("subgid", content.subgid ?? content.subuid),
    passwd: write("passwd", content.passwd),
    group: write("group"),
  };
}

describe("the users of a pod", () => {
  test("are those set aside for rkt, one pod after the other, until none is left", () => {
    const host = files({ subuid: "root:100000:65536\nrkt:1000000:131072\n" });
    const first = chooseIdRange([], host);
    const second = chooseIdRange([first], host);
    expect([first, second]).toEqual([
      { shift: 1000000, count: 65536 },
      { shift: 1065536, count: 65536 },
    ]);
    expect(() => chooseIdRange([first, second], host)).toThrow("the 2 ranges");
  });

  test("are shared between engines, or root's, where rkt has none; never another user's", () => {
    expect(chooseIdRange([], files({ subuid: "root:100000:65536\ncontainers:2000000:65536\n" })).shift).toBe(2000000);
    expect(chooseIdRange([], files({ subuid: "0:300000:65536\n" })).shift).toBe(300000);
    const others = files({ subuid: "joe:524288:65536\n", passwd: "far:x:600000:600000::/:/bin/sh\n" });
    expect(chooseIdRange([], others, () => 0).shift).toBe(524288 + 2 * 65536);
  });

  test("have the same numbers as users and as groups", () => {
    const host = files({ subuid: "rkt:1000000:200000\n", subgid: "rkt:1065000:200000\n" });
    expect(chooseIdRange([], host)).toEqual({ shift: 1065000, count: 65536 });
    for (const subgid of ["", "rkt:1000000:1000\n", "rkt:5000000:65536\n"])
      expect(() => chooseIdRange([], files({ subuid: "rkt:1000000:65536\n", subgid }))).toThrow("in common");
  });

  test("lie where containers' ids are when nothing is set aside, and wrap around at the end", () => {
    const none = files({});
    const last = chooseIdRange([], none, (below) => below - 1);
    expect(last.shift + last.count).toBe(0x70000000);
    expect(chooseIdRange([last], none, (below) => below - 1).shift).toBe(0x80000);
  });

  test("are recorded with the pod, and pods of every state keep theirs", async () => {
    const dataDir = new DataDir(join(dir, "data"));
    const host = files({ subuid: "rkt:1000000:262144\n" });
    const taken: number[] = [];
    const states = ["prepare", "prepared", "run", "exited-garbage"] as const;
    const pods = states.map((state, index) =>
      dataDir.pod(state, parseUuid(`0000000${index}-0000-4000-8000-000000000000`)),
    );
    for (const pod of pods) mkdirSync(pod, { recursive: true });
    const ranges = await Promise.all(pods.map((pod) => takeIdRange(dataDir, linux, pod, host)));
    for (const { shift } of ranges) taken.push(shift);
    expect(taken.sort()).toEqual([1000000, 1065536, 1131072, 1196608]);
    expect(pods.map(readIdRange)).toEqual(ranges);
    expect(readIdRange(dir)).toBeUndefined();
  });
});
