import { describe, expect, test } from "bun:test";
import { RktError } from "../core/errors.ts";
import { type BankValues, digestsOf, extended, zeros } from "./banks.ts";
import { formatEvent, type MeasuredEvent, parseEvent, rkt1Event } from "./event.ts";
import { parseLog } from "./log.ts";
import { formatRecord, type LogRecord, parseRecord } from "./record.ts";
import { judge, replay } from "./replay.ts";
import { parseRegister } from "./tpm.ts";

const START: BankValues = new Map([
  ["sha1", zeros("sha1")],
  ["sha256", zeros("sha256")],
]);
const IMAGE = { id: "sha512-ab", digest: "sha256:cd", name: "example.com/app", signer: "openpgp:12", tree: "deps-1" };
const POD: MeasuredEvent = {
  ...{ kind: "pod", uuid: "1234", version: "2.0.0", manifest: "sha256:ef", arguments: ["--net=none", "1234"] },
  ...{ apps: [{ app: "web", ...IMAGE }], stage1: { ...IMAGE, digest: undefined, name: undefined, signer: undefined } },
};
const boot = (register = START): MeasuredEvent => ({ kind: "boot", bootId: "b-1", register });

/** As rkt records them, one after the other. */
function log(events: readonly MeasuredEvent[], start = START): { records: LogRecord[]; register: BankValues } {
  let before = start;
  const records = events.map((event, number) => {
    const text = formatEvent(event);
    const record = { number, pcr: 15, digests: digestsOf(text, before), text, before, time: 1_700_000_000_000_000 };
    before = extended(before, record.digests);
    return record;
  });
  return { records, register: before };
}

describe("extended()", () => {
  test("is the TPM's: H(old || digest), in each bank", () => {
    // tpm2_pcrextend 15:sha1=…,sha256=… of "a" from zeros, by swtpm.
    const after = extended(START, digestsOf("a", START));
    expect(after.get("sha1")).toBe("b311ff7e540d671f5b54ed190d402a1d064fbecb");
    expect(after.get("sha256")).toBe("8c374a53782642f7514d087d26a3e733f1b806009a03e04a43b288ef2fa9f9c0");
  });
});

describe("parseRegister()", () => {
  test("takes the register's values of the banks that the TPM keeps", () => {
    const output = `  sha1:\n    15: 0x${"AB".repeat(20)}\n  sha256:\n    15: 0x${"CD".repeat(32)}\n  sha384:\n  sm3_256:\n    15: 0x${"00".repeat(32)}\n`;
    expect([...parseRegister(output, 15)]).toEqual([
      ["sha1", "ab".repeat(20)],
      ["sha256", "cd".repeat(32)],
    ]);
    expect(parseRegister(output, 5).size).toBe(0);
    expect(parseRegister(`  sha256:\n    15: 0xABCD\n`, 15).size).toBe(0);
  });
});

