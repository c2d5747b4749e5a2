/** `--seccomp=mode=log`: real pods whose programs make calls that the filter denies; what is listed, and that the written profile lets them run. Needs root. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fetchedAci, ROOT_FOR_HOST_PROGRAMS } from "../harness/fetched-aci.ts";
import { hostSystemdRunsPods } from "../harness/host-systemd.ts";
import { type TestRkt, testRkt } from "../harness/rkt.ts";

const EPERM = 1;
const NUMBER =
  process.arch === "arm64"
    ? { clone: 220, unshare: 97, keyctl: 219, getpid: 172, mkdirat: 34 }
    : { clone: 56, unshare: 272, keyctl: 250, getpid: 39, mkdirat: 258 };
const [NEWUSER, SIGCHLD] = [0x10000000, 17];

describe.each(hostSystemdRunsPods() ? ["nspawn", "host"] : ["nspawn"])(
  "denied system calls of a pod of %s",
  (flavor) => {
    let rkt: TestRkt;
    let image: string;
    /** The host's own Perl, on a volume, makes any call by its number. */
    const POD = ["--net=none", "--volume=usr,kind=host,source=/usr,readOnly=true", "--mount=volume=usr,target=/usr"];
    const start = (flags: readonly string[], apps: readonly string[]) =>
      rkt.run(["--insecure-options=image", "run", `--stage1-path=${stage1()}`, ...POD, ...flags, ...apps]);
    const stage1 = () => join(process.cwd(), `build/stage1-${flavor}.aci`);
    const app = (name: string, flags: readonly string[], script: string) => [
      ...[image, `--name=${name}`, "--exec=/bin/sh", ...flags, "--", "-c", script],
    ];
    const call = (...words: number[]) =>
      `perl -e 'my $r = syscall(${words.join(", ")}); print $r < 0 ? 0 + $! : "done", "\\n"'`;
    /** keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1), three times, and a user namespace. */
    const KEYS = Array.from({ length: 3 }, () => call(NUMBER.keyctl, 0, -3, 1)).join("; ");
    const newest = () => rkt.pods().at(-1) ?? "";
    const lines = (text: string) => text.split(/\r?\n/).filter((line) => line !== "");
    const forget = () => {
      for (const uuid of rkt.pods()) rkt.ok(["rm", uuid]);
    };

    beforeAll(() => {
      rkt = testRkt();
      image = fetchedAci(
        rkt,
        {},
        {
          "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002::/home/web:/bin/sh\n",
          "etc/group": "root:x:0:\nweb:x:1002:\n",
          ...ROOT_FOR_HOST_PROGRAMS,
        },
      );
    });
    afterAll(() => rkt[Symbol.dispose]());

    test.each(["root", "web"])(
      "of %s are made, counted and listed; the profile lets the program run, and without it it is refused",
      (user) => {
        const flags = [`--user=${user}`];
        expect(lines(start([], app("app", flags, KEYS)).stdout)).toEqual(["1", "1", "1"]);
        forget();

        const logged = start([], app("app", [...flags, "--seccomp=mode=log"], KEYS));
        expect(logged.status).toBe(0);
        expect(lines(logged.stdout).slice(0, 3)).toEqual(["done", "done", "done"]);
        expect(logged.stderr).toContain('app "app" has no system call filter');
        const uuid = newest();
        expect(logged.stdout).toContain('rkt: app "app" made system calls that its filter denies: keyctl (3)');
        expect(logged.stdout).toContain(`rkt seccomp-profile --app=app ${uuid}`);
        expect(rkt.ok(["status", uuid])).toContain("denied-app=keyctl(3)\n");
        expect(JSON.parse(rkt.ok(["status", "--format=json", uuid])).apps[0].denied_calls).toEqual({ keyctl: 3 });
        expect(rkt.ok(["status", uuid])).not.toMatch(/^isolation=.*seccomp/m);

        const profile = join(rkt.dir, "profile.json");
        writeFileSync(profile, rkt.ok(["seccomp-profile", uuid]));
        forget();
        const script = `${KEYS}; ${call(NUMBER.unshare, NEWUSER)}`;
        const allowed = start([], app("app", [...flags, `--seccomp=profile=${profile}`], script));
        expect(lines(allowed.stdout)).toEqual(["done", "done", "done", String(EPERM)]);
        forget();
      },
    );

    test("the program keeps its process, its arguments and its status; its children and threads are counted too", () => {
      const script = `echo "$$ $0 $1"; (${call(NUMBER.keyctl, 0, -3, 1)}); perl -e 'exec "perl", "-e", "syscall(${NUMBER.clone}, ${NEWUSER + SIGCHLD}, 0, 0, 0, 0) or exit 0; wait; print \\$? >> 8"'; exit 42`;
      const result = start([], [...app("app", ["--seccomp=mode=log"], script), "name", "first"]);
      expect(result.status).toBe(42);
      expect(lines(result.stdout)[0]).toMatch(/^\d+ name first$/);
      const status = rkt.ok(["status", newest()]);
      expect(status).toContain("app-app=42");
      expect(status).toContain("denied-app=clone(1),keyctl(1)\n");
      forget();
    });

    test("a set in place of the default: what is beside it, the calls that install the filter included", () => {
      const script = `mkdir /d; ${call(NUMBER.getpid)}`;
      const flags = ["--seccomp=mode=log,@rkt/default-whitelist"];
      expect(start([], app("app", flags, script)).status).toBe(0);
      expect(rkt.ok(["status", newest()])).toContain("denied-app=\n");
      forget();
      const few = start([], app("app", ["--seccomp=mode=log,read,write,close,mmap"], "mkdir /d && echo made"));
      expect(few.stdout).toContain("made");
      const denied = /^denied-app=(.*)$/m.exec(rkt.ok(["status", newest()]))?.[1] ?? "";
      expect(denied).toMatch(/(^|,)mkdir(at)?\(1\)/);
      expect(denied).not.toMatch(/(^|,)(read|write|execve|sendmsg)\(/);
      forget();
    });

    test("the pod's other apps, and a command that is entered, have their filters as before", async () => {
      const own = call(NUMBER.keyctl, 0, -3, 1);
      const running = rkt.start([
        ...["--insecure-options=image", "run", `--stage1-path=${stage1()}`, ...POD],
        ...app("logged", ["--seccomp=mode=log"], `${own}; sleep 1000`),
        "---",
        ...app("other", [], `sleep 1; echo other: $(${own}); sleep 1000`),
      ]);
      for (let turns = 0; turns < 200 && !/other: /.test(running.stdout()); turns++) await Bun.sleep(100);
      expect(running.stdout()).toMatch(/other: 1\r?\n/);
      const uuid = newest();
      expect(lines(rkt.run(["enter", "--app=logged", uuid, "/bin/sh", "-c", own]).stdout)).toEqual([String(EPERM)]);
      // While it runs: the call is written down as soon as it is made.
      expect(rkt.ok(["status", uuid])).toContain("denied-logged=keyctl(1)\n");
      expect(rkt.run(["seccomp-profile", "--app=other", uuid]).stderr).toContain("nobody wrote down its system calls");
      rkt.ok(["stop", uuid]);
      await running.ended;
      forget();
    });

    test("a program that cannot be executed, in a user namespace, under a read-only root", () => {
      const flags = ["--private-users"];
      const result = start(flags, app("app", ["--seccomp=mode=log", "--readonly-rootfs=true"], KEYS));
      expect(lines(result.stdout).slice(0, 3)).toEqual(["done", "done", "done"]);
      expect(rkt.ok(["status", newest()])).toContain("denied-app=keyctl(3)\n");
      forget();
      const missing = start([], [image, "--name=app", "--exec=/etc/passwd", "--seccomp=mode=log"]);
      expect(missing.status).not.toBe(0);
      forget();
    });

    test("is never taken for a filter, and refused where nothing could be written down", () => {
      expect(start(["--require=seccomp"], app("app", ["--seccomp=mode=log"], "true")).stderr).toContain(
        'would not have "seccomp"',
      );
      expect(start([], app("app", ["--seccomp=mode=log,errno=EPERM"], "true")).stderr).toContain(
        'Cannot use "errno=EPERM"',
      );
      expect(start([], app("app", ["--seccomp=mode=log,mkdri"], "true")).stderr).toContain(
        'Cannot use "mkdri" as a system call',
      );
      expect(start([], app("app", ["--seccomp=mode=retain,mkdri"], "true")).stderr).toContain(
        '"mkdri" as a system call',
      );
      expect(rkt.pods()).toEqual([]);
      const fly = rkt.run([
        ...["--insecure-options=image", "run", `--stage1-path=${join(process.cwd(), "build/stage1-fly.aci")}`],
        ...app("app", ["--seccomp=mode=log"], "true"),
      ]);
      expect(fly.status).toBe(254);
      expect(fly.stderr).toContain("fly has no system call filter");
      expect(existsSync(join(rkt.dataDir, "pods/run"))).toBe(true);
    });
  },
);
