import { describe, expect, test } from "bun:test";
import { parseMount, parseMountVolume, parsePort, parseSandboxPort, parseVolume } from "./mod.ts";

describe("--volume", () => {
  test("host and empty volumes", () => {
    expect(parseVolume("db,kind=host,source=/srv/a+b%20c=d,readOnly=true,recursive=0") as object).toEqual({
      name: "db",
      kind: "host",
      source: "/srv/a+b%20c=d",
      readOnly: true,
      recursive: false,
    });
    expect(parseVolume("tmp,kind=empty") as object).toEqual({
      name: "tmp",
      kind: "empty",
      readOnly: undefined,
      recursive: undefined,
      mode: "0755",
      uid: 0,
      gid: 0,
    });
    expect(parseVolume("tmp,kind=empty,mode=01777,uid=10,gid=20")).toMatchObject({ mode: "01777", uid: 10, gid: 20 });
  });

  test.each([
    ["", "ACName cannot be empty"],
    ["Bad_name,kind=empty", "ACName must contain only"],
    ["a", "unrecognized volume kind"],
    ["a,kind=host", "source for host volume cannot be empty"],
    ["a,kind=host,source=x", "source for host volume must be absolute path"],
    ["a,kind=empty,source=/x", "source for empty volume must be empty"],
    ["a,kind=host,source=/x,mode=0700", "mode for host volume cannot be set"],
    ["a,kind", "has a label without a value"],
    ["a,kind=host,kind=empty", 'label kind with multiple values ["host" "empty"]'],
    ["a,name=b,kind=empty", "label name with multiple values"],
    ["a,kind=empty,colour=red", 'unknown volume parameter "colour"'],
    ["a,kind=empty,__proto__=x", "unknown volume parameter"],
    ["a,kind=empty,readOnly=yes", "invalid syntax"],
    ["a,kind=empty,uid=root", "invalid syntax"],
    ["a,kind=empty,uid=-1", "uid: must be between 0"],
    ["a,kind=empty,uid=4294967295", "uid: must be between 0"],
    ["a,kind=host,source=/x\0y", "must not contain a NUL character"],
  ])("%p is refused", (flag, problem) => {
    expect(() => parseVolume(flag)).toThrow(problem);
  });
});

describe("--mount", () => {
  test("values are decoded", () => {
    expect(parseMount("volume=db,target=/a+b%2Cc") as object).toEqual({
      volume: "db",
      path: "/a b,c",
      appVolume: undefined,
    });
  });

  test.each([
    ["", "volume must be set"],
    ["volume=db", "path must be set"],
    ["target=/x", "volume must be set"],
    ["volume=D_B,target=/x", 'invalid volume name "D_B" in --mount flag "volume=D_B,target=/x"'],
    ["volume=db,target=/x,colour=red", 'unknown mount parameter "colour"'],
    ["volume=db,target=/x,target=/y", "label target with multiple values"],
    ["volume=db,target=/%zz", 'invalid URL escape "%zz"'],
    ["volume=db,target=/%", 'invalid URL escape "%"'],
    ["volume=db,target=/%ff", "it is not UTF-8"],
    ["volume=db,target=/a%00b", "it has a NUL character"],
  ])("%p is refused", (flag, problem) => {
    expect(() => parseMount(flag)).toThrow(problem);
  });

  test("--mnt-volume brings its volume", () => {
    const mount = parseMountVolume("name=v,kind=host,source=/s,target=/t,readOnly=true");
    expect(mount).toMatchObject({ volume: "v", path: "/t", appVolume: { kind: "host", source: "/s", readOnly: true } });
    expect(() => parseMountVolume("name=v,kind=empty")).toThrow("path must be set");
  });
});

describe("--port", () => {
  test.each([
    ["http:80", { name: "http", hostPort: 80, hostIp: undefined }],
    ["http:127.0.0.1:80", { name: "http", hostPort: 80, hostIp: "127.0.0.1" }],
    ["http:[::1]:80", { name: "http", hostPort: 80, hostIp: "::1" }],
  ])("%p", (flag, port) => {
    expect(parsePort(flag) as object).toEqual({ ...port, podPort: undefined });
  });

  test.each([
    ["http", '"http" is not in name:[ip:]port format'],
    ["h_p:80", '"h_p" is not a valid port name'],
    [":80", "is not a valid port name"],
    ["http:", '"" is not a valid port number'],
    ["http:65536", '"65536" is not a valid port number'],
    ["http:-1", "is not a valid port number"],
    ["http:host:80", '"host" is not a valid IP'],
    ["http:300.0.0.1:80", "is not a valid IP"],
    ["http:::1:80", "is not a valid IP"],
    ["http:1.2.3.4:80:90", "is not a valid port number"],
  ])("%p is refused", (flag, problem) => {
    expect(() => parsePort(flag)).toThrow(problem);
  });

  test("of a sandbox", () => {
    expect(parseSandboxPort("http:tcp:8080:0.0.0.0:80") as object).toEqual({
      name: "http",
      hostPort: 80,
      hostIp: "0.0.0.0",
      podPort: { name: "http", protocol: "tcp", port: 8080, count: 1, socketActivated: false },
    });
    expect(parseSandboxPort("http:udp:8080:[::]:80").hostIp).toBe("::");
    expect(() => parseSandboxPort("http:80")).toThrow("--port invalid format");
    expect(() => parseSandboxPort("http:icmp:1:0.0.0.0:80")).toThrow('invalid protocol "icmp"');
    expect(() => parseSandboxPort("http:tcp:1:x:80")).toThrow("could not parse IP");
    expect(() => parseSandboxPort("http:tcp:0:0.0.0.0:80")).toThrow("port must be in 1-65535 range");
  });
});

test("--volume: relabel, of host volumes only", () => {
  expect(parseVolume("data,kind=host,source=/srv/data,relabel=private")).toMatchObject({ relabel: "private" });
  expect(parseVolume("data,kind=host,source=/srv/data")).not.toHaveProperty("relabel");
  expect(() => parseVolume("data,kind=host,source=/srv/data,relabel=z")).toThrow(
    'relabel must be "shared" or "private"',
  );
  expect(() => parseVolume("data,kind=empty,relabel=shared")).toThrow("it has the pod's label");
});
