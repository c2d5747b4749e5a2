/** Valid input of every kind, from which the fuzzer starts: small, and with every field and form that a decoder has code for. */

import { gzipSync, zstdCompressSync } from "node:zlib";
import type { Json } from "./mutate.ts";
import { gnuLong, paxHeader, tar } from "./tar-builder.ts";

const HEX = "0123456789abcdef".repeat(4);
const IMAGE_ID = `sha512-${"a".repeat(64)}`;
const CREATED = "2024-01-01T00:00:00Z";

const kind = (acKind: string) => ({ acKind, acVersion: "0.8.11" });

const app = {
  exec: ["/usr/bin/worker", "--quiet"],
  eventHandlers: [{ name: "pre-start", exec: ["/usr/bin/verifier"] }],
  user: "100",
  group: "300",
  supplementaryGIDs: [400, 500],
  workingDirectory: "/opt/work",
  environment: [{ name: "REDUCE_WORKER_DEBUG", value: "true" }],
  mountPoints: [{ name: "work", path: "/var/lib/work", readOnly: true }],
  ports: [{ name: "health", protocol: "tcp", port: 4000, count: 1, socketActivated: true }],
  isolators: [
    { name: "resource/cpu", value: { request: "250m", limit: "500m" } },
    { name: "resource/memory", value: { limit: "1G" } },
    { name: "os/linux/capabilities-retain-set", value: { set: ["CAP_KILL", "CAP_NET_BIND_SERVICE"] } },
    { name: "os/linux/seccomp-remove-set", value: { set: ["mount"], errno: "EPERM" } },
    { name: "os/linux/oom-score-adj", value: -100 },
    { name: "os/linux/cpu-shares", value: 2 },
  ],
  userAnnotations: { a: "b" },
  userLabels: { "10": "x" },
};

export const imageManifests: readonly Json[] = [
  {
    ...kind("ImageManifest"),
    name: "example.com/worker",
    labels: ["version", "arch", "os"].map((name, at) => ({ name, value: ["1.0.0", "amd64", "linux"][at] ?? "" })),
    app,
    annotations: [
      { name: "created", value: CREATED },
      { name: "homepage", value: "https://example.com" },
    ],
    dependencies: [
      { imageName: "example.com/base", imageID: IMAGE_ID, labels: [{ name: "os", value: "linux" }], size: 5 },
    ],
    pathWhitelist: ["/etc/ca/example.com/crt", "/usr/bin/worker"],
  },
  { ...kind("ImageManifest"), name: "example.com/empty" },
];

export const podManifests: readonly Json[] = [
  {
    ...kind("PodManifest"),
    apps: [
      {
        name: "worker",
        image: { name: "example.com/worker", id: IMAGE_ID, labels: [{ name: "version", value: "1" }] },
        app,
        readOnlyRootFS: true,
        mounts: [{ volume: "work", path: "/var/lib/work", appVolume: { name: "own", kind: "empty" } }],
        annotations: [{ name: "foo", value: "bar" }],
      },
    ],
    volumes: [
      { name: "work", kind: "host", source: "/opt/work", readOnly: true, recursive: true },
      { name: "scratch", kind: "empty", mode: "0755", uid: 0, gid: 0 },
    ],
    isolators: [{ name: "resource/memory", value: { limit: "4G" } }],
    annotations: [{ name: "coreos.com/rkt/stage1/mutable", value: "false" }],
    ports: [
      {
        name: "health",
        hostPort: 8080,
        hostIP: "127.0.0.1",
        podPort: { name: "x", protocol: "tcp", port: 1, count: 1 },
      },
    ],
    userAnnotations: { a: "b" },
    userLabels: { c: "d" },
  },
];

const descriptor = (mediaType: string, extra: { [key: string]: Json } = {}): Json => ({
  mediaType,
  digest: `sha256:${HEX}`,
  size: 1234,
  annotations: { "org.opencontainers.image.ref.name": "v1" },
  ...extra,
});
const OCI = "application/vnd.oci.image";

export const indexes: readonly Json[] = [
  {
    schemaVersion: 2,
    mediaType: `${OCI}.index.v1+json`,
    manifests: [
      descriptor(`${OCI}.manifest.v1+json`, { platform: { os: "linux", architecture: "amd64", variant: "v1" } }),
      descriptor(`${OCI}.manifest.v1+json`, {
        platform: { os: "linux", architecture: "arm64" },
        digest: `sha512:${HEX}${HEX}`,
      }),
    ],
    annotations: { a: "b" },
    subject: descriptor(`${OCI}.manifest.v1+json`),
  },
  {
    schemaVersion: 2,
    mediaType: "application/vnd.docker.distribution.manifest.list.v2+json",
    manifests: [descriptor("application/vnd.docker.distribution.manifest.v2+json")],
  },
];

