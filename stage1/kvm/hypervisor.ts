/** The command line of the virtual machine: QEMU's, and lkvm's (kvmtool). Pure. */

import type { MachineSize } from "./machine.ts";

export interface Link {
  readonly mac: string;
  /** A descriptor of the tap interface. */
  readonly fd: number;
  /** Its name, for a hypervisor that opens it by itself. */
  readonly tap: string;
}

export interface Machine {
  readonly uuid: string;
  readonly size: MachineSize;
  /** With the processor's help (/dev/kvm), or emulated. */
  readonly accelerated: boolean;
  /** The frequency of the time-stamp counter, for an emulated machine. */
  readonly kilohertz: number | undefined;
  readonly links: readonly Link[];
  /** The guest gets the driver of tun. */
  readonly tun: boolean;
  /** Descriptors of the listening sockets through which rkt enters the pod. */
  readonly sessions: readonly number[];
  readonly debug: boolean;
  /** What the operator adds (RKT_HYPERVISOR_EXTRA_KERNEL_PARAMS). */
  readonly kernelWords: readonly string[];
}

/** Without the string instructions that a real processor does fast: an emulation carries them out byte by byte, and kernel and C library would clear and copy all memory by them. */
const EMULATED_PROCESSOR = "max,-erms,-fsrm";

/** Ports of the serial device, as the guest's program knows them (guest/guest.h). */
const [CONTROL, CONSOLE, FIRST_SESSION] = [1, 2, 3];

/** The kernel's command line. Words that it does not know become variables of the first program (guest/init.c). */
export function kernelCommandLine(machine: Machine): string {
  return [
    "console=ttyS0 8250.nr_uarts=1",
    machine.debug ? "loglevel=7" : "quiet loglevel=1",
    // Where something is wrong the machine ends, and with it the pod.
    "panic=-1 reboot=t",
    "random.trust_cpu=on cryptomgr.notests no_timer_check rcupdate.rcu_expedited=1 audit=0",
    // Tracing of the kernel by those who have no right to it anyway: a tenth of an emulated kernel's start.
    "initcall_blacklist=init_kprobe_trace,init_trace_printk_function_export",
    // No processor speculates in an emulation; and to take the lock prefixes out of nine thousand places costs it more than they do.
    ...(machine.accelerated ? [] : ["mitigations=off noreplace-smp"]),
    ...(machine.kilohertz === undefined ? [] : [`tsc=reliable tsc_early_khz=${machine.kilohertz}`]),
    ...(machine.links.length > 0 ? ["rkt_net=1"] : []),
    ...(machine.tun ? ["rkt_tun=1"] : []),
    ...machine.kernelWords,
  ].join(" ");
}

/**
 * QEMU's words, without the program; paths are those of its own root (cell.ts). The smallest machine that runs Debian's kernel: microvm, with the devices that a pod has and
 * no bus besides; the kernel is started without a boot loader. What QEMU may do is filtered (-sandbox): it starts nothing and gains nothing.
 */
export function qemuWords(machine: Machine): string[] {
  const { processors, mebibytes } = machine.size;
  const port = (id: string, number: number) => [
    "-device",
    `virtserialport,chardev=${id},id=port-${number},nr=${number}`,
  ];
  return [
    ...["-name", `rkt-${machine.uuid}`, "-uuid", machine.uuid],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    // No PIC: Linux does not set one up on a machine without legacy devices (ACPI, hardware-reduced), and takes the interrupt of a PIT that was left running for a division by zero.
    ...["-machine", `microvm,pic=off,accel=${machine.accelerated ? "kvm" : "tcg"},memory-backend=memory`],
    ...["-cpu", machine.accelerated ? "host" : EMULATED_PROCESSOR, "-smp", String(processors), "-m", `${mebibytes}M`],
    // Shared with virtiofsd, which reads and writes the guest's buffers.
    ...["-object", `memory-backend-memfd,id=memory,size=${mebibytes}M,share=on`],
    // The current interface of virtio: virtiofsd knows no other.
    ...["-global", "virtio-mmio.force-legacy=false"],
    ...["-kernel", "/boot/vmlinux", "-initrd", "/boot/initrd", "-append", kernelCommandLine(machine)],
    ...["-chardev", "file,id=log,path=/vm/kernel", "-serial", "chardev:log"],
    ...["-chardev", "socket,id=files,path=/vm/files.sock"],
    ...["-device", "vhost-user-fs-device,chardev=files,tag=virtiofs"],
    ...["-device", "virtio-serial-device,max_ports=16"],
    ...["-chardev", "pipe,id=control,path=/vm/control", ...port("control", CONTROL)],
    ...["-chardev", "pipe,id=console,path=/vm/console", ...port("console", CONSOLE)],
    ...machine.sessions.flatMap((fd, index) => [
      ...["-chardev", `socket,id=session-${index},fd=${fd},server=on,wait=off`],
      ...port(`session-${index}`, FIRST_SESSION + index),
    ]),
    ...machine.links.flatMap(({ mac, fd }, index) => [
      ...["-netdev", `tap,id=net-${index},fd=${fd}`],
      ...["-device", `virtio-net-device,netdev=net-${index},mac=${mac}`],
    ]),
  ];
}

/** What lkvm needs of its caller's: it shares the root by itself (9p). */
export interface LkvmPaths {
  readonly kernel: string;
  readonly initrd: string;
  /** The pod's root, with everything mounted. */
  readonly root: string;
}

/**
 * lkvm's words (`lkvm run`), without the program, for hosts with /dev/kvm. It has no ports for the console and control, no filter of its own, and shares the root over 9p: it cannot
 * carry this stage1's protocol, and `run` does not use it (docs/kvm.md).
 */
export function lkvmWords(machine: Machine, paths: LkvmPaths): string[] {
  const { processors, mebibytes } = machine.size;
  return [
    ...["run", "--name", `rkt-${machine.uuid}`, "--no-dhcp", "--cpu", String(processors), "--mem", String(mebibytes)],
    ...["--console", "virtio", "--kernel", paths.kernel, "--initrd", paths.initrd, "--9p", `${paths.root},virtiofs`],
    ...machine.links.flatMap(({ mac, tap }) => ["--network", `mode=tap,tapif=${tap},guest_mac=${mac}`]),
    ...(machine.links.length === 0 ? ["--network", "mode=none"] : []),
    ...["--params", kernelCommandLine(machine)],
  ];
}
