/** What the callers of src/network give and get. */

import type { Emit } from "../core/events.ts";
import type { Host } from "../host/host.ts";

/** One port of the host that leads into the pod. Made by `resolvePorts`. */
export interface ForwardedPort {
  readonly name: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly podPort: number;
  readonly hostPort: number;
  /** IPv4 or IPv6; undefined: every address of the host. */
  readonly hostIp?: string | undefined;
}

/** What set-up and teardown share. */
export interface NetworkContext {
  readonly uuid: string;
  /** The pod's directory at this moment (it moves during a pod's life). */
  readonly podDir: string;
  /** Usually /etc/rkt; its `net.d` holds network configurations and plugins. */
  readonly localConfigDir: string;
  /** Directories of plugins that the stage1 image brings (its usr/lib/rkt/plugins/net). */
  readonly stage1NetDirs: readonly string[];
  readonly emit: Emit;
  readonly host: Host;
}

export interface SetUpNetwork extends NetworkContext {
  /** Bytes a second that the pod may send, and receive, on each of its networks; undefined: as many as it can. */
  readonly bandwidth?: number | undefined;
  /** The pod's cgroup, relative to the controllers' roots; for plugins that ask for it. */
  readonly cgroupPath?: string | undefined;
  /** What the pod's user wants for name resolution; for plugins that ask for it. */
  readonly dns?: { readonly servers: readonly string[]; readonly searches: readonly string[] } | undefined;
  /** The list as given to `--net`: "default", "host", "none", "all", "a,b:IP=10.1.2.3". */
  readonly net: string;
  readonly ports: readonly ForwardedPort[];
}

export interface Address {
  /** Without prefix length. */
  readonly ip: string;
  readonly prefix: number;
  readonly gateway: string | undefined;
}

export interface NetworkInterface {
  readonly network: string;
  /** Name inside the namespace: eth0, eth1, … in the order of set-up. */
  readonly ifName: string;
  readonly ip4: Address | undefined;
  readonly ip6: Address | undefined;
  readonly routes: readonly { readonly dst: string; readonly gw: string | undefined }[];
  /** Known only where the plugin speaks CNI 0.3.0 or later. */
  readonly mac: string | undefined;
  readonly mtu: number | undefined;
}

export interface NetworkDns {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly domain: string | undefined;
  readonly options: readonly string[];
  /** The network it came from (the first that gave any). */
  readonly network: string;
}

export interface NetworkResult {
  /** A file that is the pod's network namespace; see `joinNetns`. */
  readonly netnsPath: string;
  /** Empty for `--net=none`. */
  readonly interfaces: readonly NetworkInterface[];
  readonly dns: NetworkDns | undefined;
  /** Sockets that keep the forwarded ports for the pod: the process that supervises it inherits them, and no app does. Close-on-exec. */
  readonly portSockets: readonly number[];
  /** Descriptors of locks that end with this process' own program: close-on-exec, to be left open until then. */
  readonly held: readonly number[];
  /** The network through which pod and host talk (ports, metadata service): the first with ipMasq, else the last; undefined without an IPv4 address. */
  readonly forwardable:
    | {
        readonly network: string;
        readonly ifName: string;
        readonly ip: string;
        /** The host's side, where the network has one. */
        readonly gateway: string | undefined;
      }
    | undefined;
}

/** Something about pods' networks that is not as it should be. */
export interface NetworkProblem {
  readonly kind:
    | "namespace"
    | "interface"
    | "check"
    | "status"
    | "rules"
    | "link"
    | "lease"
    | "record"
    | "collect"
    | "ended";
  /** UUID, or its first eight digits where that is all that is left. */
  readonly pod: string | undefined;
  readonly network: string | undefined;
  readonly message: string;
  /** Puts it right; absent where nothing can while the pod runs. */
  readonly mend?: () => Promise<void>;
}

/** One part of a teardown that did not work; the rest went on. */
export interface TeardownProblem {
  /** "network \"default\"", "port forwarding", "network namespace …". */
  readonly what: string;
  readonly error: Error;
}
