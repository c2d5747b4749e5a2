import { describe, expect, test } from "bun:test";
import { activatedSockets, handOver, originalSoftLimit, withoutRuntimeVariables } from "./hand-over.ts";
import { Replaced, recordingHost } from "./recording.ts";

describe("originalSoftLimit", () => {
  test("is the parent's when the parent passes its own limits on", () => {
    expect(originalSoftLimit(4096n, { soft: 1000n, hard: 4096n })).toBe(1000n);
  });
  test("is 1024 for systemd's default pair", () => {
    expect(originalSoftLimit(524288n, { soft: 1073741816n, hard: 1073741816n })).toBe(1024n);
  });
  test("is the hard limit when a manager set one number for both", () => {
    expect(originalSoftLimit(65536n, { soft: 1024n, hard: 524288n })).toBe(65536n);
  });
});

describe("activatedSockets", () => {
  test("counts only sockets meant for this process", () => {
    expect(activatedSockets({ LISTEN_PID: String(process.pid), LISTEN_FDS: "3" })).toBe(3);
    expect(activatedSockets({ LISTEN_PID: "1", LISTEN_FDS: "3" })).toBe(0);
    expect(activatedSockets({ LISTEN_PID: String(process.pid), LISTEN_FDS: "x" })).toBe(0);
  });
});

describe("handOver", () => {
  test("restores the soft limit, umask, signals and close-on-exec, then executes without BUN_ variables", () => {
    const { host, calls, returns } = recordingHost();
    returns("getLimit", { soft: 4096n, hard: 4096n });
    const run = () =>
      handOver(
        host,
        { softOpenFiles: 1024n, listenFds: 0, umask: 0o027 },
        { path: "/x", argv: ["x"], env: { A: "1", BUN_OPTIONS: "--preload=/evil" }, keep: [2000] },
      );
    expect(run).toThrow(Replaced);
    expect(calls.find((call) => call.name === "setLimit")?.args[1]).toEqual({ soft: 1024n, hard: 4096n });
    expect(calls.some((call) => call.name === "resetSignals")).toBe(true);
    expect(calls.find((call) => call.name === "umask")?.args).toEqual([0o027]);
    expect(calls.at(-1)).toEqual({ name: "execve", args: ["/x", ["x"], { A: "1" }] });
  });
});

test("withoutRuntimeVariables() keeps everything that is not BUN_*", () => {
  expect(withoutRuntimeVariables({ PATH: "/bin", BUN_BE_BUN: "1", BUNDLE: "x" })).toEqual({
    PATH: "/bin",
    BUNDLE: "x",
  });
});
