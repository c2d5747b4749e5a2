import { describe, expect, test } from "bun:test";
import { RktError } from "../core/errors.ts";
import { SystemCallError } from "../host/errno.ts";
import { missingCapabilities, remedyOf } from "./remedy.ts";

describe("a remedy", () => {
  test("is found down the chain of causes, for what a number can be raised or room be made", () => {
    const full = new RktError("SYSTEM_CALL", "Cannot write", {
      cause: Object.assign(new Error("x"), { code: "ENOSPC" }),
    });
    expect(remedyOf(full)).toContain("rkt gc");
    expect(remedyOf(new SystemCallError("open", 24, "a file"))).toContain("LimitNOFILE=");
    expect(remedyOf(new SystemCallError("open", 2, "a file"))).toBeUndefined();
    expect(remedyOf(new RktError("USAGE", "wrong"))).toBeUndefined();
  });

  test("names the capabilities that rkt needs and has not", () => {
    const status = (bits: string) => `Name:\trkt\nCapEff:\t${bits}\nSeccomp:\t0\n`;
    expect(missingCapabilities(status("000001ffffffffff"))).toBeUndefined();
    expect(missingCapabilities(status("000001ffffdfefff"))).toStartWith(
      "rkt was started without CAP_NET_ADMIN, CAP_SYS_ADMIN:",
    );
    expect(missingCapabilities("")).toBeUndefined();
  });
});
