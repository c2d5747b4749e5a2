import { describe, expect, test } from "bun:test";
import { RktError } from "../../src/core/errors.ts";
import { apparmorIsolator, BLANK_APP, type Isolator, type RuntimeApp } from "../../src/spec/appc/mod.ts";
import { boundingSet, DEFAULT_CAPABILITIES } from "./sandbox.ts";
import type { AppSocket } from "./sockets.ts";
import { commandLine, environmentFile, lineText, pathWord } from "./unit-text.ts";
import { appUnits, type UnitOptions } from "./units.ts";

const OPTIONS: UnitOptions = {
  input: "none",
  journal: "no",
  mutable: false,
  restarts: false,
  disableCapabilities: false,
  disablePaths: false,
  privateUsers: false,
  disableSeccomp: false,
  kernel: "6.1.0",
  disks: ["/rkt/disks/vda"],
  limits: [{ name: "NOFILE", soft: 1000n, hard: 2n ** 64n - 1n }],
};

/** The unit files of an app called a-b. */
function units(
  app: Partial<typeof BLANK_APP>,
  uid = 0,
  options = OPTIONS,
  sockets: readonly AppSocket[] = [],
): Map<string, string> {
  const whole = { ...BLANK_APP, exec: ["/bin/app"], ...app };
  const runtimeApp = {
    name: "a-b",
    image: { name: "example.com/a", id: "", labels: [] },
    app: whole,
    readOnlyRootFs: false,
    mounts: [],
    annotations: [],
  } as unknown as RuntimeApp;
  const identity = { uid, gid: uid, groups: [], name: undefined, home: undefined };
  return appUnits(
    {
      runtimeApp,
      app: whole,
      identity,
      binary: whole.exec[0] ?? "",
      volumes: [],
      sockets,
      mux: undefined,
      notify: false,
    },
    options,
  );
}

const isolator = (name: string, value: unknown): Isolator => ({ name, value }) as Isolator;
const lines = (text: string | undefined, key: string) =>
  (text ?? "").split("\n").filter((line) => line.startsWith(`${key}=`));

describe("words of unit files", () => {
  test("nothing in an argument is taken for syntax", () => {
    expect(commandLine(["/bin/a b", "$HOME", "%n", 'q"', "\\n", ";", "x\ny"])).toBe(
      String.raw`":/bin/a b" "$HOME" "%%n" "q\"" "\\n" ";" "x\x0ay"`,
    );
  });
  test("paths keep colons and spaces", () => expect(pathWord("/a b:c%")).toBe('"/a b:c%%"'));
  test("a line break cannot start another directive", () => {
    for (const evil of ["/data\nUser=0", "/data\rx", "/\u0000"]) {
      expect(() => pathWord(evil)).toThrow(RktError);
      expect(() => lineText(evil)).toThrow(RktError);
    }
  });
  test("environment values are quoted", () => {
    expect(environmentFile(new Map([["A", 'say "$x" \\ `y`']]))).toBe('A="say \\"\\$x\\" \\\\ \\`y\\`"\n');
  });
});

