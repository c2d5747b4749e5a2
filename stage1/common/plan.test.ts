import { expect, test } from "bun:test";
import {
  BLANK_APP,
  BLANK_POD_MANIFEST,
  type ImageManifest,
  parseMount,
  parseVolume,
  pidsIsolator,
  type RuntimeApp,
} from "../../src/spec/appc/mod.ts";
import { plan } from "./plan.ts";

const POINT = { name: "data", path: "/srv/data", readOnly: true } as unknown as NonNullable<
  ImageManifest["app"]
>["mountPoints"][number];

function app(fields: Partial<RuntimeApp>): RuntimeApp {
  const exec = ["/bin/server", "--password=secret"];
  const whole = { ...BLANK_APP, exec, environment: [{ name: "KEY", value: "secret" }], mountPoints: [POINT] };
  return {
    name: "web",
    image: { name: undefined, id: "", labels: [] },
    app: whole,
    readOnlyRootFs: false,
    mounts: [],
    annotations: [],
    ...fields,
  } as unknown as RuntimeApp;
}

const RUN = { net: "default", hostname: undefined, ipc: "" };

test("every step is told, and no secret", () => {
  const manifest = {
    ...BLANK_POD_MANIFEST,
    isolators: [pidsIsolator("9")],
    volumes: [parseVolume("data,kind=host,source=/srv"), parseVolume("t,kind=tmpfs,size=8M")],
    apps: [app({ mounts: [parseMount("volume=t,target=../cache/")], readOnlyRootFs: true })],
  };
  const lines = plan(manifest, RUN, true);
  expect(lines).toEqual([
    'network "default"',
    'the pod: resource/pids {"limit":"9"}',
    "app web: a read-only root",
    'app web: volume t, tmpfs of 8M, mode 0755, owner 0:0, at "/cache"',
    'app web: volume data, "/srv" of the host, at "/srv/data", read-only',
    'app web: "/bin/server" and 1 argument as user "0", group "0" in "/", with 1 variables',
  ]);
  expect(lines.join()).not.toContain("secret");
});

test("a mount of the volume that an image's mount point is called after is as read-only as that", () => {
  const volumes = [parseVolume("data,kind=empty"), parseVolume("other,kind=empty")];
  const told = (mount: string) =>
    plan({ ...BLANK_POD_MANIFEST, volumes, apps: [app({ mounts: [parseMount(mount)] })] }, RUN, true).join("\n");
  expect(told("volume=data,target=/elsewhere")).toContain('at "/elsewhere", read-only');
  expect(told("volume=other,target=/srv/data")).toContain(
    'volume other, empty, mode 0755, owner 0:0, at "/srv/data", read-only',
  );
  expect(told("volume=other,target=/else")).toContain('at "/else"\n');
});

test("what the volume says of read-only counts more than the mount point, either way", () => {
  const told = (volume: string, readOnly: boolean) => {
    const web = app({});
    const mountPoints = [{ ...POINT, readOnly }];
    const apps = [{ ...web, app: { ...(web.app ?? BLANK_APP), mountPoints } }];
    return plan({ ...BLANK_POD_MANIFEST, volumes: [parseVolume(volume)], apps }, RUN, true).join("\n");
  };
  expect(told("data,kind=empty,readOnly=false", true)).not.toContain("read-only");
  expect(told("data,kind=empty,readOnly=true", false)).toContain("read-only");
  expect(told("data,kind=empty", true)).toContain("read-only");
});

test("a mount point without a volume, and a mount without one", () => {
  const manifest = { ...BLANK_POD_MANIFEST, apps: [app({})] };
  expect(plan(manifest, RUN, true)).toContain('app web: mount point data at "/srv/data": the image\'s own files');
  const dangling = { ...manifest, apps: [app({ mounts: [parseMount("volume=x,target=/x")] })] };
  expect(() => plan(dangling, RUN, true)).toThrow('dangling mount point "/x": volume "x" not found');
  const whole = {
    ...manifest,
    volumes: [parseVolume("x,kind=empty")],
    apps: [app({ mounts: [parseMount("volume=x,target=/a/..")] })],
  };
  expect(() => plan(whole, RUN, true)).toThrow('Cannot mount a volume at "/" of app "web"');
});
