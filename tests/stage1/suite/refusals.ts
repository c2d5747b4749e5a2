/**
 * The list of what a flavor may refuse, or leave out with a warning: rkt 1.x's own limits of fly and kvm, and no more. A flavor that is not named in an entry
 * must do what the entry asks for. A flavor cannot add to this list; whoever changes it changes what users can rely on.
 */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Flavor, lines, run, type Stage1 } from "./context.ts";

interface Case {
  readonly what: string;
  /** Who may refuse, or leave out. */
  readonly allowed: readonly Flavor[];
  /** The words after `rkt run --stage1-name=…`. */
  readonly words: (stage1: Stage1) => string[];
  readonly messages: readonly string[];
  /** What the others show on stdout; without it their status is 0. */
  readonly effect?: RegExp;
}

const script = (text: string) => ["--exec=/bin/sh", "--", "-c", text];

/** Status 254, one line, and nothing of the pod is left. */
const REFUSED: readonly Case[] = [
  {
    what: "a second app",
    allowed: ["fly"],
    words: ({ image }) => [
      "--net=none",
      image,
      "--name=a",
      ...script("true"),
      "---",
      image,
      "--name=b",
      ...script("true"),
    ],
    messages: ["fly only supports 1 application per Pod for now"],
  },
  {
    what: "an IPC namespace of its own by name",
    allowed: ["fly"],
    words: ({ image }) => ["--net=none", "--ipc=private", image, ...script("true")],
    messages: ["does not know --ipc (interface version 5, expected 6 or later)"],
  },
  {
    what: "the host's IPC namespace",
    allowed: ["fly", "kvm"],
    words: ({ image }) => ["--net=none", "--ipc=parent", image, ...script("true")],
    messages: ["--ipc"],
  },
  {
    what: "users of the pod's own",
    allowed: ["fly", "kvm"],
    words: ({ image }) => ["--net=none", "--private-users", image, ...script("true")],
    messages: ["flag --private-users cannot be used with"],
  },
  {
    what: "output for who attaches",
    allowed: ["fly", "kvm"],
    words: ({ image }) => ["--net=none", image, "--stdout=stream", ...script("true")],
    messages: ['the mode "stream" for its stdout: expected log or null'],
  },
  {
    what: "the host's network",
    allowed: ["kvm"],
    words: ({ image }) => ["--net=host", image, ...script("true")],
    messages: ["flavor kvm requires private network configuration (try --net)"],
  },
  {
    what: "a mount point without a volume",
    allowed: ["fly"],
    words: ({ image, rkt }) => {
      const app = {
        exec: ["/bin/sh", "-c", "echo > /data/x"],
        user: "0",
        group: "0",
        mountPoints: [{ name: "data", path: "/data", readOnly: false }],
      };
      return [
        "--net=none",
        "--pod-manifest",
        manifestFile(rkt.dir, "points", [{ name: "a", image: { id: image }, app }]),
      ];
    },
    messages: ['missing volume for mountpoint "data"'],
  },
];

/** Isolators, of an app and of a pod, by the flag that asks for them. */
const APP_ISOLATORS = {
  "--memory=64M": "resource/memory",
  "--cpu=500m": "resource/cpu",
  "--cpu-shares=512": "os/linux/cpu-shares",
  "--pids=100": "resource/pids",
  "--oom-score-adj=100": "os/linux/oom-score-adj",
  "--block-bandwidth=10M": "resource/block-bandwidth",
  "--block-iops=1000": "resource/block-iops",
  "--caps-retain=CAP_KILL": "os/linux/capabilities-retain-set",
  "--seccomp=mode=remove,chroot": "os/linux/seccomp-remove-set",
  "--no-new-privileges": "os/linux/no-new-privileges",
};
const POD_ISOLATORS = {
  "--pod-memory=64M": "resource/memory",
  "--pod-pids=100": "resource/pids",
  "--pod-cpu=500m": "resource/cpu",
  "--pod-cpu-shares=512": "os/linux/cpu-shares",
};