describe("an app's units", () => {
  test("handlers keep the app's limits: only the user is another", () => {
    const service = units({ eventHandlers: [{ name: "pre-start", exec: ["/pre"] }] }).get("a-b.service");
    expect(lines(service, "ExecStartPre")).toEqual(['ExecStartPre="!:/pre"']);
    expect(service).not.toContain("PermissionsStartOnly");
    expect(service).not.toContain("RootDirectoryStartOnly");
  });
  test("has the caller's limits, and signals as another program would", () => {
    for (const [file, unit] of units({})) {
      if (!file.endsWith(".service")) continue;
      expect(lines(unit, "LimitNOFILE")).toEqual(["LimitNOFILE=1000:infinity"]);
      expect(lines(unit, "IgnoreSIGPIPE")).toEqual(["IgnoreSIGPIPE=no"]);
    }
  });
  test("socket-activated ports are one socket unit, which the app requires", () => {
    const sockets = [
      { directive: "ListenStream", address: "0.0.0.0:80" },
      { directive: "ListenDatagram", address: "53" },
    ] as const;
    const files = units({}, 0, OPTIONS, sockets);
    expect(files.get("a-b.socket")).toContain("\nListenStream=0.0.0.0:80\nListenDatagram=53\n");
    expect(lines(files.get("a-b.service"), "Requires")).toEqual(["Requires=a-b.socket"]);
    expect(units({}).has("a-b.socket")).toBe(false);
  });
  test("what is entered into an app may do no more than the app", () => {
    const files = units({
      isolators: [
        isolator("os/linux/capabilities-retain-set", { set: ["CAP_KILL"] }),
        isolator("resource/memory", { limit: "64M" }),
      ],
    });
    for (const name of ["a-b.service", "enter-a-b@.service"]) {
      expect(lines(files.get(name), "CapabilityBoundingSet")).toEqual(["CapabilityBoundingSet=CAP_KILL"]);
      expect(lines(files.get(name), "Slice")).toEqual(["Slice=app-a\\x2db.slice"]);
      expect(lines(files.get(name), "DevicePolicy")).toEqual(["DevicePolicy=closed"]);
      expect(lines(files.get(name), "SystemCallFilter")).toHaveLength(1);
    }
    expect(files.get("app-a\\x2db.slice")).toContain("MemoryMax=64000000\n");
  });
  test("the pod's journal can be written to by syslog(3), but not by streams, which say themselves whose they are", () => {
    const sockets =
      "BindReadOnlyPaths=/run/systemd/journal/dev-log:/run/systemd/journal/dev-log:norbind /run/systemd/journal/socket:/run/systemd/journal/socket:norbind";
    for (const journal of ["too", "only"] as const) {
      const files = units({}, 0, { ...OPTIONS, journal });
      for (const name of ["a-b.service", "enter-a-b@.service"])
        expect(lines(files.get(name), "BindReadOnlyPaths")).toEqual([sockets]);
    }
    expect(lines(units({}).get("a-b.service"), "BindReadOnlyPaths")).toEqual([]);
  });
  test("an AppArmor profile holds for the app and for what is entered into it", () => {
    const files = units({ isolators: [apparmorIsolator("web-server")] });
    for (const name of ["a-b.service", "enter-a-b@.service"])
      expect(lines(files.get(name), "AppArmorProfile")).toEqual(["AppArmorProfile=web-server"]);
  });
  test("limits become settings that systemd knows on cgroup v1 and v2", () => {
    const limits = { "resource/memory": "64M", "resource/cpu": "250m", "resource/pids": "50" };
    const slice = units({
      isolators: Object.entries(limits).map(([name, limit]) => isolator(name, { limit })),
    }).get("app-a\\x2db.slice");
    for (const line of ["MemoryMax=64000000", "CPUQuota=25%", "TasksMax=50"]) expect(slice).toContain(`${line}\n`);
  });
  test("an app without limits has no slice", () =>
    expect([...units({}).keys()]).toEqual(["a-b.service", "enter-a-b@.service"]));
  test("a filter on a user without privileges needs no_new_privs; on root it does not", () => {
    expect(lines(units({}, 1000).get("a-b.service"), "NoNewPrivileges")).toEqual(["NoNewPrivileges=yes"]);
    expect(lines(units({}, 0).get("a-b.service"), "NoNewPrivileges")).toEqual([]);
    expect(lines(units({}, 1000, { ...OPTIONS, disableSeccomp: true }).get("a-b.service"), "NoNewPrivileges")).toEqual(
      [],
    );
  });
});

describe("system call filters", () => {
  const filter = (name: string, set: string[], errno = "") =>
    units({ isolators: [isolator(`os/linux/seccomp-${name}-set`, { set, errno })] }).get("a-b.service") ?? "";
  test("by default: EPERM for keys, modules, namespaces and io_uring", () => {
    const [line = ""] = lines(units({}).get("a-b.service"), "SystemCallFilter");
    const calls = new Set(line.slice("SystemCallFilter=".length).split(" "));
    for (const call of ["read", "statx", "clone3", "rseq", "openat2"]) expect(calls).toContain(call);
    for (const call of ["keyctl", "init_module", "unshare", "setns", "io_uring_setup", "bpf", "mount", "ptrace"])
      expect(calls).not.toContain(call);
    expect(lines(units({}).get("a-b.service"), "SystemCallErrorNumber")).toEqual(["SystemCallErrorNumber=EPERM"]);
  });
  test("retain @appc.io/all is no filter, remove @appc.io/empty the default one", () => {
    expect(filter("retain", ["@appc.io/all"])).not.toContain("SystemCallFilter");
    expect(filter("remove", ["@appc.io/empty"])).toContain("SystemCallFilter=access ");
  });
  test("remove and errno are passed on", () => {
    const text = filter("remove", ["mount", "@systemd/clock"], "EACCES");
    expect(text).toContain("SystemCallFilter=~mount @clock\n");
    expect(text).toContain("SystemCallErrorNumber=EACCES\n");
  });
  test("an unknown set is refused", () => expect(() => filter("retain", ["@rkt/nothing"])).toThrow(RktError));
});

describe("bounding set", () => {
  test("default, retain, remove", () => {
    expect(boundingSet([])).toEqual(DEFAULT_CAPABILITIES);
    expect(boundingSet([isolator("os/linux/capabilities-retain-set", { set: ["CAP_NET_ADMIN"] })])).toEqual([
      "CAP_NET_ADMIN",
    ]);
    expect(boundingSet([isolator("os/linux/capabilities-remove-set", { set: ["CAP_MKNOD"] })])).not.toContain(
      "CAP_MKNOD",
    );
  });
  test("a name that could end a line is refused", () => {
    expect(() => boundingSet([isolator("os/linux/capabilities-retain-set", { set: ["CAP_KILL\nUser=0"] })])).toThrow(
      RktError,
    );
  });
});
