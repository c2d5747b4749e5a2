/**
 * Database servers in pods as they are run in earnest: PostgreSQL as its own user with a system call filter, beside a client that reaches it over localhost; redis
 * with a memory limit and an empty volume. Needs root, umoci, and the packages that tools/test-packages.sh downloads.
 */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DEBIAN_TAG, debianImage } from "../harness/debian-images.ts";
import { type TestRkt, testRkt, until } from "../harness/rkt.ts";
import { runProgram } from "../harness/temporary.ts";

setDefaultTimeout(120_000);

let rkt: TestRkt;
const ids = new Map<string, string>();
const image = (name: "postgres" | "redis") => ids.get(name) ?? "";
const insecure = "--insecure-options=image";
const uuid = () => readFileSync(join(rkt.dir, "uuid"), "utf8");
const start = (...args: string[]) =>
  rkt.start([insecure, "run", "--net=none", `--uuid-file-save=${join(rkt.dir, "uuid")}`, ...args]);

beforeAll(() => {
  rkt = testRkt();
  for (const name of ["postgres", "redis"] as const) {
    // umoci writes the index for its user alone; the user that fetches is another.
    const layout = join(rkt.dir, name);
    runProgram(["cp", "-a", debianImage(name), layout]);
    runProgram(["chmod", "-R", "a+rX", layout]);
    ids.set(name, rkt.ok([insecure, "fetch", "--full", `oci:${layout}:${DEBIAN_TAG}`]).trim());
  }
});
afterAll(() => rkt?.[Symbol.dispose]());

test("PostgreSQL as its own user, filtered and limited, serves a client in the same pod over localhost", async () => {
  const sql =
    "create table t (x int); insert into t select generate_series(1, 10000); select sum(x), pg_backend_pid() > 0 from t";
  const client = [
    "until /usr/lib/postgresql/*/bin/pg_isready -q -h 127.0.0.1; do sleep 0.2; done",
    `echo "rows: $(/usr/lib/postgresql/*/bin/psql -h 127.0.0.1 -U postgres -d postgres -q -A -t -c '${sql}')"`,
  ].join("; ");
  const running = start(
    ...["--volume=volume-var-lib-postgresql-data,kind=empty,mode=0700,uid=998,gid=998"],
    ...[image("postgres"), "--name=db", "--user=postgres", "--memory=512M", "--pids=100", "--caps-retain=CAP_KILL"],
    ...["--seccomp=mode=retain,errno=ENOSYS,@rkt/default-whitelist", "---"],
    ...[image("postgres"), "--name=client", "--exec=/bin/sh", "--", "-c", client],
  );
  let over = false;
  void running.ended.then(() => {
    over = true;
  });
  await until("the client's answer", () => over || /rows: [^\n]*\n/.test(running.stdout()), 100);
  expect(running.stdout()).toContain("rows: 50005000|t");
  const entered = rkt.run([
    "enter",
    "--app=db",
    uuid(),
    "/bin/sh",
    "-c",
    "head -n 1 /var/lib/postgresql/data/PG_VERSION; stat -c '%u %a' /var/lib/postgresql/data; cat /proc/$(head -n 1 /var/lib/postgresql/data/postmaster.pid)/status",
  ]);
  expect(entered.stdout).toMatch(/^\d+\n998 700\n/);
  expect(entered.stdout).toMatch(/^Uid:\t998\t998\t998\t998$/m);
  expect(entered.stdout).toMatch(/^CapBnd:\t0000000000000020$/m);
  expect(entered.stdout).toMatch(/^NoNewPrivs:\t1$/m);
  expect(entered.stdout).toMatch(/^Seccomp:\t2$/m);
  rkt.ok(["stop", uuid()]);
  await running.ended;
  const status = rkt.ok(["status", uuid()]);
  expect(status).toContain("app-db=0");
  expect(status).toContain("app-client=0");
});

test("redis with an empty volume and a memory limit: it works, and ends when it takes more", async () => {
  const client = [
    'until [ "$(redis-cli -h 127.0.0.1 ping)" = PONG ]; do sleep 0.1; done',
    "redis-cli -h 127.0.0.1 set key value; redis-cli -h 127.0.0.1 save; echo got $(redis-cli -h 127.0.0.1 get key)",
    "i=0; while redis-cli -h 127.0.0.1 setrange big$i 8000000 x > /dev/null 2>&1 && [ $i -lt 40 ]; do i=$((i+1)); done; echo filled $i; sleep 30",
  ].join("; ");
  const running = start(
    ...["--volume=volume-data,kind=empty,uid=999,gid=999"],
    ...[image("redis"), "--name=cache", "--memory=64M", "---"],
    ...[image("redis"), "--name=client", "--exec=/bin/sh", "--", "-c", client],
  );
  const { status, stdout } = await running.ended;
  expect(stdout).toContain("got value");
  expect(status).toBe(137);
  const { apps } = JSON.parse(rkt.ok(["status", "--format=json", uuid()]));
  const cache = apps.find((app: { name: string }) => app.name === "cache");
  expect(cache).toMatchObject({ exit_code: 137, signal: "SIGKILL", oom: true });
});