/** The pod runs, and stderr says what has no effect. */
const LEFT_OUT: readonly Case[] = [
  {
    what: "isolators of an app",
    allowed: ["fly"],
    words: ({ image }) => ["--net=none", image, ...Object.keys(APP_ISOLATORS), ...script("true")],
    messages: Object.values(APP_ISOLATORS).map((name) => `fly does not isolate: ${name} of app "app" has no effect`),
  },
  {
    what: "capabilities that are removed",
    allowed: ["fly"],
    words: ({ image }) => ["--net=none", image, "--caps-remove=CAP_KILL", ...script("true")],
    messages: ['fly does not isolate: os/linux/capabilities-remove-set of app "app" has no effect'],
  },
  {
    what: "isolators of a pod",
    allowed: ["fly"],
    words: ({ image }) => ["--net=none", ...Object.keys(POD_ISOLATORS), image, ...script("true")],
    messages: Object.values(POD_ISOLATORS).map((name) => `fly does not isolate: ${name} of the pod has no effect`),
  },
  {
    what: "a host name",
    allowed: ["fly"],
    words: ({ image }) => ["--net=none", "--hostname=front", image, ...script("hostname")],
    messages: ["--hostname has no effect"],
    effect: /^front$/m,
  },
  {
    what: "a network",
    allowed: ["fly"],
    words: ({ image }) => ["--net=none", image, ...script("ls /sys/class/net | wc -l; ip -o link | wc -l")],
    messages: ["fly uses the host's network: --net=none has no effect"],
    effect: /^1$/m,
  },
  {
    what: "event handlers",
    allowed: ["fly"],
    words: ({ image, rkt }) => {
      const app = {
        exec: ["/bin/true"],
        user: "0",
        group: "0",
        eventHandlers: [{ name: "pre-start", exec: ["/bin/sh", "-c", "echo prepared"] }],
      };
      return [
        "--net=none",
        "--pod-manifest",
        manifestFile(rkt.dir, "handlers", [{ name: "a", image: { id: image }, app }]),
      ];
    },
    messages: ["its pre-start handler has no effect"],
    effect: /^prepared$/m,
  },
];

export function refusalCases(stage1: Stage1): void {
  const run = (words: readonly string[]) => {
    const result = stage1.rkt.run([
      ...["--insecure-options=image", "run", `--stage1-name=coreos.com/rkt/stage1-${stage1.flavor}`, ...words],
    ]);
    return { ...result, stdout: result.stdout.replaceAll("\r", "") };
  };

  describe("what a flavor may refuse", () => {
    for (const { what, allowed, words, messages } of REFUSED) {
      const refuses = allowed.includes(stage1.flavor);
      test(`${what}: ${refuses ? "refused" : "done"}`, () => {
        const before = stage1.rkt.pods().length;
        const result = run(words(stage1));
        if (!refuses) return expect(result).toMatchObject({ status: 0 });
        for (const message of messages) expect(result.stderr).toContain(message);
        expect(result).toMatchObject({ status: 254, stdout: "" });
        expect(stage1.rkt.pods()).toHaveLength(before);
      });
    }
  });

  describe("what a flavor may leave out", () => {
    for (const { what, allowed, words, messages, effect } of LEFT_OUT) {
      const leavesOut = allowed.includes(stage1.flavor);
      test(`${what}: ${leavesOut ? "a warning" : "done"}`, () => {
        const result = run(words(stage1));
        if (leavesOut) for (const message of messages) expect(result.stderr).toContain(message);
        else expect(result.stderr).not.toContain("no effect");
        if (!leavesOut && effect !== undefined) expect(result.stdout).toMatch(effect);
        expect(result.status).toBe(0);
      });
    }
  });

  test("what is not known is refused by every flavor, with the name", () => {
    const refused = (app: string[]) => runOne(stage1, app);
    for (const [flags, text] of [
      [["--seccomp=mode=retain,no_such_call"], '"no_such_call"'],
      [["--caps-retain=CAP_NO_SUCH"], '"CAP_NO_SUCH"'],
    ] as const)
      expect(refused([...flags])).toMatchObject({ status: 254, stderr: expect.stringContaining(text) });
  });
}

function runOne(stage1: Stage1, app: readonly string[]): { status: number; stderr: string } {
  const { status, stderr } = run(stage1, "true", { app });
  return { status, stderr: lines(stderr).join("\n") };
}

function manifestFile(directory: string, name: string, apps: readonly object[]): string {
  const file = join(directory, `${name}.json`);
  writeFileSync(file, JSON.stringify({ acKind: "PodManifest", acVersion: "1.30.0", apps }));
  return file;
}
