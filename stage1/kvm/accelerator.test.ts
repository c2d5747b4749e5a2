import { expect, test } from "bun:test";
import { findAccelerator, permitted } from "./accelerator.ts";

test.each([
  ["Debian's", 0o20660, 105, { kind: "kvm", group: 105 }],
  ["everybody's", 0o20666, 105, { kind: "kvm", group: undefined }],
  ["everybody's, of root's group", 0o20666, 0, { kind: "kvm", group: undefined }],
] as const)("a device that is %s", (_, mode, gid, expected) => {
  expect(permitted("/dev/kvm", { mode, gid })).toEqual(expected);
});

test.each([
  [0o20600, 105],
  [0o20660, 0],
  [0o20640, 105],
  [0o20662, 0],
])("no machine gets what is root's (mode %o, group %d)", (mode, gid) => {
  expect(permitted("/dev/kvm", { mode, gid })).toMatchObject({
    kind: "none",
    why: expect.stringContaining("root only"),
  });
});

test("a host without it", () => {
  expect(findAccelerator("/nonexistent/kvm")).toEqual({ kind: "none", why: "no /nonexistent/kvm on this host" });
});
