import { expect, test } from "bun:test";
import { sysctlFile, sysctlNamespace } from "./mod.ts";

test("settings of a namespace are told from those of the machine", () => {
  expect(sysctlNamespace("net.ipv4.ip_forward")).toBe("net");
  expect(sysctlNamespace("net/ipv4/conf/eth0.1/rp_filter")).toBe("net");
  expect(sysctlNamespace("kernel.shmmax")).toBe("ipc");
  expect(sysctlNamespace("fs/mqueue/msg_max")).toBe("ipc");
  for (const name of [
    "kernel.panic",
    "vm.swappiness",
    "net",
    "net.",
    "net..x",
    "net/../kernel/panic",
    "/net.x",
    "fs.mqueue.",
    "",
    "net.x y",
  ])
    expect(() => sysctlNamespace(name)).toThrow("for a pod");
});

test("the file of a setting", () => {
  expect(sysctlFile("net.core.somaxconn")).toBe("/proc/sys/net/core/somaxconn");
  expect(sysctlFile("net/ipv4/conf/eth0.1/rp_filter")).toBe("/proc/sys/net/ipv4/conf/eth0.1/rp_filter");
});
