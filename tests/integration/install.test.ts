/**
 * `make install` and `make uninstall`, for a package (DESTDIR) and for a machine: an overlay over this machine's root plays that, so that its accounts and
 * directories stay as they are. Needs root, passwd, gnupg, strace.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MNT_DETACH, MS } from "../../src/host/constants.ts";
import { linux } from "../../src/host/linux.ts";
import { buildAci, makeSigner, signAci } from "../harness/images.ts";
import { enterPrivateHost } from "../harness/private-host.ts";
import { runProgram, type TemporaryDirectory, temporaryDirectory } from "../harness/temporary.ts";

setDefaultTimeout(300_000);

const FILES = [
  "bin/rkt 755",
  "lib/rkt/setup-data-dir.sh 755",
  "lib/rkt/stage1-images/stage1-coreos.aci -> stage1-nspawn.aci",
  "lib/rkt/stage1-images/stage1-fly.aci 644",
  "lib/rkt/stage1-images/stage1-host.aci 644",
  "lib/rkt/stage1-images/stage1-kvm.aci 644",
  "lib/rkt/stage1-images/stage1-nspawn.aci 644",
  "lib/systemd/system/rkt-api-tcp.socket 644",
  "lib/systemd/system/rkt-api.service 644",
  "lib/systemd/system/rkt-gc.service 644",
  "lib/systemd/system/rkt-gc.timer 644",
  "lib/systemd/system/rkt-metadata.service 644",
  "lib/systemd/system/rkt-metadata.socket 644",
  "lib/sysusers.d/rkt.conf 644",
  "lib/tmpfiles.d/rkt.conf 644",
  "share/bash-completion/completions/rkt 644",
  "share/fish/vendor_completions.d/rkt.fish 644",
  "share/rkt/selinux/rkt.cil 644",
  "share/zsh/site-functions/_rkt 644",
];

/** Everything below a directory but directories: "PATH MODE" or "PATH -> TARGET", sorted. */
function files(dir: string): string[] {
  const find = (type: string, format: string) => runProgram(["find", dir, "-type", type, "-printf", format]);
  return [...find("f", "%P %m\\n").split("\n"), ...find("l", "%P -> %l\\n").split("\n")].filter(Boolean).sort();
}

/** What stands below a heading of a page, until the next. */
const section = (page: string, heading: string) => page.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";

describe("for a package", () => {
  test("writes its files below DESTDIR and PREFIX, by a strict umask too, and nothing else; uninstall takes them away", () => {
    using dir = temporaryDirectory("destdir");
    const passwd = readFileSync("/etc/passwd", "utf8");
    const make = (target: string, umask: string) =>
      runProgram(["sh", "-c", `umask ${umask}; make ${target} DESTDIR="$1" PREFIX=/opt/rkt`, "sh", dir.path]);
    make("install", "077");
    const installed = files(join(dir.path, "opt/rkt"));
    const isManual = (file: string) => /^share\/man\/man1\/rkt(-[a-z-]+)?\.1 644$/.test(file);
    expect(installed.filter((file) => !isManual(file))).toEqual(FILES);
    expect(installed.filter(isManual).length).toBeGreaterThan(40);
    expect(files(dir.path)).toHaveLength(installed.length);
    const directories = runProgram(["find", dir.path, "-mindepth", "1", "-type", "d", "-not", "-perm", "755"]);
    expect(directories).toBe("");
    const unit = readFileSync(join(dir.path, "opt/rkt/lib/systemd/system/rkt-gc.service"), "utf8");
    expect(unit).toContain("ExecStart=/opt/rkt/bin/rkt gc ");
    expect(readFileSync("/etc/passwd", "utf8")).toBe(passwd);
    make("uninstall", "022");
    expect(files(dir.path)).toEqual([]);
  });

  test("docs/privileges.md has every path that is installed, and every account and directory, and no other", () => {
    const page = readFileSync("docs/privileges.md", "utf8");
    const rows = (heading: string) =>
      [...section(page, heading).matchAll(/^\| `(.+?)` \| (.+?) \|/gm)].map(([, path = "", mode = ""]) => [path, mode]);
    const installed = FILES.map((file) => file.replace("site-functions", "vendor-completions")).map((file) =>
      file.replace(/ -> .*$/, " link"),
    );
    expect(rows("What is installed").map((row) => row.join(" "))).toEqual(
      [...installed, "share/man/man1/rkt*.1 644"].map((file) => `/usr/${file}`),
    );
    const directories = readFileSync("dist/tmpfiles.d/rkt.conf", "utf8").matchAll(/^d (\S+)/gm);
    expect(
      rows("Directories that installation makes")
        .map(([path]) => path)
        .sort(),
    ).toEqual([...directories].map(([, path]) => path).sort());
    const accounts = readFileSync("dist/sysusers.d/rkt.conf", "utf8").matchAll(/^([gu]) (\S+)/gm);
    const named = [...section(page, "Accounts").matchAll(/^\| (group|user) `(.+?)`/gm)];
    expect(named.map(([, kind, name]) => `${kind?.charAt(0)} ${name}`)).toEqual(
      [...accounts].map(([, kind, name]) => `${kind} ${name}`),
    );
  });

  test("refuses a PREFIX that is not absolute", () => {
    using dir = temporaryDirectory("destdir");
    const result = spawnSync("make", ["install", `DESTDIR=${dir.path}`, "PREFIX=usr"], { encoding: "utf8" });
    expect(result.status).not.toBe(0);
    expect(result.stderr).toContain('cannot use PREFIX "usr": expected an absolute path');
  });
});

