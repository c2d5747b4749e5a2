/** Flags that `run`, `prepare` and `run-prepared` share: declared once. Meaning: rkt 1.x. */

import type { FlagSpec } from "./command.ts";

export const STAGE1_FLAGS: readonly FlagSpec[] = [
  {
    name: "stage1-url",
    kind: "string",
    once: true,
    exclusiveGroup: "stage1",
    usage: "URL to an image to use as stage1",
  },
  {
    name: "stage1-path",
    kind: "string",
    once: true,
    exclusiveGroup: "stage1",
    usage: "absolute or relative path to an image to use as stage1",
  },
  {
    name: "stage1-name",
    kind: "string",
    once: true,
    exclusiveGroup: "stage1",
    usage: "name of an image to use as stage1",
  },
  {
    name: "stage1-hash",
    kind: "string",
    once: true,
    exclusiveGroup: "stage1",
    usage: "hash of an image to use as stage1",
  },
  {
    name: "stage1-from-dir",
    kind: "string",
    once: true,
    exclusiveGroup: "stage1",
    usage: "file name of an image in the stage1 images directory to use as stage1",
  },
];

/** `--pull-policy` and the two flags that came before it; commands differ in the default (reference: run "new", fetch "update"). */
export function pullPolicyFlags(byDefault: "new" | "update"): readonly FlagSpec[] {
  return [
    {
      name: "pull-policy",
      kind: "string",
      default: byDefault,
      usage: "when to fetch an image: never, new (if it is not in the store), update",
    },
    { name: "store-only", kind: "bool", usage: "", deprecated: "please use --pull-policy=never" },
    { name: "no-store", kind: "bool", usage: "", deprecated: "please use --pull-policy=update" },
  ];
}

/** In every command that may download. */
export const PROGRESS_FLAG: FlagSpec = {
  name: "progress",
  kind: "string",
  default: "auto",
  usage: "how downloads are shown on stderr: auto, tty (live lines), plain, json (an object a line)",
};

/** After an image, in every command that may fetch it. */
export const SIGNATURE_FLAG: FlagSpec = {
  name: "signature",
  kind: "string",
  once: true,
  usage: "path or URL of the image's detached signature",
};

/** What the pod is made of. */
export const PREPARE_FLAGS: readonly FlagSpec[] = [
  {
    name: "volume",
    kind: "string",
    repeatable: true,
    usage:
      "volume: NAME,kind=host,source=PATH[,readOnly=BOOL][,recursive=BOOL][,relabel=shared|private], NAME,kind=empty[,mode=MODE,uid=UID,gid=GID], or NAME,kind=tmpfs[,size=SIZE,mode=MODE,uid=UID,gid=GID]",
  },
  {
    name: "mount",
    kind: "string",
    repeatable: true,
    usage: "mount point: volume=VOLUME,target=PATH; before an image for all apps, after it for one",
  },
  {
    name: "port",
    kind: "string",
    repeatable: true,
    usage: "port of the host that leads to a port of the pod: NAME:[HOSTIP:]HOSTPORT",
  },
  {
    name: "set-env",
    kind: "string",
    repeatable: true,
    usage: "environment variable for all apps, NAME=VALUE; --environment of an app overrides it",
  },
  {
    name: "set-env-file",
    kind: "string",
    repeatable: true,
    usage: "file of environment variables for all apps; --set-env overrides it",
  },
  { name: "inherit-env", kind: "bool", usage: "pass on the caller's environment where nothing else sets a variable" },
  { name: "private-users", kind: "bool", usage: "run within a user namespace" },
  { name: "pod-memory", kind: "string", usage: "memory limit of all apps together, for example 512M" },
  { name: "pod-cpu", kind: "string", usage: "processor limit of all apps together in cores, for example 500m or 2" },
  { name: "pod-cpu-shares", kind: "string", usage: "processor share of the pod, 2 to 262144" },
  { name: "pod-pids", kind: "string", usage: "how many processes and threads the pod may have" },
  {
    name: "network-bandwidth",
    kind: "string",
    usage: "bytes a second that the pod may send, and receive, for example 1M",
  },
  {
    name: "sysctl",
    kind: "string",
    repeatable: true,
    usage: "kernel setting of the pod's network or IPC namespace, NAME=VALUE",
  },
  { name: "no-overlay", kind: "bool", usage: "copy the images instead of using overlay file systems" },
  ...pullPolicyFlags("new"),
  PROGRESS_FLAG,
  {
    name: "pod-manifest",
    kind: "string",
    usage: "path to a pod manifest; no other option that shapes the pod may be given",
  },
  { name: "pod-name", kind: "string", usage: "name of the pod, which stands wherever a UUID can" },
  {
    name: "restart",
    kind: "string",
    default: "no",
    usage: "start an app of the pod again when it ends: no, on-failure[:TIMES], always",
  },
  {
    name: "exit-policy",
    kind: "string",
    default: "any-failure",
    usage: "when a pod of several apps ends: any-failure, all (have ended), any (has ended)",
  },
  { name: "record-exit", kind: "bool", usage: "keep how a fly pod's app ended, for status and list" },
  { name: "annotation", kind: "string", repeatable: true, usage: "annotation of the pod, NAME=VALUE" },
  { name: "user-annotation", kind: "string", repeatable: true, usage: "user annotation of the pod, NAME=VALUE" },
  { name: "user-label", kind: "string", repeatable: true, usage: "user label of the pod, NAME=VALUE" },
];

