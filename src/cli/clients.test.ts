/** The command lines of programs that have called rkt for years: each must find its command and be understood as it was meant. */

import { describe, expect, test } from "bun:test";
import { parseWords } from "./flags.ts";
import { GLOBAL_FLAGS } from "./globals.ts";
import { locateCommand } from "./run-command-line.ts";

async function understood(line: string) {
  const words = line.split(" ").filter((word) => word !== "" && word !== "rkt");
  const { command, path, rest } = await locateCommand(words);
  return { path, ...parseWords(command, GLOBAL_FLAGS, rest) };
}

/** [client, command line, full name of the command, images or arguments, values that must have arrived] */
type Case = readonly [string, string, string, readonly string[], Readonly<Record<string, string>>];

const CASES: readonly Case[] = [
  // Nomad's driver: globals before, the app's limits after the image.
  ["nomad", "rkt version", "rkt version", [], {}],
  [
    "nomad",
    "rkt trust --skip-fingerprint-review=true --prefix=coreos.com/etcd --debug=false",
    "rkt trust",
    [],
    { "skip-fingerprint-review": "true", prefix: "coreos.com/etcd", debug: "false" },
  ],
  [
    "nomad",
    "rkt --insecure-options=image,tls --debug=true prepare --no-overlay=true --volume=a-alloc,kind=host,source=/x --mount=volume=a-alloc,target=/alloc --set-env=K=V docker://redis:3.2-alpine --exec=/bin/redis --memory=134217728 --cpu=500 --port=http:8080 --user=1000 --group=1000 -- --port 6379",
    "rkt prepare",
    ["docker://redis:3.2-alpine", "--port", "6379"],
    {
      "insecure-options": "image,tls",
      debug: "true",
      "no-overlay": "true",
      volume: "a-alloc,kind=host,source=/x",
      mount: "volume=a-alloc,target=/alloc",
      "set-env": "K=V",
      port: "http:8080",
      "image.exec": "/bin/redis",
      "image.memory": "134217728",
      "image.cpu": "500",
      "image.user": "1000",
      "image.group": "1000",
    },
  ],
  [
    "nomad",
    "rkt --insecure-options=all --debug=false run-prepared --dns=8.8.8.8 --dns=1.1.1.1 --dns-search=x --net=default,other 1234",
    "rkt run-prepared",
    ["1234"],
    { "insecure-options": "all", "dns-search": "x", net: "default,other" },
  ],
  ["nomad", "rkt run-prepared --dns=host --net=host 1234", "rkt run-prepared", ["1234"], { net: "host" }],
  ["nomad", "rkt status --format=json 1234", "rkt status", ["1234"], { format: "json" }],
  ["nomad", "rkt cat-manifest 1234", "rkt cat-manifest", ["1234"], {}],
  ["nomad", "rkt enter 1234 ls -l --color", "rkt enter", ["1234", "ls", "-l", "--color"], {}],
  // The kubelet.
  [
    "kubelet",
    "rkt --debug=true --insecure-options=image --local-config=/l --user-config=/u --system-config=/s --dir=/d fetch --no-store docker://nginx",
    "rkt fetch",
    ["docker://nginx"],
    { dir: "/d", "local-config": "/l", "user-config": "/u", "system-config": "/s", "no-store": "true" },
  ],
  [
    "kubelet",
    "rkt --dir=/d prepare --quiet --pod-manifest /tmp/manifest-kube --stage1-name=coreos.com/rkt/stage1-fly",
    "rkt prepare",
    [],
    { quiet: "true", "pod-manifest": "/tmp/manifest-kube", "stage1-name": "coreos.com/rkt/stage1-fly" },
  ],
  [
    "kubelet",
    "rkt --insecure-options=image,all-run run-prepared --no-overlay=true --net=rkt.kubernetes.io --dns=10.0.0.10 --dns-search=a --dns-search=b --dns-opt=ndots:5 --hostname=h 1234",
    "rkt run-prepared",
    ["1234"],
    { hostname: "h", net: "rkt.kubernetes.io" },
  ],
  ["kubelet", "rkt enter --app=a 1234 sh -c x", "rkt enter", ["1234", "sh", "-c", "x"], { app: "a" }],
  ["kubelet", "rkt rm 1234", "rkt rm", ["1234"], {}],
  ["kubelet", "rkt image rm sha512-1", "rkt image rm", ["sha512-1"], {}],
  // rktlet: globals after the command's name.
  ["rktlet", "rkt stop --force=true 1234", "rkt stop", ["1234"], { force: "true" }],
  [
    "rktlet",
    "rkt status 1234 --format=json --wait-ready=10s",
    "rkt status",
    ["1234"],
    { format: "json", "wait-ready": "10s" },
  ],
  ["rktlet", "rkt list --format=json", "rkt list", [], { format: "json" }],
  [
    "rktlet",
    "rkt image list --full --format=json --sort=importtime",
    "rkt image list",
    [],
    { full: "true", format: "json", sort: "importtime" },
  ],
  ["rktlet", "rkt image cat-manifest sha512-1", "rkt image cat-manifest", ["sha512-1"], {}],
  [
    "rktlet",
    "rkt image fetch --pull-policy=update --full=true docker://nginx",
    "rkt image fetch",
    ["docker://nginx"],
    { "pull-policy": "update", full: "true" },
  ],
  // CoreOS wrappers.
  [
    "kubelet-wrapper",
    "rkt --dir=/d run --uuid-file-save=/f --trust-keys-from-https --volume k,kind=host,source=/etc,readOnly=true,recursive=true --mount volume=k,target=/etc --hosts-entry host --inherit-env --set-env=NOTIFY_SOCKET=/n --stage1-from-dir=stage1-fly.aci docker://quay.io/coreos/hyperkube --exec=/kubelet -- --v=2 --x y",
    "rkt run",
    ["docker://quay.io/coreos/hyperkube", "--v=2", "--x", "y"],
    {
      "uuid-file-save": "/f",
      "trust-keys-from-https": "true",
      volume: "k,kind=host,source=/etc,readOnly=true,recursive=true",
      mount: "volume=k,target=/etc",
      "hosts-entry": "host",
      "inherit-env": "true",
      "stage1-from-dir": "stage1-fly.aci",
      "image.exec": "/kubelet",
    },
  ],
  ["etcd-wrapper", "rkt run --insecure-options=image i --user=232 --", "rkt run", ["i"], { "image.user": "232" }],
  ["kubelet-wrapper", "rkt rm --uuid-file=/f", "rkt rm", [], { "uuid-file": "/f" }],
  ["kubelet-wrapper", "rkt stop --uuid-file=/f", "rkt stop", [], { "uuid-file": "/f" }],
  [
    "coreos",
    "rkt fetch A.aci B.aci --insecure-options=image",
    "rkt fetch",
    ["A.aci", "B.aci"],
    { "insecure-options": "image" },
  ],
  // EVE: globals and the pod's flags after the image.
  [
    "eve",
    "rkt fetch --dir=/d --insecure-options=image https://x/y.aci",
    "rkt fetch",
    ["https://x/y.aci"],
    { dir: "/d" },
  ],
  ["eve", "rkt list --dir=/d --no-legend", "rkt list", [], { dir: "/d", "no-legend": "true" }],
  [
    "eve",
    "rkt image list --dir=/d --no-legend --fields=id,name",
    "rkt image list",
    [],
    { dir: "/d", fields: "id,name" },
  ],
  [
    "eve",
    "rkt --dir=/d --insecure-options=image prepare sha512-1 --stage1-path=/s.aci --name=n --no-overlay --quiet",
    "rkt prepare",
    ["sha512-1"],
    { dir: "/d", "stage1-path": "/s.aci", "image.name": "n", "no-overlay": "true", quiet: "true" },
  ],
  [
    "eve",
    "rkt run sha512-1 --dir=/d --stage1-path=/s.aci --uuid-file-save=/f --set-env=K=V",
    "rkt run",
    ["sha512-1"],
    { dir: "/d", "stage1-path": "/s.aci", "uuid-file-save": "/f", "set-env": "K=V" },
  ],
  ["eve", "rkt stop 1234 --force=true", "rkt stop", ["1234"], { force: "true" }],
  ["eve", "rkt gc --dir=/d --grace-period=0s", "rkt gc", [], { dir: "/d", "grace-period": "0s" }],
  ["eve", "rkt image gc --dir=/d --grace-period=24h", "rkt image gc", [], { dir: "/d", "grace-period": "24h" }],
  ["eve", "rkt image rm --dir=/d sha512-1", "rkt image rm", ["sha512-1"], { dir: "/d" }],
  // The heartbeat resource agent.
  ["heartbeat", "rkt list --no-legend --full", "rkt list", [], { "no-legend": "true", full: "true" }],
  ["heartbeat", "rkt run img --name=n --exec=/x", "rkt run", ["img"], { "image.name": "n", "image.exec": "/x" }],
  ["heartbeat", "rkt enter 1234 true", "rkt enter", ["1234", "true"], {}],
  ["heartbeat", "rkt stop --force 1234", "rkt stop", ["1234"], { force: "true" }],
  ["heartbeat", "rkt fetch img", "rkt fetch", ["img"], {}],
  ["heartbeat", "rkt image list --no-legend", "rkt image list", [], { "no-legend": "true" }],
  // rktrunner.
  [
    "rktrunner",
    "rkt --insecure-options=image run --interactive --net=host --set-env=K=V --set-env-file /e --volume n,kind=empty,uid=1,gid=1 --volume home,kind=host,source=/home img --mount volume=home,target=/home --user=1 --group=1 --exec sh -- -c x",
    "rkt run",
    ["img", "-c", "x"],
    {
      interactive: "true",
      net: "host",
      "set-env-file": "/e",
      "image.mount": "volume=home,target=/home",
      "image.user": "1",
      "image.exec": "sh",
    },
  ],
  // calico-node.
  [
    "calico",
    "rkt run --stage1-path=/usr/share/rkt/stage1-fly.aci --insecure-options=image --volume=b,kind=host,source=/b --mount volume=b,target=/b calico/node",
    "rkt run",
    ["calico/node"],
    { "stage1-path": "/usr/share/rkt/stage1-fly.aci", mount: "volume=b,target=/b" },
  ],
];

describe.each(CASES)("%s: %s", (_, line, name, words, values) => {
  test("is understood", async () => {
    const { path, globals, flags, args, images } = await understood(line);
    expect(path).toBe(name);
    expect([...args, ...images.flatMap((image) => [image.image, ...image.args])]).toEqual([...words]);
    for (const [flag, value] of Object.entries(values)) {
      const ofImage = flag.startsWith("image.");
      const isGlobal = GLOBAL_FLAGS.some((spec) => spec.name === flag);
      const from = ofImage ? images[0]?.flags : isGlobal ? globals : flags;
      expect(from?.string(flag.replace("image.", ""))).toBe(value);
    }
  });
});
