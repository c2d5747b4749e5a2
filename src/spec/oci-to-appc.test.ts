import { describe, expect, test } from "bun:test";
import { parseDigest } from "../core/digest.ts";
import { formatImageManifest, type OciImage, ociImageName, ociToAppc, parseConfig, parseImageManifest } from "./mod.ts";

const DIGEST = parseDigest(`sha256:${"0123456789abcdef".repeat(4)}`);

function image(config: object, fields: Partial<OciImage> = {}): OciImage {
  return {
    config: parseConfig(JSON.stringify({ os: "linux", architecture: "amd64", ...config })),
    manifestDigest: DIGEST,
    registry: "registry-1.docker.io",
    repository: "library/busybox",
    reference: "latest",
    origin: "docker://busybox",
    ...fields,
  };
}

/** The app of an image whose `config` is this; also proves that the whole manifest is a valid one and comes back unchanged. */
function appOf(config: object) {
  const manifest = ociToAppc(image({ config }));
  const text = formatImageManifest(manifest);
  expect(parseImageManifest(text)).toEqual(manifest);
  expect(manifest.app).toBeDefined();
  return manifest.app as NonNullable<typeof manifest.app>;
}

test("an ordinary image, byte for byte", () => {
  const manifest = ociToAppc(
    image(
      {
        created: "2024-05-17T01:02:03.5Z",
        author: "Ann & Bob",
        config: {
          User: "www:data",
          Env: ["PATH=/usr/bin", "A=1", "PATH=/bin"],
          Entrypoint: ["/entry"],
          Cmd: ["a", "<b>"],
          WorkingDir: "/srv",
          ExposedPorts: { "80/tcp": {}, "53/udp": {} },
          Volumes: { "/var/lib/data": {} },
          Labels: { "org.example.b": "2", "10": "1" },
        },
      },
      { configDigest: parseDigest(`sha256:${"c".repeat(64)}`) },
    ),
  );
  expect(formatImageManifest(manifest)).toBe(
    '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"registry-1.docker.io/library/busybox",' +
      '"labels":[{"name":"arch","value":"amd64"},{"name":"os","value":"linux"},{"name":"version","value":"latest"}],' +
      '"app":{"exec":["/entry","a","\\u003cb\\u003e"],"user":"www","group":"data","workingDirectory":"/srv",' +
      '"environment":[{"name":"PATH","value":"/bin"},{"name":"A","value":"1"}],' +
      '"mountPoints":[{"name":"volume-var-lib-data","path":"/var/lib/data"}],' +
      '"ports":[{"name":"53-udp","protocol":"udp","port":53,"count":1,"socketActivated":false},' +
      '{"name":"80-tcp","protocol":"tcp","port":80,"count":1,"socketActivated":false}],' +
      '"userLabels":{"10":"1","org.example.b":"2"}},' +
      '"annotations":[{"name":"authors","value":"Ann \\u0026 Bob"},{"name":"created","value":"2024-05-17T01:02:03.5Z"},' +
      '{"name":"appc.io/docker/originalname","value":"busybox"},' +
      '{"name":"appc.io/docker/registryurl","value":"registry-1.docker.io"},' +
      '{"name":"appc.io/docker/repository","value":"library/busybox"},{"name":"appc.io/docker/tag","value":"latest"},' +
      `{"name":"appc.io/docker/imageid","value":"sha256:${"c".repeat(64)}"},` +
      `{"name":"appc.io/docker/manifesthash","value":"sha256:${DIGEST.hex}"},` +
      '{"name":"appc.io/docker/entrypoint","value":"[\\"/entry\\"]"},' +
      '{"name":"appc.io/docker/cmd","value":"[\\"a\\",\\"\\\\u003cb\\\\u003e\\"]"}]}',
  );
  expect(parseImageManifest(formatImageManifest(manifest))).toEqual(manifest);
});