export const manifests: readonly Json[] = [
  {
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    artifactType: "application/x",
    config: descriptor(`${OCI}.config.v1+json`, { data: "e30=" }),
    layers: ["tar", "tar+gzip", "tar+zstd"].map((form) =>
      descriptor(`${OCI}.layer.v1.${form}`, { urls: ["https://a"] }),
    ),
    annotations: { a: "b" },
    subject: descriptor(`${OCI}.manifest.v1+json`),
  },
  { schemaVersion: 1, fsLayers: [{ blobSum: `sha256:${HEX}` }], history: [] },
];

export const configurations: readonly Json[] = [
  {
    created: CREATED,
    author: "A",
    architecture: "amd64",
    variant: "v1",
    os: "linux",
    "os.version": "1",
    "os.features": ["x"],
    config: {
      User: "web:web",
      ExposedPorts: { "80/tcp": {}, "53/udp": {}, "8000-8010": {} },
      Env: ["PATH=/bin", "A=b"],
      Entrypoint: ["/bin/sh"],
      Cmd: ["-c", "true"],
      Volumes: { "/data": {} },
      WorkingDir: "/srv",
      Labels: { a: "b" },
      StopSignal: "SIGTERM",
    },
    rootfs: { type: "layers", diff_ids: [`sha256:${HEX}`, `sha256:${HEX}`] },
    history: [{ created: CREATED, created_by: "x", empty_layer: true }],
  },
];

const v1 = (rktKind: string) => ({ rktKind, rktVersion: "v1" });

export const configFiles: readonly Json[] = [
  { ...v1("auth"), domains: ["example.com"], type: "basic", credentials: { user: "u", password: "p" } },
  { ...v1("auth"), domains: ["example.com"], type: "oauth", credentials: { token: "t" } },
  {
    ...v1("auth"),
    domains: ["a"],
    type: "aws",
    credentials: { accessKeyID: "a", secretAccessKey: "b", awsRegion: "c" },
  },
  { ...v1("dockerAuth"), registries: ["quay.io"], credentials: { user: "u", password: "p" } },
  { ...v1("paths"), data: "/data", "stage1-images": "/images" },
  { ...v1("stage1"), name: "example.com/stage1", version: "1", location: "https://example.com/stage1.aci" },
  { ...v1("measurement"), policy: "required", pcr: 12, tcti: "device:/dev/tpm0", timeout: 5, "rkt1-events": true },
];

export const networks: readonly Json[] = [
  {
    cniVersion: "1.0.0",
    cniVersions: ["0.4.0", "1.0.0"],
    name: "net",
    disableCheck: true,
    plugins: [
      { type: "bridge", bridge: "cni0", ipMasq: true, ipam: { type: "host-local", subnet: "10.0.0.0/24" } },
      { type: "portmap", capabilities: { portMappings: true }, args: { cni: {} } },
    ],
  },
  { cniVersion: "0.2.0", name: "old", type: "ptp", ipam: { type: "host-local" } },
];

export const networkResults: readonly Json[] = [
  {
    cniVersion: "1.0.0",
    interfaces: [{ name: "veth1" }, { name: "eth0", mac: "02:00:00:00:00:01", mtu: 1500, sandbox: "/run/netns/x" }],
    ips: [{ interface: 1, address: "10.0.0.2/24", gateway: "10.0.0.1" }, { address: "fd00::2/64" }],
    routes: [{ dst: "0.0.0.0/0", gw: "10.0.0.1" }],
    dns: { nameservers: ["10.0.0.1"], domain: "example.com", search: ["a"], options: ["ndots:1"] },
  },
  { cniVersion: "0.2.0", ip4: { ip: "10.0.0.2/24", gateway: "10.0.0.1", routes: [{ dst: "0.0.0.0/0" }] } },
];

