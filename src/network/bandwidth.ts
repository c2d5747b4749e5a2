/** A limit on what a pod sends and receives: the CNI plugin `bandwidth` after a network's own plugins. Pure. */

import { type NetworkConf, parseNetworkConf, versionAtLeast } from "./conf.ts";

/** Bits that may go at full speed after a pause: a tenth of a second's, and never less than ten packets of the largest size. */
const LEAST_BURST = 10 * 65_536 * 8;

/**
 * The network with the limit, of `bytes` a second each way. A limit that the configuration has already stays, and the stricter of both holds. Localhost is not a
 * network, so apps of a pod talk to each other without a limit (appc spec/ace.md, "resource/network-bandwidth").
 */
export function withBandwidth(conf: NetworkConf, bytes: number): NetworkConf {
  const limit = { type: "bandwidth", ...bandwidthValue(bytes) };
  // The plugin finds the interface in the result of the one before, which has had interfaces since 0.3.0.
  const cniVersion = versionAtLeast(conf.version, "0.4.0") ? conf.version : "0.4.0";
  const plugins = [
    ...conf.plugins.map(({ fields, capabilities }) => ({
      ...fields,
      ...(capabilities.size === 0
        ? {}
        : { capabilities: Object.fromEntries([...capabilities].map((name) => [name, true])) }),
    })),
    limit,
  ];
  const text = JSON.stringify({ ...switches(conf), cniVersion, name: conf.name, plugins }, null, 2);
  return { ...parseNetworkConf(conf.file, conf.file, `${text}\n`), ipMasq: conf.ipMasq };
}

function switches({ disableCheck, disableGc }: NetworkConf): object {
  return { ...(disableCheck ? { disableCheck } : {}), ...(disableGc ? { disableGC: true } : {}) };
}

/** The runtime value of the capability `bandwidth`, bits a second (CNI conventions). */
export function bandwidthValue(bytes: number): Readonly<Record<string, number>> {
  const rate = Math.min(bytes * 8, Number.MAX_SAFE_INTEGER);
  const burst = Math.max(Math.ceil(rate / 10), LEAST_BURST);
  return { ingressRate: rate, ingressBurst: burst, egressRate: rate, egressBurst: burst };
}
