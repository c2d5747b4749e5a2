import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadSync } from "@grpc/proto-loader";
import { generateApi } from "../../tools/generate-api.ts";
import { decodeMessage, encodeMessage, type Message, type MessageType } from "./protobuf.ts";
import * as messages from "./v1alpha.ts";

const PROTO = join(import.meta.dir, "v1alpha.proto");

describe("messages", () => {
  const pod: Message = {
    id: "2a6c4e0b-0000-4000-8000-000000000000",
    pid: -1,
    state: 4,
    apps: [{ name: "a", image: { id: "sha512-1" }, exit_code: -70_000, annotations: [{ Key: "k", value: "ü" }] }],
    networks: [{ name: "default", ipv4: "172.16.28.2" }],
    manifest: Buffer.from("{}"),
    created_at: 1_795_526_464_852_606_365n,
  };

  test("are the bytes that another implementation reads and writes", () => {
    const other = loadSync(PROTO, { keepCase: true, longs: String })["v1alpha.PublicAPI"] as unknown as Record<
      string,
      { responseDeserialize(bytes: Buffer): Record<string, unknown>; requestSerialize(value: object): Buffer }
    >;
    const bytes = Buffer.from(encodeMessage(messages.InspectPodResponse, { pod }));
    expect(other["InspectPod"]?.responseDeserialize(bytes)).toMatchObject({
      pod: {
        id: String(pod["id"]),
        pid: -1,
        state: 4,
        apps: [{ name: "a", exit_code: -70_000, annotations: [{ Key: "k", value: "ü" }] }],
        created_at: "1795526464852606365",
      },
    });
    const filters = [{ ids: ["a", "b"], states: [4, 6], annotations: [{ Key: "k", value: "v" }] }];
    const request = other["ListPods"]?.requestSerialize({ filters, detail: true }) ?? Buffer.alloc(0);
    expect(decodeMessage(messages.ListPodsRequest, request)).toMatchObject({ filters, detail: true });
  });

  test("come back as they were, unknown fields left out", () => {
    const bytes = Buffer.concat([
      encodeMessage(messages.Pod, pod),
      Buffer.from([0xfa, 0x3f, 0x01, 0x41, 0xf0, 0x3f, 0x05]),
    ]);
    expect(decodeMessage(messages.Pod, bytes)).toMatchObject({ id: pod["id"], pid: -1, state: 4, cgroup: "" });
  });

  test("that are cut, or nonsense, are refused", () => {
    const bytes = encodeMessage(messages.Pod, pod);
    expect(() => decodeMessage(messages.Pod, bytes.subarray(0, 20))).toThrow("longer than the message");
    expect(() => decodeMessage(messages.Pod, Buffer.from([0x0a]))).toThrow("ends in a number");
    expect(() => decodeMessage(messages.Pod, Buffer.alloc(12, 0xff))).toThrow("too long");
    expect(() => decodeMessage(messages.Pod, Buffer.from([0x0a, 0x01, 0xff]))).toThrow("not UTF-8");
  });
});

test("the tables are those of the proto file", async () => {
  const path = join("/tmp", `v1alpha-${process.pid}.ts`);
  const text = generateApi(readFileSync(PROTO, "utf8"))
    .replace(/^import .*$/m, "")
    .replaceAll(": MessageType", "");
  await Bun.write(path, text);
  try {
    const made = (await import(path)) as Record<string, MessageType>;
    for (const [name, table] of Object.entries(messages)) expect(made[name]).toEqual(table as MessageType);
    expect(Object.keys(made).sort()).toEqual(Object.keys(messages).sort());
  } finally {
    await Bun.file(path).delete();
  }
});
