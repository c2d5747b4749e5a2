import { describe, expect, test } from "bun:test";
import { ExitStatus, RktError } from "../core/errors.ts";
import { createReport, type ReportOptions } from "./report.ts";

function recorded(options: Partial<ReportOptions> = {}) {
  const written = { stdout: "", stderr: "" };
  const report = createReport({
    command: "run",
    debug: false,
    quiet: false,
    live: () => false,
    terminal: {
      stdout: (text) => {
        written.stdout += text;
      },
      stderr: (text) => {
        written.stderr += text;
      },
    },
    ...options,
  });
  return { report, written };
}

const chain = new RktError("NETWORK", "Cannot fetch", {
  cause: new RktError("NETWORK", "Cannot connect", { cause: new Error("refused"), hint: "is it up?" }),
});

describe("failures", () => {
  test("the outermost and the innermost message, and the nearest hint", () => {
    const { report, written } = recorded();
    report.failure(chain);
    expect(written).toEqual({ stdout: "", stderr: "run: Cannot fetch: refused\nhint: is it up?\n" });
  });

  test("with --debug the whole chain", () => {
    const { report, written } = recorded({ debug: true });
    report.failure(chain);
    expect(written.stderr).toBe("run: Cannot fetch\n  └─Cannot connect\n    └─refused\nhint: is it up?\n");
  });

  test("a bug is told as one", () => {
    const { report, written } = recorded();
    report.failure(new TypeError("x is undefined"));
    expect(written.stderr).toBe("run: internal error: x is undefined\n");
  });

  test("an exit status without a reason says nothing, with one that", () => {
    const { report, written } = recorded();
    report.failure(new ExitStatus(7));
    expect(written.stderr).toBe("");
    report.failure(new ExitStatus(1, new RktError("NOT_FOUND", "no such file")));
    expect(written.stderr).toBe("run: no such file\n");
  });

  test("an error cannot rewrite the screen; its own lines stay", () => {
    const { report, written } = recorded();
    report.failure(new RktError("NOT_TRUSTED", "several:\n\ta\u001b[2J\rb"));
    expect(written.stderr).toBe("run: several:\n\ta\\x1b[2J\\x0db\n");
  });
});

describe("events", () => {
  test("warnings always, notices unless quiet, debug lines with --debug", () => {
    for (const [options, expected] of [
      [{}, "run: warning: w\nimage: n\n"],
      [{ quiet: true }, "run: warning: w\n"],
      [{ debug: true }, "run: warning: w\nimage: n\nstage0: d\n"],
    ] as const) {
      const { report, written } = recorded(options);
      report.emit({ kind: "warning", text: "w" });
      report.emit({ kind: "notice", source: "image", text: "n" });
      report.emit({ kind: "debug", source: "stage0", text: "d" });
      report.emit({ kind: "warning", text: "\u001b]0;title\u0007" });
      expect(written.stderr).toBe(`${expected}run: warning: \\x1b]0;title\\x07\n`);
    }
  });

  test("progress in plain lines: start, every tenth, end", () => {
    const { report, written } = recorded();
    for (let done = 0; done <= 1000; done += 5)
      report.emit({ kind: "progress", label: "ACI", done: done * 1000, total: 1_000_000 });
    const lines = written.stderr.split("\n");
    expect(lines[0]).toBe("Downloading ACI: 0 B/1 MB");
    expect(lines[1]).toBe("Downloading ACI: 100 KB/1 MB");
    expect(lines.slice(-2)).toEqual(["Downloading ACI: 1 MB/1 MB", ""]);
    expect(lines).toHaveLength(12);
  });

  test("progress without a known total", () => {
    const { report, written } = recorded();
    for (const done of [0, 5_000_000, 9_999_999, 10_000_001, 12_000_000])
      report.emit({ kind: "progress", label: "ACI", done, total: undefined });
    expect(written.stderr).toBe("Downloading ACI: 0 B\nDownloading ACI: 10 MB\n");
  });

  test("quiet has no progress", () => {
    const { report, written } = recorded({ quiet: true });
    report.emit({ kind: "progress", label: "ACI", done: 0, total: 1 });
    expect(written.stderr).toBe("");
  });

  test("data goes to stdout untouched", () => {
    const { report, written } = recorded();
    report.output.stdout("\u001b[1mraw");
    report.output.error("line");
    expect(written).toEqual({ stdout: "\u001b[1mraw", stderr: "run: line\n" });
  });
});