/** What a registry answers in turn: see registry-decoder.ts. */
export const conversations: readonly Json[] = (() => {
  const manifest = { status: 200, headers: { "content-type": `${OCI}.manifest.v1+json`, etag: '"known"' } };
  const index = { status: 200, headers: { "content-type": `${OCI}.index.v1+json` } };
  const bearer = 'Bearer realm="https://token.example.com/token",service="registry",scope="repository:other:push"';
  const bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
  const signature: Json = {
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: descriptor("application/vnd.oci.empty.v1+json"),
    layers: [
      descriptor(bundle, { size: 2 }),
      descriptor("application/vnd.dev.cosign.simplesigning.v1+json", {
        annotations: { "dev.cosignproject.cosign/signature": "AAAA", "dev.sigstore.cosign/bundle": "{}" },
      }),
    ],
  };
  const referrers: Json = {
    schemaVersion: 2,
    mediaType: `${OCI}.index.v1+json`,
    manifests: [descriptor(`${OCI}.manifest.v1+json`, { artifactType: bundle }), descriptor(`${OCI}.manifest.v1+json`)],
  };
  return [
    [{ ...manifest, body: manifests[0] ?? null }],
    [{ status: 304, headers: { etag: '"known"' } }],
    [
      { status: 401, headers: { "www-authenticate": bearer } },
      { status: 200, headers: {}, body: { token: "t", access_token: "a", expires_in: 60 } },
      { ...manifest, body: manifests[0] ?? null },
    ],
    [
      { status: 401, headers: { "www-authenticate": 'Basic realm="x", Bearer realm="https://t.example.com"' } },
      { status: 200, headers: { "docker-content-digest": `sha256:${HEX}` }, body: "content" },
    ],
    [{ ...index, body: referrers }, { status: 404 }, { ...manifest, body: signature }, { status: 200, body: {} }],
    [
      { ...index, headers: { ...index.headers, link: '</v2/team/app/referrers/x?n=2>; rel="next"' }, body: referrers },
      { ...index, body: referrers },
    ],
    [
      { status: 307, headers: { location: "https://cdn.example.com/blob?sig=1" } },
      { status: 200, body: "content" },
    ],
    [{ status: 206, headers: { "content-range": "bytes 5-10/11", "content-length": "6" }, body: "ontent" }],
    [{ status: 416 }, { status: 200, headers: { "content-length": "7" }, body: "content" }],
    [{ status: 429, headers: { "retry-after": "120", "ratelimit-limit": "100;w=21600" } }],
    [{ status: 503, headers: { "retry-after": "Wed, 21 Oct 2065 07:28:00 GMT" }, body: { errors: [{ code: "X" }] } }],
  ];
})();

const split = { algorithm: "sha256", hex: HEX };
const blob = { digest: `sha256:${HEX}`, size: 12, mediaType: "application/x" };

export const records: readonly Json[] = [
  {
    id: IMAGE_ID,
    format: "oci",
    name: "example.com/app",
    labels: [{ name: "version", value: "1" }],
    origin: "docker://example.com/app",
    refs: [HEX],
    latest: true,
    importTime: "1700000000000000000",
    layers: [{ ...blob, diffId: `sha256:${HEX}` }],
    manifest: blob,
    config: blob,
    source: { registry: "example.com", repository: "app", reference: "1" },
    uncompressedSize: 5,
    verification: { kind: "signed", fingerprint: "a".repeat(40), signer: "A" },
  },
  { id: IMAGE_ID, format: "aci", name: "a", origin: "x", importTime: "1", layers: [blob] },
];

const answered = { id: IMAGE_ID, name: "example.com/app", labels: [{ name: "version", value: "1" }], origin: "x" };
const splitBlob = { digest: split, size: 1, mediaType: "a" };

export const fetchAnswers: readonly Json[] = [
  { kind: "event", event: { kind: "progress", label: "x", done: 1, total: 2 } },
  { kind: "event", event: { kind: "debug", source: "x", text: "y" } },
  { kind: "failure", code: "NETWORK", message: "x", hint: "y" },
  {
    kind: "download",
    download: {
      ...answered,
      format: "oci",
      manifest: splitBlob,
      config: splitBlob,
      layers: [{ ...splitBlob, diffId: split }],
      source: { registry: "a", repository: "b", reference: "c" },
    },
  },
  {
    kind: "download",
    download: {
      ...answered,
      format: "aci",
      archive: splitBlob,
      uncompressedSize: 5,
      signature: "AAAA",
      manifest: "e30=",
    },
  },
];

const device = { type: "char", major: 1, minor: 3, mode: 438, uid: 0, gid: 0, paths: ["ZGV2L251bGw="] };

export const unpackAnswers: readonly Json[] = [
  { kind: "ready" },
  { kind: "failure", code: "MALICIOUS", message: "x", hint: "y" },
  {
    kind: "unpacked",
    unpacked: {
      devices: [{ ...device, mtime: { seconds: 1, nanoseconds: 2 } }],
      manifest: "e30=",
      entries: 3,
      size: 4,
    },
  },
];

export const references: readonly string[] = [
  "docker://nginx",
  "docker://registry.example.com:5000/team/app:v1.2",
  `docker://quay.io/a/b@sha256:${HEX}`,
  "docker://[::1]:5000/a",
  "oci:/images/app:v1",
  "oci:relative/dir",
  "oci-archive:/images/app.tar:v1",
  "docker-archive:/images/app.tar:a/b:c",
  "file:///images/app%20one.aci",
  "https://user:password@example.com:8443/app.aci?token=secret#x",
  "http://example.com/app.aci",
  "cimd:docker:v=0:registry-1.docker.io%2Fx",
  "example.com/app:v1,arch=amd64",
  "/images/app.aci",
  "./app.aci",
  IMAGE_ID,
  "sha512-abcdef",
];