describe("events and records", () => {
  test("are read as they were written", () => {
    for (const event of [boot(), POD, { kind: "found", register: START } as const, rkt1Event("sha512-1", "{}", ["a"])])
      expect(parseEvent(formatEvent(event))).toEqual(event);
    const [record] = log([POD]).records;
    if (record === undefined) throw new Error("no record");
    const bytes = formatRecord(record);
    expect(bytes[0]).toBe(0x1e);
    expect(parseRecord(bytes.toString("utf8", 1).trimEnd())).toEqual(record);
  });

  test("have the fields of the Canonical Event Log", () => {
    const [record] = log([boot()]).records;
    if (record === undefined) throw new Error("no record");
    expect(Object.keys(JSON.parse(formatRecord(record).toString("utf8", 1)))).toEqual([
      ...["recnum", "pcr", "digests", "content_type", "content"],
    ]);
  });

  test("in other forms are refused", () => {
    const [record] = log([POD]).records;
    if (record === undefined) throw new Error("no record");
    const json = JSON.parse(formatRecord(record).toString("utf8", 1));
    const refused = (change: object) =>
      expect(() => parseRecord(JSON.stringify({ ...json, ...change }))).toThrow(RktError);
    refused({ content_type: "systemd" });
    refused({ recnum: -1 });
    refused({ digests: [] });
    refused({ digests: [{ hashAlg: "md5", digest: "00" }] });
    refused({ digests: [json.digests[0], json.digests[0]] });
    refused({ digests: [json.digests[0]] });
    expect(() => parseEvent('{"event":"reboot"}')).toThrow("expected boot, found, pod or app");
    expect(() => parseEvent('{"event":"pod","pod":"1"}')).toThrow("rkt: is missing");
  });

  test("follow each other in a file; only the last may be cut off", () => {
    const { records } = log([boot(), POD]);
    const bytes = Buffer.concat(records.map(formatRecord));
    expect(parseLog(bytes)).toEqual({ records, torn: false });
    expect(parseLog(bytes.subarray(0, -1))).toEqual({ records: records.slice(0, 1), torn: true });
    expect(parseLog(Buffer.alloc(0))).toEqual({ records: [], torn: false });
    expect(() => parseLog(bytes.subarray(1))).toThrow("no record begins at byte 0");
    expect(() => parseLog(Buffer.concat([bytes.subarray(0, 50), Buffer.from("\n"), bytes]))).toThrow(RktError);
  });
});

describe("replay", () => {
  const { records, register } = log([boot(), POD, { ...POD, uuid: "5678" }]);
  const at = (index: number) => records[index] as LogRecord;
  const verdict = (list: readonly LogRecord[], value = register) => judge(replay(list), value);
  const after = (index: number) => extended(at(index).before, at(index).digests);

  test("explains what the log leads to", () => expect(verdict(records)).toEqual({ kind: "explained" }));

  test("tells a kill before the last extension from a change", () => {
    expect(verdict(records, after(1))).toEqual({ kind: "interrupted" });
    expect(verdict([at(0)], START)).toEqual({ kind: "interrupted" });
    expect(verdict(records, after(0))).toMatchObject({
      ...{ kind: "unexplained", reasons: [expect.stringContaining("the 2 records behind it were added")] },
    });
    expect(verdict(records, START)).toMatchObject({ reasons: [expect.stringContaining("the TPM was reset")] });
    expect(verdict([], register)).toMatchObject({ reasons: ["there is no log of this boot for the register"] });
  });

  test("a change makes a fault, or leaves the register unexplained, whatever is made to fit", () => {
    const other = formatEvent({ ...POD, uuid: "9999" });
    const forged = { ...at(1), text: other, digests: digestsOf(other, START) };
    const next = { ...at(2), before: extended(forged.before, forged.digests) };
    expect(replay([at(0), forged, next]).faults).toEqual([]);
    expect(verdict([at(0), forged, next]).kind).toBe("unexplained");
    expect(verdict([at(0), { ...at(1), text: other }, at(2)])).toMatchObject({
      reasons: ["record 1: its digests are not of its text"],
    });
    expect(verdict([at(0), at(2)]).kind).toBe("unexplained");
    expect(verdict([at(0), at(1), { ...at(2), pcr: 14 }]).kind).toBe("unexplained");
    expect(verdict([at(1), at(2)])).toMatchObject({
      reasons: expect.arrayContaining(["record 1: expected the first record of a boot"]),
    });
  });

  test("an extension by others is a fault that stays", () => {
    const value = extended(register, digestsOf("another's", START));
    const found = formatEvent({ kind: "found", register: value });
    const record = { ...at(0), number: 3, text: found, digests: digestsOf(found, START), before: value };
    expect(judge(replay([...records, record]), extended(value, record.digests))).toEqual({
      kind: "unexplained",
      reasons: ["record 3: somebody else had extended the register before it"],
    });
  });
});
