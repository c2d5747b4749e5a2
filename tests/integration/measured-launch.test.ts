/** Pods in the machine's TPM before they start, with swtpm as the TPM: run, log, replay, and everything that must not go unseen. Needs root, swtpm, tpm2-tools, strace. */

import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildBusyboxOci } from "../harness/images.ts";
import { killAtCall } from "../harness/kill-at.ts";
import { type Result, RKT, type TestRkt, testRkt } from "../harness/rkt.ts";
import { configureMeasurement, silentTpm, type TestTpm, testTpm } from "../harness/tpm.ts";

setDefaultTimeout(300_000);

let rkt: TestRkt;
let tpm: TestTpm;
let image: string;
let manifestDigest: string;
const FLY = "--stage1-name=coreos.com/rkt/stage1-fly";
const words = (script: string, flags: readonly string[] = [FLY]) => [
  ...["--insecure-options=image", "run", "--net=none", `--uuid-file-save=${join(rkt.dir, "uuid")}`, ...flags],
  ...[image, "--exec=/bin/sh", "--", "-c", script],
];
const uuid = () => readFileSync(join(rkt.dir, "uuid"), "utf8");
const measuredAs = () => JSON.parse(rkt.ok(["status", "--format=json", uuid()])).isolation.measured;
const records = () => JSON.parse(rkt.ok(["tpm", "log", "--format=json"])) as { content: { string: string } }[];
const events = () => records().map(({ content }) => JSON.parse(content.string));
const replay = (): Result & { verdict: string; reasons?: string[] } => {
  const result = rkt.run(["tpm", "replay", "--format=json"]);
  return { ...result, ...JSON.parse(result.stdout) };
};
const logFile = () => {
  const [name, ...others] = readdirSync(join(rkt.dataDir, "measured"));
  expect(others).toEqual([]);
  return join(rkt.dataDir, "measured", name ?? "");
};

beforeEach(async () => {
  rkt = testRkt();
  tpm = await testTpm(join(rkt.dir, "tpm"));
  const layout = join(rkt.dir, "layout");
  manifestDigest = buildBusyboxOci(layout).manifestDigest;
  image = rkt.ok(["--insecure-options=image", "fetch", "--full", `oci:${layout}`]).trim();
  configureMeasurement(rkt, { policy: "required", tcti: tpm.tcti, timeout: 20 });
});
afterEach(async () => {
  await tpm[Symbol.asyncDispose]();
  rkt[Symbol.dispose]();
});