export const appStrings: readonly string[] = [
  "example.com/app",
  "example.com/app:v1,arch=amd64,os=linux",
  "a,version=2,x=y",
];
export const digests: readonly string[] = [`sha256:${HEX}`, `sha512:${HEX}${HEX}`, `sha512-${HEX}`];
export const volumes: readonly string[] = [
  "data,kind=host,source=/srv/data,readOnly=true,recursive=false",
  "scratch,kind=empty,mode=0755,uid=1,gid=2",
];
export const mounts: readonly string[] = ["volume=data,target=/data%20x+y"];
export const mountVolumes: readonly string[] = ["name=data,kind=host,source=/srv/data,readOnly=true,target=/data%20x"];
export const ports: readonly string[] = ["http:8080", "http:127.0.0.1:8080", "http:[::1]:80"];

const FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567";

export const gpgvStatus: readonly string[] = [
  [
    "[GNUPG:] NEWSIG test@example.com",
    `[GNUPG:] KEY_CONSIDERED ${FINGERPRINT} 0`,
    "[GNUPG:] SIG_ID abc 2024-01-01 1704067200",
    "[GNUPG:] GOODSIG 89ABCDEF01234567 Test %0A <test@example.com>",
    `[GNUPG:] VALIDSIG ${FINGERPRINT} 2024-01-01 1704067200 0 4 0 1 10 00 ${FINGERPRINT}`,
    "",
  ].join("\n"),
  "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG 89ABCDEF01234567 1 10 00 1704067200 9 -\n[GNUPG:] NO_PUBKEY 89ABCDEF01234567\n",
  "[GNUPG:] BADSIG 89ABCDEF01234567 Test\n[GNUPG:] EXPKEYSIG 89ABCDEF01234567 Test\n[GNUPG:] REVKEYSIG 8 T\n",
];

export function openPgp(): Buffer[] {
  const body = Buffer.concat([Buffer.from([4, 0x65, 0x92, 0, 0x80, 1]), Buffer.alloc(200, 0x5a)]);
  const packet = (tag: number) => Buffer.concat([Buffer.from([0xc0 | tag, 192, body.length - 192]), body]);
  const old = Buffer.concat([Buffer.from([0x80 | (2 << 2), 3, 4, 0, 1]), Buffer.from("partial")]);
  const user = Buffer.concat([Buffer.from([0xc0 | 13, 4]), Buffer.from("user")]);
  const armored = (block: string, bytes: Buffer) =>
    Buffer.from(
      `-----BEGIN PGP ${block}-----\nVersion: 1\n\n${bytes.toString("base64")}\n-----END PGP ${block}-----\n`,
    );
  const key = Buffer.concat([packet(6), user, packet(2), packet(14)]);
  return [key, packet(2), old, armored("PUBLIC KEY BLOCK", key), armored("SIGNATURE", packet(2))];
}

export function zstdStreams(): Buffer[] {
  const text = Buffer.from("what is compressed ".repeat(300));
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const frame = zstdCompressSync(text);
  return [frame, Buffer.concat([skippable, frame, frame]), Buffer.from(gzipSync(text))];
}

export function archives(): Buffer[] {
  const manifest = { name: "manifest", data: '{"acKind":"ImageManifest"}' };
  const rootfs = { name: "rootfs/" };
  const attributes = { path: "manifest", size: "26", mtime: "1.5", "SCHILY.xattr.user.a": "b" };
  const sparse: [string, string][] = [
    ["GNU.sparse.major", "1"],
    ["GNU.sparse.minor", "0"],
    ["GNU.sparse.name", "rootfs/s"],
    ["GNU.sparse.realsize", "4096"],
  ];
  return [
    tar(
      manifest,
      rootfs,
      { name: "rootfs/file", data: "x".repeat(700) },
      { name: "rootfs/link", type: "2", link: "file" },
    ),
    tar(
      rootfs,
      { name: "./manifest", magic: "gnu", data: "{}" },
      { name: "rootfs/hard", type: "1", link: "rootfs/file" },
    ),
    tar(
      gnuLong("L", "manifest"),
      { name: "short", data: "long name" },
      { name: "rootfs/dev", type: "3", major: 1, minor: 3 },
    ),
    tar({ ...manifest, name: "x", pax: attributes }, rootfs),
    tar(
      paxHeader({ path: "manifest", comment: "global" }, "g"),
      { ...manifest, magic: "v7" },
      { name: "x", data: "second" },
    ),
    tar({ name: "rootfs/sparse", pax: sparse, data: `1\n0\n4\n${"\0".repeat(506)}data` }, manifest),
    tar(
      { name: "manifest", prefix: "rootfs", data: "not this one" },
      { name: "manifest", type: "7", data: "contiguous" },
    ),
  ];
}
