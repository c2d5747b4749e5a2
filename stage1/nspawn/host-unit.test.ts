import { describe, expect, test } from "bun:test";
import { parseUuid } from "../../src/core/uuid.ts";
import { isServicesOwn, scopeName } from "./host-unit.ts";

describe("the host's unit of a pod", () => {
  test("a system service keeps its pod; a session, a user's service, no unit at all do not", () => {
    for (const [cgroups, expected] of [
      ["/system.slice/web.service", true],
      ["/web.slice/web@1.service/sub/group", true],
      ["/user.slice/user-0.slice/session-3.scope", false],
      ["/user.slice/user-0.slice/user@0.service/app.slice/x.service", false],
      ["/", false],
      ["/init.scope", false],
    ] as const)
      expect(isServicesOwn(cgroups)).toBe(expected);
  });

  test("its scope has the name that systemd-nspawn gives", () => {
    expect(scopeName(parseUuid("47c249b0-0f99-470b-8f73-f1aa7c6b8b01"))).toBe(
      "machine-rkt\\x2d47c249b0\\x2d0f99\\x2d470b\\x2d8f73\\x2df1aa7c6b8b01.scope",
    );
  });
});