describe("a measured pod", () => {
  test("is in the log and in the register, and status says so", () => {
    expect(tpm.register()).toBe("0".repeat(64));
    expect(rkt.run(words("exit 3")).status).toBe(3);
    expect(measuredAs()).toBe("pcr 15, record 1");
    const [boot, pod, ...others] = events();
    expect(others).toEqual([]);
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    expect(boot).toMatchObject({ event: "boot", boot: bootId, register: { sha256: "0".repeat(64) } });
    expect(pod).toMatchObject({
      event: "pod",
      pod: uuid(),
      apps: [{ id: image, digest: manifestDigest, signer: "unsigned" }],
      stage1: { name: "coreos.com/rkt/stage1-fly", signer: "part of rkt" },
    });
    expect(pod.arguments).toContain("--net=none");
    const manifest = readFileSync(join(rkt.dataDir, "pods/run", uuid(), "pod"));
    expect(pod.manifest).toBe(`sha256:${new Bun.CryptoHasher("sha256").update(manifest).digest("hex")}`);
    expect(replay()).toMatchObject({ status: 0, verdict: "explained", register: { sha256: tpm.register() } });
    expect(rkt.ok(["tpm", "log"])).toContain(`\tpod ${uuid()}\n\t\tstage1 coreos.com/rkt/stage1-fly`);
    expect(rkt.ok(["tpm", "replay"])).toEndWith("explained: the 2 records lead to what PCR 15 holds\n");
  });

  test("can be one that was prepared, one of nspawn, and one to which an app is added", async () => {
    const id = rkt.ok(["--insecure-options=image", "prepare", "--quiet", image, "--exec=/bin/true"]).trim();
    expect(existsSync(join(rkt.dataDir, "measured"))).toBe(false);
    expect(rkt.run(["run-prepared", "--net=none", id]).status).toBe(0);
    expect(events().at(-1)).toMatchObject({ event: "pod", pod: id });
    const save = `--uuid-file-save=${join(rkt.dir, "uuid")}`;
    const sandbox = rkt.start(["app", "sandbox", "--net=none", save]);
    while (!existsSync(join(rkt.dir, "uuid"))) await Bun.sleep(20);
    rkt.ok(["status", "--wait-ready", uuid()]);
    rkt.ok(["--insecure-options=image", "app", "add", uuid(), image, "--name=late"]);
    expect(events().at(-1)).toMatchObject({ event: "app", pod: uuid(), apps: [{ app: "late", id: image }] });
    expect(measuredAs()).toStartWith("pcr 15, record ");
    // One that is not measured takes the word away from the whole pod.
    configureMeasurement(rkt, { policy: "off" });
    rkt.ok(["--insecure-options=image", "app", "add", uuid(), image, "--name=unmeasured"]);
    expect(measuredAs()).toBeUndefined();
    configureMeasurement(rkt, { policy: "required", tcti: tpm.tcti });
    expect(replay()).toMatchObject({ status: 0, verdict: "explained" });
    rkt.ok(["stop", uuid()]);
    await sandbox.ended;
  });

  test("is measured a second time in rkt 1.x's words where that is asked for", () => {
    configureMeasurement(rkt, { policy: "required", tcti: tpm.tcti, "rkt1-events": true, pcr: 12 });
    expect(rkt.run(words("true")).status).toBe(0);
    const texts = records().map(({ content }) => content.string);
    expect(texts).toHaveLength(3);
    const manifest = readFileSync(join(rkt.dataDir, "pods/run", uuid(), "pod"), "utf8").trim();
    expect(texts[2]).toStartWith("rkt: Rootfs: sha512-");
    expect(texts[2]).toContain(` Manifest: ${manifest} Stage1 args: --net=none `);
    expect(replay()).toMatchObject({ status: 0, pcr: 12 });
    expect(tpm.register(15)).toBe("0".repeat(64));
    expect(tpm.register(12)).not.toBe("0".repeat(64));
  });

  test("is in the banks that the TPM has", async () => {
    tpm.keepBanks(["sha256"]);
    await tpm.kill();
    tpm = await testTpm(join(rkt.dir, "tpm"));
    configureMeasurement(rkt, { policy: "required", tcti: tpm.tcti });
    expect(rkt.run(words("true")).status).toBe(0);
    expect(events()[0].register).toEqual({ sha256: "0".repeat(64) });
    expect(replay()).toMatchObject({ status: 0, verdict: "explained", register: { sha256: tpm.register() } });
  });

  test("can be a virtual machine", () => {
    expect(rkt.run(words("exit 4", ["--stage1-name=coreos.com/rkt/stage1-kvm"])).status).toBe(4);
    expect(measuredAs()).toBe("pcr 15, record 1");
    expect(events()[1].stage1).toMatchObject({ name: "coreos.com/rkt/stage1-kvm", signer: "part of rkt" });
    expect(rkt.ok(["status", uuid()])).toMatch(/\nisolation=.*,vm\(.*\),measured\(pcr 15, record 1\)\n/);
  });

  test("two at once come one after the other", async () => {
    const runs = [1, 2, 3].map(() => rkt.start(words("true")));
    for (const { ended } of runs) expect((await ended).status).toBe(0);
    expect(events().map(({ event }) => event)).toEqual(["boot", "pod", "pod", "pod"]);
    expect(replay()).toMatchObject({ status: 0, verdict: "explained" });
  });

  test("after a reboot the log begins anew", () => {
    expect(rkt.run(words("true")).status).toBe(0);
    const before = tpm.register();
    const bootId = join(rkt.dir, "boot_id");
    writeFileSync(bootId, "00000000-1111-4222-8333-444444444444\n");
    const rebooted = (...args: string[]) =>
      spawnSync(
        "unshare",
        ["-m", "sh", "-c", `mount --bind ${bootId} /proc/sys/kernel/random/boot_id && exec "$@"`, "sh", RKT].concat(
          rkt.globals,
          args,
        ),
        { encoding: "utf8" },
      );
    expect(rebooted(...words("true"))).toMatchObject({ status: 0 });
    const log = JSON.parse(rebooted("tpm", "log", "--format=json").stdout);
    expect(JSON.parse(log[0].content.string)).toMatchObject({
      ...{ event: "boot", boot: "00000000-1111-4222-8333-444444444444" },
      // This TPM was not reset with the machine: what it held is where the new log begins.
      register: { sha256: before },
    });
    expect(log).toHaveLength(2);
    expect(rebooted("tpm", "replay").status).toBe(0);
    expect(records()).toHaveLength(2);
  });
});