/** Not chroot: there, rkt would see the mounts of both machines. */
const ENTER = `cd "$1"; mkdir -p mnt; pivot_root . mnt; cd /; umount -l mnt; exec sh -c "$2"`;

describe("for a machine", () => {
  let dir: TemporaryDirectory;
  let root: string;

  beforeAll(() => {
    enterPrivateHost();
    dir = temporaryDirectory("machine");
    // On a tmpfs, that / may be an overlay itself.
    linux.mount("tmpfs", dir.path, "tmpfs", 0, null);
    root = join(dir.path, "root");
    for (const name of ["root", "upper", "work"]) mkdirSync(join(dir.path, name));
    linux.mount("overlay", root, "overlay", 0, `lowerdir=/,upperdir=${dir.path}/upper,workdir=${dir.path}/work`);
    for (const name of ["proc", "sys", "dev"]) linux.mount(`/${name}`, join(root, name), null, MS.BIND | MS.REC, null);
    // The clone, wherever it is mounted; it stays as it is, since everything is built.
    mkdirSync(join(root, process.cwd()), { recursive: true });
    linux.mount(process.cwd(), join(root, process.cwd()), null, MS.BIND, null);
    linux.mount("tmpfs", join(root, "tmp"), "tmpfs", 0, "mode=1777");
    mkdirSync(join(root, "var/lib/rkt"), { recursive: true });
    linux.mount("tmpfs", join(root, "var/lib/rkt"), "tmpfs", 0, null);
    // Whatever this machine may have of rkt's: the other one is new.
    inside(
      "sed -i '/^rkt/d' /etc/passwd /etc/group /etc/shadow /etc/gshadow; rm -rf /etc/rkt /usr/bin/rkt /usr/lib/rkt",
    );
  });
  afterAll(() => {
    for (const name of [process.cwd(), "var/lib/rkt", "tmp", "proc", "sys", "dev", ""])
      linux.umount(join(root, name), MNT_DETACH);
    linux.umount(dir.path, MNT_DETACH);
    dir[Symbol.dispose]();
  });

  /** In the machine, as root; a failure throws. */
  const inside = (script: string) => runProgram(["unshare", "--mount", "sh", "-ec", ENTER, "sh", root, script]);

  /** Path, mode, owner and group, for the directories of a tree. */
  const directories = (path: string) => inside(`find ${path} -type d -printf '%p %m %u %g\\n' | sort`);

  /** What the table says of a tree, as {@link directories} shows it. */
  const table = (path: string) => {
    const rows = readFileSync("dist/tmpfiles.d/rkt.conf", "utf8").matchAll(/^d (\S+) +0?(\d+) (\S+) (\S+)$/gm);
    const lines = [...rows].map(([, name, mode, user, group]) => `${name} ${mode} ${user} ${group}\n`);
    return lines
      .filter((line) => line.startsWith(path))
      .sort()
      .join("");
  };

  test("installs files, users, groups, the data directory and the configuration directories; the binary runs", () => {
    inside(`cd ${process.cwd()} && umask 077 && make install`);
    expect(inside("rkt version")).toStartWith("rkt Version: ");
    expect(inside("id -nG rkt-fetch")).toBe("rkt-fetch rkt\n");
    expect(inside("id -nG rkt-verify")).toBe("rkt-verify\n");
    expect(inside("getent passwd rkt-fetch rkt-verify")).toMatch(
      /^rkt-fetch:x:\d{3}:\d{3}:rkt fetch worker:\/:\/usr\/sbin\/nologin\nrkt-verify:x:\d{3}:\d{3}:rkt verify worker:\/:\/usr\/sbin\/nologin\n$/,
    );
    expect(inside("getent group rkt-admin")).toMatch(/^rkt-admin:x:\d{3}:\n$/);
    expect(table("/var/lib/rkt")).toContain("/var/lib/rkt/cas/blob 2770 root rkt\n");
    expect(directories("/var/lib/rkt")).toBe(table("/var/lib/rkt"));
    expect(directories("/etc/rkt")).toBe(table("/etc/rkt"));
    expect(existsSync("/etc/rkt/trustedkeys/prefix.d")).toBe(false);
  });

  test("the directories are those that rkt makes by itself", () => {
    buildAci(join(root, "tmp/plain.aci"));
    inside("chmod 644 /tmp/plain.aci && rkt --dir=/tmp/other --insecure-options=image fetch /tmp/plain.aci");
    const content = /^\/tmp\/other\/cas\/(blob|layer|l|tree)\/.*\n/gm;
    expect(directories("/tmp/other").replace(content, "")).toBe(
      table("/var/lib/rkt").replaceAll("/var/lib/rkt", "/tmp/other"),
    );
  });

  test("root's fetch works as rkt-fetch, and its verification as rkt-verify", () => {
    using signer = makeSigner("Install <install@example.com>", "ed25519");
    const aci = join(root, "tmp/app.aci");
    buildAci(aci, { name: "example.com/app", app: { exec: ["/bin/echo", "installed"], user: "0", group: "0" } });
    signAci(signer, aci);
    spawnSync("sh", ["-c", 'cat > "$1"', "sh", join(root, "tmp/key.pub")], { input: signer.publicKey });
    inside("rkt trust --prefix=example.com/app --skip-fingerprint-review /tmp/key.pub");
    inside("strace -f -qq -e trace=execve,setresuid -o /tmp/trace rkt fetch /tmp/app.aci");
    const trace = readFileSync(join(root, "tmp/trace"), "utf8");
    for (const user of ["rkt-fetch", "rkt-verify"]) {
      const uid = inside(`id -u ${user}`).trim();
      expect(trace).toMatch(new RegExp(`--reuid[= ",]*${uid}|setresuid\\(${uid}, ${uid}, ${uid}\\) += 0`));
    }
    expect(inside("find /var/lib/rkt/cas/blob -type f -printf '%u %g %m\\n' | sort -u")).toBe("rkt-fetch rkt 660\n");
    expect(inside("rkt run --stage1-name=coreos.com/rkt/stage1-fly example.com/app")).toContain("installed\n");
    inside("rkt gc --grace-period=0s");
  });

  test("a member of group rkt manages images without root, but not what root believes; somebody else does neither", () => {
    inside("useradd --groups rkt member && useradd stranger");
    inside("chmod 755 /tmp/app.aci");
    const asMember = (script: string) =>
      inside(`setpriv --reuid=member --regid=member --init-groups sh -c '${script}'`);
    const asStranger = (script: string) =>
      inside(`setpriv --reuid=stranger --regid=stranger --init-groups sh -c '${script}'`);
    expect(asMember("rkt fetch --insecure-options=image /tmp/app.aci")).toMatch(/^sha512-/);
    expect(asMember("rkt image list --no-legend")).toContain("example.com/app");
    expect(asMember("ls /var/lib/rkt/cas/verified; echo $?")).toBe("2\n");
    expect(asMember("touch /etc/rkt/net.d/10-mine.conf; echo $?")).toBe("1\n");
    expect(asStranger("ls /var/lib/rkt; echo $?")).toBe("2\n");
  });

  test("a member of group rkt-admin changes trust without root", () => {
    inside("useradd --groups rkt-admin admin");
    inside(
      "setpriv --reuid=admin --regid=admin --init-groups rkt trust --prefix=example.org --skip-fingerprint-review /tmp/key.pub",
    );
    expect(inside("stat -c '%U %G' /etc/rkt/trustedkeys/prefix.d/example.org")).toBe("admin rkt-admin\n");
  });

  test("installing again is an upgrade: configuration, images and pods stay", () => {
    inside("echo '{}' > /etc/rkt/net.d/10-kept.conf");
    const before = inside("rkt image list --full --no-legend | cut -f 1; cat /etc/passwd /etc/group");
    inside(`cd ${process.cwd()} && make install`);
    expect(inside("rkt image list --full --no-legend | cut -f 1; cat /etc/passwd /etc/group")).toBe(before);
    expect(inside("cat /etc/rkt/net.d/10-kept.conf")).toBe("{}\n");
  });

  test("uninstall keeps images and configuration, and says so", () => {
    expect(inside(`cd ${process.cwd()} && make uninstall`)).toContain("kept: /var/lib/rkt");
    expect(existsSync(join(root, "usr/bin/rkt"))).toBe(false);
    expect(existsSync(join(root, "usr/lib/rkt"))).toBe(false);
    expect(inside("ls /var/lib/rkt/cas/images | wc -l")).not.toBe("0\n");
    expect(inside("ls /etc/rkt/net.d")).toBe("10-kept.conf\n");
  });
});
