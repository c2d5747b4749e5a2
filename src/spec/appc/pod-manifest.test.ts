import { describe, expect, test } from "bun:test";
import { BLANK_POD_MANIFEST, formatPodManifest, parsePodManifest } from "./mod.ts";

const ID = `sha512-${"ab".repeat(32)}`;

function pod(fields: object): string {
  return JSON.stringify({ acVersion: "1.30.0", acKind: "PodManifest", apps: [], ...fields });
}

function runtimeApp(fields: object): string {
  return pod({ apps: [{ name: "a", image: { id: ID }, ...fields }] });
}

describe("pod manifests", () => {
  test("a pod as rkt wrote it comes back byte for byte", () => {
    const text =
      `{"acVersion":"1.30.0","acKind":"PodManifest","apps":[{"name":"web","image":{"name":"example.com/web","id":"${ID}",` +
      '"labels":[{"name":"version","value":"1"}]},"app":{"exec":["/web"],"user":"0","group":"0"},"readOnlyRootFS":true,' +
      '"mounts":[{"volume":"data","path":"/data"},{"volume":"own","path":"/own","appVolume":{"name":"own","kind":"empty","mode":"0700","uid":1,"gid":2}}],' +
      '"annotations":[{"name":"a","value":"b"}]}],' +
      '"volumes":[{"name":"data","kind":"host","source":"/srv","readOnly":true,"recursive":false}],"isolators":null,' +
      '"annotations":[{"name":"coreos.com/rkt/stage1/mutable","value":"false"}],' +
      '"ports":[{"name":"http","hostPort":80,"hostIP":"127.0.0.1","podPort":{"name":"http","protocol":"tcp","port":8080,"count":1,"socketActivated":false}},' +
      '{"name":"metrics","hostPort":9090}],"userAnnotations":{"x":"y"},"userLabels":{"k":"v"}}';
    expect(formatPodManifest(parsePodManifest(text))).toBe(text);
  });

  test("an empty pod has the fields that rkt writes", () => {
    expect(formatPodManifest({ ...BLANK_POD_MANIFEST, acVersion: "1.30.0" })).toBe(
      '{"acVersion":"1.30.0","acKind":"PodManifest","apps":[],"volumes":null,"isolators":null,"annotations":null,"ports":null}',
    );
    expect(parsePodManifest(formatPodManifest(BLANK_POD_MANIFEST))).toEqual(BLANK_POD_MANIFEST);
  });

  test("empty volumes get their defaults", () => {
    const [volume] = parsePodManifest(pod({ volumes: [{ name: "a", kind: "empty" }] })).volumes;
    expect(volume).toMatchObject({ kind: "empty", mode: "0755", uid: 0, gid: 0 });
  });

  test("tmpfs volumes have a size, and groups may have names", () => {
    const text = pod({
      apps: [
        {
          name: "a",
          image: { id: ID },
          app: { exec: ["/a"], user: "0", group: "0", supplementaryGIDs: [7, "adm", "/srv"] },
        },
      ],
      volumes: [{ name: "t", kind: "tmpfs", size: "64M", mode: "1777" }],
    });
    const manifest = parsePodManifest(text);
    expect(manifest.volumes[0]).toMatchObject({ kind: "tmpfs", size: "64M", mode: "1777", uid: 0, gid: 0 });
    expect(manifest.apps[0]?.app?.supplementaryGids).toEqual([7, "adm", "/srv"]);
    expect(parsePodManifest(formatPodManifest(manifest))).toEqual(manifest);
  });

  test("pod isolators are kept, known or not", () => {
    expect(parsePodManifest(pod({ isolators: [{ name: "example.com/x", value: { a: [1] } }] })).isolators).toEqual([
      { name: "example.com/x", value: { a: [1] } },
    ]);
  });

  const bad: [string, string][] = [
    [pod({ acKind: "ImageManifest" }), 'missing or bad ACKind (must be "PodManifest")'],
    [pod({ apps: {} }), "apps: expected a list, got an object"],
    [pod({ apps: [1, 2].map(() => ({ name: "a", image: { id: ID } })) }), 'duplicate apps of name "a"'],
    [runtimeApp({ name: "../x" }), "apps[0].name: ACName must contain only"],
    [runtimeApp({ image: {} }), "apps[0].image.id: badly formatted hash string"],
    [runtimeApp({ image: { id: "sha512-../../etc" } }), "badly formatted hash string"],
    [runtimeApp({ image: { id: "md5-ab" } }), "unrecognized hash type"],
    [runtimeApp({ mounts: [{ path: "/p" }] }), "volume must be set"],
    [runtimeApp({ mounts: [{ volume: "v" }] }), "path must be set"],
    [runtimeApp({ mounts: [{ volume: "v", path: "/a\0b" }] }), "must not contain a NUL character"],
    [runtimeApp({ readOnlyRootFS: 1 }), "apps[0].readOnlyRootFS: expected a boolean, got a number"],
    [pod({ volumes: [{ name: "a", kind: "host" }] }), "source for host volume cannot be empty"],
    [pod({ volumes: [{ name: "a", kind: "host", source: "x" }] }), "source for host volume must be absolute path"],
    [pod({ volumes: [{ name: "a", kind: "host", source: "/x", uid: 0 }] }), "uid for host volume cannot be set"],
    [pod({ volumes: [{ name: "a", kind: "empty", source: "/x" }] }), "source for empty volume must be empty"],
    [pod({ volumes: [{ name: "a", kind: "empty", mode: "rwx" }] }), "mode for empty volume must be octal"],
    [
      pod({ volumes: [{ name: "a", kind: "disk" }] }),
      'unrecognized volume kind: should be one of "empty", "host", "tmpfs"',
    ],
    [pod({ volumes: [{ name: "a", kind: "tmpfs", size: "lots" }] }), "as a quantity"],
    [pod({ volumes: [{ name: "a", kind: "tmpfs", size: "0" }] }), "volumes[0].size: must be at least 1"],
    [pod({ volumes: [{ name: "a", kind: "empty", size: "1M" }] }), "size for empty volume cannot be set"],
    [pod({ volumes: [{ name: "a", kind: "host", source: "/x", size: "1M" }] }), "size for host volume cannot be set"],
    [
      runtimeApp({ app: { user: "0", group: "0", supplementaryGIDs: [""] } }),
      "supplementaryGIDs[0]: a group must not be empty",
    ],
    [
      runtimeApp({ app: { user: "0", group: "0", isolators: [{ name: "resource/pids", value: { limit: "0" } }] } }),
      "isolators[0].value.limit: must be at least 1",
    ],
    [
      runtimeApp({
        app: { user: "0", group: "0", isolators: [{ name: "os/linux/apparmor-profile", value: { name: "a b" } }] },
      }),
      "name must be the name of a profile",
    ],
    [
      runtimeApp({
        app: {
          user: "0",
          group: "0",
          isolators: [
            { name: "os/linux/seccomp-remove-set", value: { set: ["mount"] } },
            { name: "os/linux/seccomp-profile", value: { defaultAction: "SCMP_ACT_ALLOW" } },
          ],
        },
      }),
      "too many seccomp isolators specified",
    ],
    [pod({ volumes: [1, 2].map(() => ({ name: "a", kind: "empty" })) }), 'duplicate volume name "a"'],
    [pod({ ports: [{ name: "a", hostPort: 80, hostIP: "x" }] }), "ports[0].hostIP: invalid IP address"],
    [pod({ ports: [{ name: "a", hostPort: 65536 }] }), "ports[0].hostPort: must be between 0 and 65535"],
    [pod({ ports: [{ name: "a", podPort: { name: "a", port: 0 } }] }), "port must be in 1-65535 range"],
  ];
  test.each(bad)("%s is refused", (text, problem) => {
    expect(() => parsePodManifest(text)).toThrow(problem);
  });
});