describe("killed between record and extension", () => {
  /** fdatasync(2): the record is written, the extension comes next. */
  const killed = (nth: number) => killAtCall(rkt, words("echo started"), "fdatasync", nth);

  test("the record is told from a changed log, and the next start makes up for it", () => {
    const first = killed(2);
    expect(first).toMatchObject({ killed: true, result: { stdout: "" } });
    expect(records()).toHaveLength(2);
    expect(replay()).toMatchObject({ status: 0, verdict: "interrupted" });
    expect(rkt.ok(["tpm", "replay"])).toContain("the first 1 of 2 records lead to");
    expect(rkt.run(words("true")).status).toBe(0);
    expect(records()).toHaveLength(3);
    expect(replay()).toMatchObject({ status: 0, verdict: "explained" });
  });

  test("so is the first record of a boot, and a record that was cut off", () => {
    expect(killed(1).killed).toBe(true);
    expect(replay()).toMatchObject({ status: 0, verdict: "interrupted", records: 1 });
    writeFileSync(logFile(), '\x1e{"recnum":1,"pcr', { flag: "a" });
    expect(replay()).toMatchObject({ status: 0, verdict: "interrupted", cut_off: true });
    expect(rkt.run(words("true")).status).toBe(0);
    expect(events().map(({ event }) => event)).toEqual(["boot", "pod"]);
    expect(replay()).toMatchObject({ status: 0, verdict: "explained", cut_off: false });
  });
});

describe("a log that was tampered with", () => {
  beforeEach(() => {
    for (let pod = 0; pod < 3; pod += 1) expect(rkt.run(words("true")).status).toBe(0);
  });
  const lines = () => readFileSync(logFile(), "utf8").split("\n").slice(0, -1);
  const changed = (change: (lines: string[]) => string[]) => {
    writeFileSync(logFile(), `${change(lines()).join("\n")}\n`);
    const result = replay();
    expect(result).toMatchObject({ status: 1, verdict: "unexplained" });
    return result.reasons;
  };

  test("does not explain the register: a record changed, removed, moved, added", () => {
    const whole = lines();
    const [a = "", b = "", c = "", d = ""] = whole;
    expect(replay().status).toBe(0);
    const lied = c.replace(manifestDigest, `sha256:${"0".repeat(64)}`);
    expect(lied).not.toBe(c);
    expect(changed(() => [a, b, lied, d])?.[0]).toBe("record 2: its digests are not of its text");
    expect(changed(() => [a, b, d])?.[0]).toStartWith("record 3: expected number 2: records are missing");
    expect(changed(() => [a, b, c])?.[0]).toStartWith("the register holds what the log does not lead to");
    expect(changed(() => [a, c, b, d])?.[0]).toStartWith("record 2: expected number 1");
    expect(changed(() => [a, b, c, d, d])?.[0]).toStartWith("record 3: expected number 4");
    expect(changed(() => [b, c, d])?.join("\n")).toContain("expected the first record of a boot");
    writeFileSync(logFile(), `${whole.join("\n")}\n`);
    expect(replay().status).toBe(0);
  });

  test("is told, and the next pod is measured all the same", () => {
    changed((all) => all.slice(0, -1));
    const next = rkt.run(words("echo started"));
    expect(next).toMatchObject({ status: 0, stdout: "started\n" });
    expect(next.stderr).toContain("PCR 15 was extended by others than rkt since the last pod");
    expect(events().map(({ event }) => event)).toEqual(["boot", "pod", "pod", "found", "pod"]);
    expect(replay()).toMatchObject({
      ...{ status: 1, verdict: "unexplained" },
      reasons: ["record 3: somebody else had extended the register before it"],
    });
  });

  test("is told from an extension by another program only by what it does not say", () => {
    tpm.extend("another program's event");
    expect(replay().reasons?.[0]).toStartWith("the register holds what the log does not lead to");
  });

  test("that cannot be read at all is an error, and required pods wait for it to be mended", () => {
    writeFileSync(logFile(), "no record\n");
    expect(rkt.run(["tpm", "replay"])).toMatchObject({ status: 254 });
    expect(rkt.run(words("echo started"))).toMatchObject({ status: 254, stdout: "" });
  });
});

