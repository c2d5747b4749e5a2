import { describe, expect, test } from "bun:test";
import { formatImageManifest, parseImageManifest } from "./mod.ts";

const KIND = { acKind: "ImageManifest", acVersion: "0.8.11", name: "example.com/app" };
const APP = { exec: ["/a"], user: "0", group: "0" };

function image(fields: object): string {
  return JSON.stringify({ ...KIND, ...fields });
}

function app(fields: object): string {
  return image({ app: { ...APP, ...fields } });
}

function isolator(name: string, value?: unknown): string {
  return app({ isolators: [{ name, value }] });
}

describe("image manifests", () => {
  test("a manifest with every field comes back byte for byte, fields in rkt's order", () => {
    const text =
      '{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/worker",' +
      '"labels":[{"name":"version","value":"1.0.0"},{"name":"arch","value":"amd64"},{"name":"os","value":"linux"}],' +
      '"app":{"exec":["/usr/bin/worker","--quiet"],"eventHandlers":[{"name":"pre-start","exec":["/usr/bin/verifier"]}],' +
      '"user":"100","group":"300","supplementaryGIDs":[400,500],"workingDirectory":"/opt/work",' +
      '"environment":[{"name":"REDUCE_WORKER_DEBUG","value":"\\u003ctrue\\u003e"}],' +
      '"mountPoints":[{"name":"work","path":"/var/lib/work"},{"name":"ro","path":"/ro","readOnly":true}],' +
      '"ports":[{"name":"health","protocol":"tcp","port":4000,"count":1,"socketActivated":true}],' +
      '"isolators":[{"name":"resource/cpu","value":{"request":"250m","limit":"500m"}},{"name":"os/linux/cpu-shares","value":2}],' +
      '"userAnnotations":{"a":"b"},"userLabels":{"10":"x","2":"y","__proto__":"z"}},' +
      '"annotations":[{"name":"authors","value":"Carly \\u0026 co"},{"name":"created","value":"2014-10-27T19:32:27.67021798Z"}],' +
      '"dependencies":[{"imageName":"example.com/base","imageID":"sha512-abcd","labels":[{"name":"os","value":"linux"}],"size":22017258}],' +
      '"pathWhitelist":["/etc/ca/example.com/crt","/usr/bin/worker"]}';
    expect(formatImageManifest(parseImageManifest(text))).toBe(text);
  });

  test("null, empty and missing are the same, and left out", () => {
    const empty = { labels: null, app: null, annotations: [], dependencies: null, pathWhitelist: null, unknown: 1 };
    expect(formatImageManifest(parseImageManifest(image(empty)))).toBe(JSON.stringify(KIND));
  });

  test("an app without a command keeps the field, as null", () => {
    const text = formatImageManifest(parseImageManifest(app({ exec: [] })));
    expect(text).toContain('"app":{"exec":null,"user":"0","group":"0"}');
  });

  test("indented with tabs as cat-manifest prints it", () => {
    const text = formatImageManifest(parseImageManifest(image({ labels: [{ name: "version", value: "1" }] })), "\t");
    expect(text).toBe(
      '{\n\t"acKind": "ImageManifest",\n\t"acVersion": "0.8.11",\n\t"name": "example.com/app",\n' +
        '\t"labels": [\n\t\t{\n\t\t\t"name": "version",\n\t\t\t"value": "1"\n\t\t}\n\t]\n}',
    );
  });

  test("texts are escaped as Go escapes them", () => {
    const value = '<&>\u2028\u2029 \b\f\t\n"\\b\\\u007fé😀\ud800';
    const text = formatImageManifest(parseImageManifest(image({ annotations: [{ name: "a", value }] })));
    expect(text).toContain(
      '"value":"\\u003c\\u0026\\u003e\\u2028\\u2029 \\u0008\\u000c\\t\\n\\"\\\\b\\\\\u007fé😀\ufffd"',
    );
    expect(JSON.parse(text).annotations[0].value).toBe(value.toWellFormed());
  });

  const good: [string, string][] = [
    ["only what must be there", image({})],
    ["a pre-release version", image({ acVersion: "1.2.3-pre+x" })],
    ["a label without value", image({ labels: [{ name: "a" }] })],
    ["an arch without os", image({ labels: [{ name: "arch", value: "whatever" }] })],
    ["an http home page", image({ annotations: [{ name: "homepage", value: "https://example.com" }] })],
    ["the specification's placeholder for an id", image({ dependencies: [{ imageName: "a", imageID: "sha512-..." }] })],
    ["a relative command", app({ exec: ["bin/app"] })],
    ["odd but valid environment names", app({ environment: [{ name: "A.b-c_1", value: "" }] })],
    ["a port range up to the end", app({ ports: [{ name: "a", port: 65535, count: 1 }] })],
    ["memory as a number", isolator("resource/memory", { limit: 5 })],
    ["memory without limit", isolator("resource/memory", {})],
    [
      "two memory isolators",
      app({ isolators: ["1", "2"].map((limit) => ({ name: "resource/memory", value: { limit } })) }),
    ],
    ["a default for block devices", isolator("resource/block-bandwidth", { default: true, limit: "1G" })],
    ["a sysctl", isolator("os/unix/sysctl", { "net.ipv4.tcp_mtu_probing": "1" })],
    ["an SELinux context", isolator("os/linux/selinux-context", { user: "u", role: "r", type: "t", level: "s0:c1" })],
  ];
  test.each(good)("%s is accepted", (_, text) => {
    const manifest = parseImageManifest(text);
    expect(parseImageManifest(formatImageManifest(manifest))).toEqual(manifest);
  });

  const twice = (name: string, value: unknown) => app({ isolators: [1, 2].map(() => ({ name, value })) });
  const bad: [string, string][] = [
    ["", "it is not JSON"],
    ["[]", "expected an object, got a list"],
    ["null", "expected an object, got null"],
    [image({ acKind: "PodManifest" }), 'missing or bad ACKind (must be "ImageManifest")'],
    [image({ acKind: undefined }), "missing or bad ACKind"],
    [image({ name: "" }), "name must be set"],
    [image({ name: "Foo" }), 'name: ACIdentifier must contain only lower case alphanumeric characters plus "-._~/"'],
    [image({ acVersion: undefined }), "acVersion must be set"],
    [image({ acVersion: "0.0.0" }), "SemVer cannot be zero"],
    [image({ acVersion: "1.2" }), "SemVer is bad"],
    [image({ acVersion: 5 }), "acVersion: expected a string, got a number"],
    [image({ labels: {} }), "labels: expected a list, got an object"],
    [image({ labels: ["x"] }), "labels[0]: expected an object, got a string"],
    [image({ labels: [{ name: "name", value: "x" }] }), 'invalid label name: "name"'],
    [image({ labels: [{ name: "a" }, { name: "a" }] }), 'duplicate labels of name "a"'],
    [image({ labels: [{ name: "os", value: "plan9" }] }), 'bad os "plan9" (must be one of: [darwin freebsd linux])'],
    [
      image({
        labels: [
          { name: "os", value: "freebsd" },
          { name: "arch", value: "aarch64" },
        ],
      }),
      'bad arch "aarch64" for freebsd (must be one of: [amd64 i386 arm])',
    ],
    [image({ labels: [{ name: "os", value: "constructor" }] }), 'bad os "constructor"'],
    [image({ annotations: [{ name: "created", value: "yesterday" }] }), "bad Date"],
    [image({ annotations: [{ name: "created", value: "2024-13-01T00:00:00Z" }] }), "bad Date"],
    [image({ annotations: [{ name: "homepage", value: "ftp://x" }] }), "bad URL scheme, must be http/https"],
    [image({ annotations: [{ name: "a" }, { name: "a" }] }), 'duplicate annotations of name "a"'],
    [image({ dependencies: [{}] }), "imageName cannot be empty"],
    [image({ dependencies: [{ imageName: "a", imageID: "sha1-aa" }] }), "unrecognized hash type"],
    [image({ dependencies: [{ imageName: "a", imageID: "sha512" }] }), "badly formatted hash string"],
    [image({ dependencies: [{ imageName: "a", imageID: "sha512-" }] }), "unexpected empty hash value"],
    [image({ dependencies: [{ imageName: "a", size: -1 }] }), "dependencies[0].size: must be between 0"],
    [image({ pathWhitelist: [1] }), "pathWhitelist[0]: expected a string, got a number"],
    [image({ app: [] }), "app: expected an object, got a list"],
    [app({ exec: "x" }), "app.exec: expected a list, got a string"],
    [app({ exec: [1] }), "app.exec[0]: expected a string, got a number"],
    [app({ exec: ["/bin/a\0b"] }), "app.exec[0]: must not contain a NUL character"],
    [app({ user: "" }), "user is required"],
    [app({ group: null }), "group is required"],
    [app({ workingDirectory: "x" }), "workingDirectory must be an absolute path"],
    [app({ supplementaryGIDs: [-1] }), "app.supplementaryGIDs[0]: must be between 0"],
    [app({ supplementaryGIDs: [1.5] }), "expected a whole number"],
    [app({ environment: [{ name: "0A", value: "" }] }), 'environment variable does not have valid identifier "0A"'],
    [app({ environment: [{ value: "" }] }), "environment variable name must not be empty"],
    [app({ environment: [{ name: "A" }, { name: "A" }] }), 'duplicate environment variable of name "A"'],
    [app({ environment: [{ name: "A\nB" }] }), "environment variable does not have valid identifier"],
    [app({ eventHandlers: [{ name: "x" }] }), 'bad eventHandler "name": "x"'],
    [app({ eventHandlers: [{}] }), 'eventHandler "name" cannot be empty'],
    [
      app({ eventHandlers: [{ name: "pre-start" }, { name: "pre-start" }] }),
      'Only one eventHandler of name "pre-start" allowed',
    ],
    [app({ mountPoints: [{ name: "A", path: "/x" }] }), "app.mountPoints[0].name: ACName must contain only"],
    [app({ mountPoints: [{ name: "a" }] }), "path must be set"],
    [
      app({
        mountPoints: [
          { name: "a", path: "/x" },
          { name: "a", path: "/y" },
        ],
      }),
      "duplicate mount point",
    ],
    [app({ mountPoints: [{ name: "a", path: "/x", readOnly: "yes" }] }), "readOnly: expected a boolean, got a string"],
    [app({ ports: [{ name: "a", port: 0 }] }), "port must be in 1-65535 range"],
    [app({ ports: [{ name: "a", port: 65535, count: 2 }] }), "end of port range must be in 1-65535 range"],
    [app({ userLabels: { a: 1 } }), 'app.userLabels["a"]: expected a string, got a number'],
    [isolator("example.com/x", {}), 'invalid isolator: "example.com/x" is not known'],
    [isolator("constructor", {}), "invalid isolator"],
    [isolator("resource/memory", { default: true }), "default must be false"],
    [isolator("resource/memory", { limit: "1X" }), "app.isolators[0].value.limit: Cannot use"],
    [isolator("resource/memory", { limit: "-1" }), "must not be negative"],
    [isolator("resource/block-iops", { limit: "1" }), "default must be true"],
    [isolator("resource/network-bandwidth", { default: true, request: "1" }), "request not supported by this resource"],
    [isolator("os/linux/cpu-shares", 1), "os/linux/cpu-shares must be between 2 and 262144, got 1"],
    [isolator("os/linux/cpu-shares"), "os/linux/cpu-shares must be between 2 and 262144, got nothing"],
    [isolator("os/linux/oom-score-adj", 1001), "os/linux/oom-score-adj must be between -1000 and 1000, got 1001"],
    [isolator("os/linux/capabilities-retain-set", { set: [] }), "set must be non-empty"],
    [isolator("os/linux/seccomp-remove-set", {}), "set must be non-empty"],
    [
      isolator("os/linux/seccomp-retain-set", { set: ["read"], errno: "PERM" }),
      "errno must start with an 'E' character",
    ],
    [isolator("os/linux/seccomp-retain-set", { set: ["read"], errno: "Eperm" }), "errno can only contain upper case"],
    [isolator("os/linux/no-new-privileges", "true"), "expected a boolean, got a string"],
    [isolator("os/linux/selinux-context", { user: "u:", role: "r", type: "t", level: "s" }), "invalid user value"],
    [twice("os/linux/cpu-shares", 5), "isolators set contains too many instances of type os/linux/cpu-shares"],
    [twice("os/linux/seccomp-retain-set", { set: ["a"] }), "too many seccomp isolators specified"],
    [
      app({
        isolators: ["retain", "remove"].map((mode) => ({
          name: `os/linux/seccomp-${mode}-set`,
          value: { set: ["a"] },
        })),
      }),
      "too many seccomp isolators specified",
    ],
  ];
  test.each(bad)("%s is refused", (text, problem) => {
    expect(() => parseImageManifest(text)).toThrow(problem);
  });

  test("hostile nesting ends in an error of ours", () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const text = image({ app: { ...APP, isolators: [{ name: "os/unix/sysctl", value: 0 }] } }).replace(
      ":0}",
      `:${deep}}`,
    );
    expect(() => parseImageManifest(text)).toThrow("Cannot read the image manifest");
  });
});