describe("names and labels", () => {
  const names: [Partial<OciImage>, string, string | undefined][] = [
    [{}, "registry-1.docker.io/library/busybox", "latest"],
    [{ registry: "localhost:5000", repository: "My/app__x" }, "localhost_5000/my/app__x", "latest"],
    [{ reference: `sha256:${DIGEST.hex}` }, "registry-1.docker.io/library/busybox", `sha256:${DIGEST.hex}`],
    [{ registry: undefined, repository: "My Layout", reference: "v1" }, "my_layout", "v1"],
    [{ registry: undefined, repository: "layout", reference: "" }, "layout", undefined],
    [{ registry: undefined, repository: "x", reference: "example.com:80/a/b:1.2" }, "example.com_80/a/b", "1.2"],
    [{ registry: undefined, repository: "x", reference: "example.com/a" }, "example.com/a", undefined],
    [{ registry: undefined, repository: undefined, reference: "" }, "oci-0123456789ab", undefined],
    [{ registry: undefined, repository: "--", reference: "///" }, "oci-0123456789ab", "///"],
  ];
  test.each(names)("%p", (fields, name, version) => {
    const manifest = ociToAppc(image({}, fields));
    expect(manifest.name).toBe(name);
    expect(manifest.labels.find((label) => label.name === "version")?.value).toBe(version);
    expect(ociImageName(image({}, fields))).toEqual({ name: manifest.name, labels: manifest.labels });
    expect(parseImageManifest(formatImageManifest(manifest))).toEqual(manifest);
  });

  test.each([
    [
      { os: "linux", architecture: "arm", variant: "v7" },
      { os: "linux", arch: "armv7l" },
    ],
    [
      { os: "linux", architecture: "arm64", variant: "v8" },
      { os: "linux", arch: "aarch64" },
    ],
    [{ os: "linux", architecture: "riscv64" }, { os: "linux" }],
    [{ os: "windows", architecture: "amd64" }, {}],
  ])("%p", (platform, labels) => {
    const manifest = ociToAppc(image(platform, { reference: "" }));
    expect(Object.fromEntries(manifest.labels.map(({ name, value }) => [name, value]))).toEqual(labels);
  });

  test("an image without a platform is taken for one of this host", () => {
    const { labels } = ociToAppc(image({ os: "", architecture: "" }));
    expect(labels.map((label) => label.name)).toEqual(["arch", "os", "version"]);
  });
});

describe("what an image says of its process", () => {
  test("nothing at all", () => {
    expect(appOf({})).toMatchObject({ exec: [], user: "0", group: "0", workingDirectory: "", environment: [] });
    expect(ociToAppc(image({ config: null })).app).toBeDefined();
  });

  test.each([
    ["", "0", "0"],
    ["www", "www", "www"],
    ["1000", "1000", "1000"],
    ["1000:1001", "1000", "1001"],
    ["www:", "www", "www"],
    [":5", "0", "5"],
  ])("user %p", (text, user, group) => {
    expect(appOf({ User: text })).toMatchObject({ user, group });
  });

  test("environment that appc cannot name is left out", () => {
    const { environment } = appOf({
      Env: ["A=b=c", "no equals", "=x", "B AD=1", "ProgramFiles(x86)=x", "E=", "_1.2-3=y"],
    });
    expect(environment.map(({ name, value }) => [name, value])).toEqual([
      ["A", "b=c"],
      ["E", ""],
      ["_1.2-3", "y"],
    ]);
  });

  test("ports", () => {
    const exposed = [
      "80",
      "80/tcp",
      "443/TCP",
      "8000-8009/udp",
      "0/tcp",
      "65536",
      "x/tcp",
      "1/icmp",
      "9-8",
      "65535-65535",
      "",
    ];
    const { ports } = appOf({ ExposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])) });
    expect(ports.map(({ name, protocol, port, count }) => [name, protocol, port, count] as unknown[])).toEqual([
      ["443-tcp", "tcp", 443, 1],
      ["65535-65535", "tcp", 65535, 1],
      ["80", "tcp", 80, 1],
      ["80-tcp", "tcp", 80, 1],
      ["8000-8009-udp", "udp", 8000, 10],
    ]);
  });

  test("volumes", () => {
    const volumes = ["/", "/a/b", "/a_b", "/a.b", "rel", "/x/../../y/", ""];
    const { mountPoints } = appOf({ Volumes: Object.fromEntries(volumes.map((path) => [path, {}])) });
    expect(mountPoints.map(({ name, path }) => [name, path] as unknown[])).toEqual([
      ["volume-a-b", "/a.b"],
      ["volume-a-b-1", "/a/b"],
      ["volume-a-b-2", "/a_b"],
      ["volume-rel", "/rel"],
      ["volume-y", "/y"],
    ]);
  });

  test("a relative working directory starts at the root", () => {
    expect(appOf({ WorkingDir: "app/../srv/" }).workingDirectory).toBe("/srv");
    expect(appOf({ WorkingDir: "../.." }).workingDirectory).toBe("/");
  });

  test("a date that is none is left out", () => {
    const names = ociToAppc(image({ created: "yesterday" })).annotations.map((one) => one.name);
    expect(names).not.toContain("created");
  });
});