describe("a TPM that does not answer", () => {
  const refused = (settings: object, reason: string) => {
    configureMeasurement(rkt, { policy: "required", ...settings });
    const before = rkt.pods();
    const result = rkt.run(words("echo started"));
    expect(result).toMatchObject({ status: 254, stdout: "" });
    expect(result.stderr).toContain("Cannot run the pod: it has to be measured, and could not be");
    expect(result.stderr).toContain(reason);
    expect(rkt.pods()).toEqual(before);
  };
  const passed = (settings: object, reason: string) => {
    configureMeasurement(rkt, { policy: "best-effort", ...settings });
    const result = rkt.run(words("echo started"));
    expect(result).toMatchObject({ status: 0, stdout: "started\n" });
    const [line, ...others] = result.stderr.split("\n").filter((one) => one.includes("measured"));
    expect(line).toContain(`not measured: Cannot use the TPM: ${reason}`);
    expect(others).toEqual([]);
    expect(measuredAs()).toBeUndefined();
  };

  test("because it is gone", async () => {
    await tpm.kill();
    refused({ tcti: tpm.tcti }, '"tpm2 pcrread" failed');
    passed({ tcti: tpm.tcti }, '"tpm2 pcrread" failed');
    refused({ tcti: "device:/dev/tpm-none" }, 'this host has no "/dev/tpm-none"');
    passed({ tcti: "device:/dev/tpm-none" }, 'this host has no "/dev/tpm-none"');
  });

  test("because it hangs: the start takes as long as it may, and no longer", async () => {
    await using silent = await silentTpm();
    refused({ tcti: silent.tcti, timeout: 1 }, "no answer within 1 s");
    passed({ tcti: silent.tcti, timeout: 1 }, "no answer within 1 s");
  });

  test("leaves a prepared pod prepared", async () => {
    const id = rkt.ok(["--insecure-options=image", "prepare", "--quiet", image, "--exec=/bin/true"]).trim();
    await tpm.kill();
    expect(rkt.run(["run-prepared", "--net=none", id])).toMatchObject({ status: 254 });
    expect(rkt.ok(["status", id])).toStartWith("state=prepared\n");
    configureMeasurement(rkt, { policy: "off" });
    expect(rkt.run(["run-prepared", "--net=none", id]).status).toBe(0);
  });

  test("keeps a pod in the background from starting, and an app from being added", async () => {
    const save = `--uuid-file-save=${join(rkt.dir, "uuid")}`;
    const sandbox = rkt.start(["app", "sandbox", "--net=none", save]);
    while (!existsSync(join(rkt.dir, "uuid"))) await Bun.sleep(20);
    rkt.ok(["status", "--wait-ready", uuid()]);
    await tpm.kill();
    const added = rkt.run(["--insecure-options=image", "app", "add", uuid(), image, "--name=late"]);
    expect(added).toMatchObject({ status: 254 });
    expect(added.stderr).toContain("Cannot add the app: it has to be measured, and could not be: Cannot use the TPM");
    expect(rkt.ok(["app", "list", uuid()])).not.toContain("late");
    expect(measuredAs()).toStartWith("pcr 15, record ");
    rkt.ok(["stop", uuid()]);
    await sandbox.ended;
    const before = rkt.pods();
    const detached = rkt.run(["--insecure-options=image", "run", "--detach", "--net=none", FLY, image]);
    expect(detached).toMatchObject({ status: 254, stdout: "" });
    expect(detached.stderr).toContain("it has to be measured, and could not be");
    expect(rkt.pods()).toEqual(before);
  });

  test("and a log that cannot be written count the same", () => {
    writeFileSync(join(rkt.dataDir, "measured"), "in the way");
    refused({ tcti: tpm.tcti }, "Cannot write the measurement log");
    configureMeasurement(rkt, { policy: "best-effort", tcti: tpm.tcti });
    expect(rkt.run(words("echo started")).stderr).toContain("not measured: Cannot write the measurement log");
  });
});