/** How the pod is started. */
export const START_FLAGS: readonly FlagSpec[] = [
  {
    name: "net",
    kind: "list",
    repeatable: true,
    default: "default",
    bare: "default",
    usage: "networks of the pod: default, host, none, or names of configured networks NAME[:ARG=VALUE;…]",
  },
  { name: "interactive", kind: "bool", usage: "connect the terminal to the app; one image only" },
  {
    name: "dns",
    kind: "list",
    repeatable: true,
    usage: "name servers of the pod: addresses, host (the host's file) or none",
  },
  { name: "dns-search", kind: "list", repeatable: true, usage: "search domains of the pod" },
  { name: "dns-opt", kind: "list", repeatable: true, usage: "resolver options of the pod" },
  { name: "dns-domain", kind: "string", usage: "domain of the pod" },
  {
    name: "hosts-entry",
    kind: "list",
    repeatable: true,
    usage: "entry of the pod's /etc/hosts, IP=NAME, or host (the host's file)",
  },
  { name: "hostname", kind: "string", usage: "host name of the pod (default rkt-UUID)" },
  { name: "mds-register", kind: "bool", usage: "register the pod with the metadata service" },
  {
    name: "require",
    kind: "list",
    repeatable: true,
    usage: "do not start a pod that lacks one of these: userns, seccomp, vm, … (docs/isolation.md)",
  },
  { name: "ipc", kind: "string", usage: "IPC namespace: auto, private, or parent (the host's)" },
];

/** How the pod is started, by `run` and `run-prepared` alone. */
export const END_FLAGS: readonly FlagSpec[] = [
  { name: "detach", kind: "bool", usage: "start the pod in the background; print its UUID when it runs" },
  { name: "rm", kind: "bool", usage: "remove the pod when it is over" },
];

/** After an image. */
export const APP_FLAGS: readonly FlagSpec[] = [
  SIGNATURE_FLAG,
  { name: "exec", kind: "string", once: true, usage: "program to run instead of the image's" },
  { name: "name", kind: "string", usage: "name of the app" },
  { name: "user", kind: "string", usage: "user of the app: a name, a number, or a path whose owner counts" },
  { name: "group", kind: "string", usage: "group of the app: a name, a number, or a path whose group counts" },
  {
    name: "supplementary-gids",
    kind: "list",
    repeatable: true,
    usage: "supplementary groups of the app: numbers, names, or paths whose group counts",
  },
  { name: "working-dir", kind: "string", usage: "working directory of the app" },
  { name: "environment", kind: "string", repeatable: true, usage: "environment variable of the app, NAME=VALUE" },
  { name: "mount", kind: "string", repeatable: true, usage: "mount point of the app: volume=VOLUME,target=PATH" },
  { name: "readonly-rootfs", kind: "bool", needsValue: true, usage: "make the app's root file system read-only" },
  { name: "annotation", kind: "string", repeatable: true, usage: "annotation of the app, NAME=VALUE" },
  { name: "user-annotation", kind: "string", repeatable: true, usage: "user annotation of the app, NAME=VALUE" },
  { name: "user-label", kind: "string", repeatable: true, usage: "user label of the app, NAME=VALUE" },
  { name: "memory", kind: "string", usage: "memory limit of the app, for example 128M" },
  { name: "cpu", kind: "string", usage: "processor limit of the app in cores, for example 500m or 2" },
  { name: "cpu-shares", kind: "string", usage: "processor share of the app, 2 to 262144" },
  { name: "oom-score-adj", kind: "string", usage: "out-of-memory score adjustment of the app, -1000 to 1000" },
  { name: "caps-retain", kind: "list", repeatable: true, usage: "capabilities that the app keeps" },
  { name: "caps-remove", kind: "list", repeatable: true, usage: "capabilities that the app loses" },
  { name: "cap-retain", kind: "list", repeatable: true, usage: "", deprecated: "use --caps-retain instead" },
  { name: "cap-remove", kind: "list", repeatable: true, usage: "", deprecated: "use --caps-remove instead" },
  {
    name: "seccomp",
    kind: "string",
    usage:
      "system call filter of the app: mode=retain|remove,[errno=NAME,]CALL,…; profile=FILE (Docker's JSON); or mode=log: let pass and list what would be denied",
  },
  { name: "pids", kind: "string", usage: "how many processes and threads the app may have" },
  { name: "block-bandwidth", kind: "string", usage: "bytes a second of the app's reads and writes on block devices" },
  { name: "block-iops", kind: "string", usage: "operations a second of the app on block devices" },
  { name: "no-new-privileges", kind: "bool", usage: "no program of the app ever gains privileges (setuid)" },
  { name: "apparmor-profile", kind: "string", usage: "AppArmor profile of the app, loaded on the host" },
  { name: "stdin", kind: "string", usage: "input of the app: null, stream or tty (for rkt attach), or interactive" },
  {
    name: "stdout",
    kind: "string",
    usage: "output of the app: log, null, stream or tty (for rkt attach), or interactive",
  },
  {
    name: "stderr",
    kind: "string",
    usage: "errors of the app: log, null, stream or tty (for rkt attach), or interactive",
  },
];
