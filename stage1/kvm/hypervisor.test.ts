import { describe, expect, test } from "bun:test";
import { cellWords } from "./cell.ts";
import { kernelCommandLine, lkvmWords, type Machine, qemuWords } from "./hypervisor.ts";
import { virtiofsdWords } from "./programs.ts";

const MACHINE: Machine = {
  uuid: "5d5f2fb8-5f2c-4f0e-9d0a-2f1f3c4b5a69",
  size: { processors: 2, mebibytes: 640 },
  accelerated: true,
  kilohertz: undefined,
  links: [{ mac: "0a:58:ac:10:1c:02", fd: 40, tap: "tap0" }],
  tun: false,
  sessions: [34, 35],
  debug: false,
  kernelWords: [],
};
const EMULATED: Machine = {
  ...MACHINE,
  accelerated: false,
  kilohertz: 2_445_406,
  size: { processors: 1, mebibytes: 512 },
};

/** The value after a flag, of each time that it is given. */
const values = (words: readonly string[], flag: string) =>
  words.flatMap((word, index) => (word === flag ? [words[index + 1] ?? ""] : []));

describe("QEMU's command line", () => {
  test("with KVM: the host's processor, and nothing that is for an emulation", () => {
    const words = qemuWords(MACHINE);
    expect(values(words, "-machine")[0]).toStartWith("microvm,pic=off,accel=kvm,");
    expect(values(words, "-cpu")).toEqual(["host"]);
    expect(values(words, "-smp")).toEqual(["2"]);
    expect(values(words, "-m")).toEqual(["640M"]);
    expect(words.join(" ")).not.toMatch(/tcg|tsc|mitigations/);
  });

  test("emulated: the counter's frequency is told, and no mitigation runs, as no processor speculates", () => {
    const words = qemuWords(EMULATED);
    expect(values(words, "-machine")[0]).toStartWith("microvm,pic=off,accel=tcg,");
    expect(values(words, "-cpu")).toEqual(["max,-erms,-fsrm"]);
    expect(values(words, "-append")[0]).toContain("mitigations=off noreplace-smp tsc=reliable tsc_early_khz=2445406");
  });

  test("memory is a file that virtiofsd shares, of the machine's size", () => {
    expect(values(qemuWords(MACHINE), "-object")).toEqual(["memory-backend-memfd,id=memory,size=640M,share=on"]);
  });

  test("QEMU is filtered, and has no monitor, no display, no default device, and no file of a user's", () => {
    for (const machine of [MACHINE, EMULATED]) {
      const words = qemuWords(machine);
      expect(values(words, "-sandbox")).toEqual([
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
      ]);
      expect(values(words, "-display")).toEqual(["none"]);
      for (const flag of ["-nodefaults", "-no-user-config", "-no-reboot"]) expect(words).toContain(flag);
      expect(words.join(" ")).not.toMatch(/-monitor|-qmp|-mon |vnc|-drive|-usb/);
    }
  });

  test("a tap by its descriptor, with the hardware address of the pod's interface; no vhost: frames pass QEMU's own sandbox, not the host's kernel", () => {
    const words = qemuWords(MACHINE);
    expect(values(words, "-netdev")).toEqual(["tap,id=net-0,fd=40"]);
    expect(values(words, "-device")).toContain("virtio-net-device,netdev=net-0,mac=0a:58:ac:10:1c:02");
    const without = qemuWords({ ...MACHINE, links: [] });
    expect(values(without, "-netdev")).toEqual([]);
    expect(values(without, "-append")[0]).not.toContain("rkt_net");
  });

  test("a port for control, one for the console, one for each who enters", () => {
    const words = qemuWords(MACHINE);
    expect(values(words, "-device").filter((device) => device.startsWith("virtserialport"))).toEqual([
      "virtserialport,chardev=control,id=port-1,nr=1",
      "virtserialport,chardev=console,id=port-2,nr=2",
      "virtserialport,chardev=session-0,id=port-3,nr=3",
      "virtserialport,chardev=session-1,id=port-4,nr=4",
    ]);
    expect(values(words, "-chardev")).toContain("socket,id=session-1,fd=35,server=on,wait=off");
  });
});