describe("who decides", () => {
  test("--require=measured measures a pod of a host that measures none, or refuses it", async () => {
    configureMeasurement(rkt, { tcti: tpm.tcti });
    expect(rkt.run(words("true")).status).toBe(0);
    expect(existsSync(join(rkt.dataDir, "measured"))).toBe(false);
    expect(rkt.run(words("true", [FLY, "--require=measured"])).status).toBe(0);
    expect(measuredAs()).toBe("pcr 15, record 1");
    await tpm.kill();
    configureMeasurement(rkt, { policy: "best-effort", tcti: tpm.tcti });
    expect(rkt.run(words("echo started", [FLY, "--require=measured"]))).toMatchObject({ status: 254, stdout: "" });
    configureMeasurement(rkt, { tcti: "device:/dev/tpm-none" });
    expect(rkt.run(words("echo started", [FLY, "--require=measured"])).stderr).toContain('would not have "measured"');
  });

  test("not the caller's environment: another TPM there is not asked", async () => {
    await using other = await testTpm(join(rkt.dir, "other-tpm"));
    const env = { TPM2TOOLS_TCTI: other.tcti, TSS2_LOGFILE: join(rkt.dir, "written") };
    expect(rkt.run(words("true"), { env }).status).toBe(0);
    expect(other.register()).toBe("0".repeat(64));
    expect(tpm.register()).not.toBe("0".repeat(64));
    expect(existsSync(join(rkt.dir, "written"))).toBe(false);
  });

  test("not the user's configuration", () => {
    const user = join(rkt.dir, "user");
    mkdirSync(join(user, "measurement.d"), { recursive: true });
    const content = { rktKind: "measurement", rktVersion: "v1", policy: "off" };
    writeFileSync(join(user, "measurement.d/off.json"), JSON.stringify(content));
    const result = rkt.run([`--user-config=${user}`, ...words("echo started")]);
    expect(result).toMatchObject({ status: 254, stdout: "" });
    expect(result.stderr).toContain("the measurement of pods is configured for the host, not for a user");
  });
});