describe("the kernel's command line", () => {
  test("is quiet, but under --debug", () => {
    expect(kernelCommandLine(MACHINE)).toContain("quiet loglevel=1");
    expect(kernelCommandLine({ ...MACHINE, debug: true })).toContain("loglevel=7");
    expect(kernelCommandLine({ ...MACHINE, debug: true })).not.toContain("quiet");
  });

  test("ends with the operator's words, which win", () => {
    expect(kernelCommandLine({ ...MACHINE, tun: true, kernelWords: ["quiet=no", "x=y"] })).toEndWith(
      "rkt_net=1 rkt_tun=1 quiet=no x=y",
    );
  });
});

describe("lkvm's command line", () => {
  const paths = { kernel: "/k/vmlinux", initrd: "/k/initrd", root: "/pod/stage1/rootfs" };

  test("size, kernel, root, tap, parameters", () => {
    expect(lkvmWords(MACHINE, paths)).toEqual([
      ...["run", "--name", `rkt-${MACHINE.uuid}`, "--no-dhcp", "--cpu", "2", "--mem", "640"],
      ...[
        "--console",
        "virtio",
        "--kernel",
        "/k/vmlinux",
        "--initrd",
        "/k/initrd",
        "--9p",
        "/pod/stage1/rootfs,virtiofs",
      ],
      ...["--network", "mode=tap,tapif=tap0,guest_mac=0a:58:ac:10:1c:02", "--params", kernelCommandLine(MACHINE)],
    ]);
  });

  test("no network: none, where lkvm itself would make one", () => {
    expect(values(lkvmWords({ ...MACHINE, links: [] }, paths), "--network")).toEqual(["mode=none"]);
  });

  test("several networks, in their order", () => {
    const links = ["tap0", "tap1"].map((tap, fd) => ({ mac: `0a:58:0a:00:00:0${fd}`, fd, tap }));
    expect(values(lkvmWords({ ...MACHINE, links }, paths), "--network")).toEqual([
      "mode=tap,tapif=tap0,guest_mac=0a:58:0a:00:00:00",
      "mode=tap,tapif=tap1,guest_mac=0a:58:0a:00:00:01",
    ]);
  });
});

describe("who runs the machine", () => {
  test("QEMU: in a root of its own, another user, without rights, and gone with its supervisor", () => {
    expect(cellWords("/pod/kvm/root", 1_900_000_000, undefined)).toEqual([
      ...["/usr/sbin/chroot", "/pod/kvm/root", "/usr/bin/setpriv", "--reuid=1900000000", "--regid=1900000000"],
      ...["--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--pdeathsig=KILL"],
    ]);
  });

  test("with the group of /dev/kvm, and no other, where it needs it", () => {
    const words = cellWords("/pod/kvm/root", 1_900_000_000, 105);
    expect(words).toContain("--groups=105");
    expect(words).not.toContain("--clear-groups");
  });

  test("both programs of the name virtiofsd are in a sandbox and cannot make device nodes", () => {
    expect(virtiofsdWords("/usr/lib/qemu/virtiofsd").join(" ")).toContain("-o modcaps=-mknod");
    const separate = virtiofsdWords("/usr/libexec/virtiofsd");
    expect(separate).toContain("--modcaps=-mknod");
    expect(separate).toContain("--sandbox=namespace");
    for (const words of [separate, virtiofsdWords("/usr/lib/qemu/virtiofsd")]) {
      expect(words.slice(0, 2).join(" ")).toStartWith("/usr/bin/setpriv --bounding-set=-all,+chown,");
      expect(words[1]).not.toMatch(/mknod|sys_module|sys_rawio|sys_ptrace|net_admin/);
    }
  });
});