describe("a quote", () => {
  const NONCE = "00112233445566778899aabbccddeeff";
  const at = (name: string) => join(rkt.dir, name);
  const write = (name: string, value: object) => {
    writeFileSync(at(name), JSON.stringify(value));
    return at(name);
  };
  const stage1 = [{ name: "coreos.com/rkt/stage1-fly", signer: "part of rkt" }];
  const policy = () => write("policy.json", { version: 1, images: [{ digest: manifestDigest }], stage1 });
  const takeQuote = (nonce = NONCE) => {
    rkt.ok(["tpm", "quote", `--nonce=${nonce}`, `--output=${at("quote")}`]);
    return at("quote");
  };
  const saveKey = () => {
    writeFileSync(at("key.pem"), rkt.ok(["tpm", "key"]));
    return at("key.pem");
  };
  /** As on another machine: by somebody without rights, without a TPM and without this configuration. */
  const verify = (quote: string, given: { policy?: string; key?: string; nonce?: string } = {}) => {
    for (const file of ["quote", "key.pem", "policy.json"]) if (existsSync(at(file))) chmodSync(at(file), 0o644);
    chmodSync(rkt.dir, 0o755);
    const key = given.key ?? at("key.pem");
    const flags = [`--policy=${given.policy ?? policy()}`, `--key=${key}`, `--nonce=${given.nonce ?? NONCE}`];
    const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    const words = ["tpm", "verify", ...flags, "--format=json", quote];
    const result = spawnSync("setpriv", [...nobody, RKT, "--local-config=/nonexistent", ...words], {
      encoding: "utf8",
    });
    const { accepted, reasons } =
      result.stdout === "" ? { accepted: undefined, reasons: [] } : JSON.parse(result.stdout);
    return { status: result.status, accepted, reasons, stderr: result.stderr };
  };

  test("is accepted by a policy that allows what ran, and refused by one that does not", () => {
    expect(rkt.run(words("true")).status).toBe(0);
    expect(rkt.run(words("true")).status).toBe(0);
    saveKey();
    const quote = takeQuote();
    expect(verify(quote)).toEqual({ status: 0, accepted: true, reasons: [], stderr: "" });
    const text = rkt.ok(["tpm", "verify", `--policy=${policy()}`, "--key", at("key.pem"), "--nonce", NONCE, quote]);
    expect(text).toEndWith(`2 x image ${manifestDigest} (unsigned)\naccepted\n`);
    const strict = write("strict.json", {
      version: 1,
      images: [{ digest: manifestDigest, signer: "openpgp:0" }],
      stage1,
    });
    expect(verify(quote, { policy: strict })).toMatchObject({
      ...{ status: 1, accepted: false },
      reasons: [1, 2].map((n) => `record ${n}: the image of app layout, ${manifestDigest} (unsigned) is not allowed`),
    });
    // Another stage1, later: what was accepted before is so no more.
    const nspawn = ["--stage1-name=coreos.com/rkt/stage1-nspawn"];
    expect(rkt.run(words("true", nspawn)).status).toBe(0);
    expect(verify(takeQuote()).reasons).toEqual([
      expect.stringMatching(/^record 3: the stage1 coreos.com\/rkt\/stage1-nspawn .* is not allowed$/),
    ]);
  });

  test("of a machine that has started nothing is accepted", () => {
    saveKey();
    expect(verify(takeQuote())).toMatchObject({ status: 0, accepted: true });
  });

  test("that is old, of another TPM, or changed is refused", async () => {
    expect(rkt.run(words("true")).status).toBe(0);
    const key = saveKey();
    const quote = takeQuote();
    const refused = (given: Parameters<typeof verify>[1], file = quote) => {
      const result = verify(file, given);
      expect(result).toMatchObject({ status: 1, accepted: false });
      return result.reasons[0];
    };
    expect(refused({ nonce: "f".repeat(32) })).toBe("the quote was made for another nonce: it may be an old one");
    await using other = await testTpm(join(rkt.dir, "other-tpm"));
    configureMeasurement(rkt, { policy: "required", tcti: other.tcti });
    writeFileSync(at("other.pem"), rkt.ok(["tpm", "key"]), { mode: 0o644 });
    expect(refused({ key: at("other.pem") })).toBe("the quote is not signed by the given key");
    // The other TPM's register is not explained by this log: nothing is signed that nobody would accept.
    expect(rkt.run(["tpm", "quote", `--nonce=${NONCE}`])).toMatchObject({ status: 254, stdout: "" });
    const json = JSON.parse(readFileSync(quote, "utf8"));
    const changed = (log: unknown[]) => refused({ key }, write("quote", { ...json, log }));
    const [boot, pod] = json.log;
    expect(changed([boot])).toBe("the log does not lead to what the register holds");
    expect(changed([pod])).toStartWith("record 1: expected number 0");
    const string = pod.content.string.replace(manifestDigest, `sha256:${"0".repeat(64)}`);
    expect(changed([boot, { ...pod, content: { ...pod.content, string } }])).toBe(
      "record 1: its digests are not of its text",
    );
    expect(verify(write("quote", { ...json, attest: "AAAA" }))).toMatchObject({ status: 1, accepted: false });
    expect(verify(write("quote", { ...json, log: 3 }))).toMatchObject({ status: 254, accepted: undefined });
  });

  test("is not made where the register was extended by others, nor with a bad nonce", () => {
    expect(rkt.run(words("true")).status).toBe(0);
    tpm.extend("another program's event");
    const result = rkt.run(["tpm", "quote", `--nonce=${NONCE}`]);
    expect(result).toMatchObject({ status: 254, stdout: "" });
    expect(result.stderr).toContain("Cannot make a quote: the log does not explain what PCR 15 holds");
    expect(rkt.run(["tpm", "quote", "--nonce=abc"]).stderr).toContain("8 to 32 bytes as hexadecimal digits");
    expect(rkt.run(["tpm", "quote"]).stderr).toContain("--nonce required");
  });

  test("is signed by the same key after a reset, and by tpm2-tools' judgement too", async () => {
    const key = saveKey();
    const before = readFileSync(key, "utf8");
    await tpm.kill();
    tpm = await testTpm(join(rkt.dir, "tpm"));
    configureMeasurement(rkt, { policy: "required", tcti: tpm.tcti });
    for (let round = 0; round < 5; round += 1) expect(rkt.ok(["tpm", "key"])).toBe(before);
    const { attest, signature } = JSON.parse(readFileSync(takeQuote(), "utf8"));
    writeFileSync(at("attest"), Buffer.from(attest, "base64"));
    writeFileSync(at("signature"), Buffer.from(signature, "base64"));
    const check = ["checkquote", "-u", key, "-m", at("attest"), "-s", at("signature"), "-q", NONCE];
    const checked = spawnSync("tpm2", check, { encoding: "utf8" });
    expect({ status: checked.status, stderr: checked.stderr }).toMatchObject({ status: 0 });
  });
});
