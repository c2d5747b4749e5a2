import { describe, expect, test } from "bun:test";
import {
  checkLayoutFile,
  documentKind,
  isConfigMediaType,
  isForeignLayerMediaType,
  isLayerMediaType,
  layerCompression,
  MEDIA_TYPE,
  parseIndex,
  parseManifest,
} from "./mod.ts";

const HEX = "ab".repeat(32);
const LAYER = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: `sha256:${HEX}`, size: 3 };
const CONFIG = { mediaType: MEDIA_TYPE.ociConfig, digest: `sha256:${HEX}`, size: 2 };
const IMAGE = { mediaType: MEDIA_TYPE.ociManifest, digest: `sha256:${HEX}`, size: 1 };

function manifest(fields: object = {}): string {
  return JSON.stringify({ schemaVersion: 2, config: CONFIG, layers: [LAYER], ...fields });
}

function index(fields: object = {}): string {
  return JSON.stringify({ schemaVersion: 2, manifests: [IMAGE], ...fields });
}

describe("manifests", () => {
  test("an OCI manifest with everything", () => {
    const parsed = parseManifest(
      manifest({
        mediaType: MEDIA_TYPE.ociManifest,
        layers: [LAYER, { ...LAYER, urls: ["https://example.com/l"], data: "YWJj", annotations: { b: "2", a: "1" } }],
        annotations: { "org.opencontainers.image.created": "now" },
        subject: IMAGE,
        artifactType: "application/x",
        unknown: [],
      }),
      MEDIA_TYPE.ociManifest,
    );
    expect(parsed.mediaType).toBe(MEDIA_TYPE.ociManifest);
    expect(parsed.config).toMatchObject({ digest: { algorithm: "sha256", hex: HEX }, size: 2 });
    expect(parsed.layers[1]).toMatchObject({ urls: ["https://example.com/l"], data: "YWJj" });
    expect(parsed.layers[1]?.annotations.map((one) => one.name)).toEqual(["a", "b"]);
    expect(parsed.subject?.digest.hex).toBe(HEX);
    expect(parsed.artifactType).toBe("application/x");
  });

  test("a media type may be missing in the document or beside it", () => {
    expect(parseManifest(manifest()).mediaType).toBe(MEDIA_TYPE.ociManifest);
    expect(parseManifest(manifest(), MEDIA_TYPE.dockerManifest).mediaType).toBe(MEDIA_TYPE.dockerManifest);
    expect(parseManifest(manifest({ mediaType: MEDIA_TYPE.dockerManifest })).mediaType).toBe(MEDIA_TYPE.dockerManifest);
  });

  test("null lists are empty, of two equal fields the last counts", () => {
    expect(parseManifest(manifest({ layers: null, annotations: null, manifests: null })).layers).toEqual([]);
    const twice = manifest().replace('"layers":', '"layers":[],"layers":');
    expect(parseManifest(twice).layers).toHaveLength(1);
  });

  test.each([
    [manifest({ manifests: [] }), "MALICIOUS"],
    [manifest({ manifests: [IMAGE], mediaType: MEDIA_TYPE.ociManifest }), "MALICIOUS"],
    [manifest({ fsLayers: [] }), "MALICIOUS"],
    [JSON.stringify({ schemaVersion: 1, fsLayers: [], history: [] }), "UNSUPPORTED"],
    [manifest({ schemaVersion: undefined }), "INVALID_INPUT"],
    [manifest({ mediaType: MEDIA_TYPE.ociIndex }), "INVALID_INPUT"],
    [manifest({ config: undefined }), "INVALID_INPUT"],
    [manifest({ layers: {} }), "INVALID_INPUT"],
    [manifest({ layers: [{ ...LAYER, size: -1 }] }), "INVALID_INPUT"],
    [manifest({ layers: [{ ...LAYER, size: "3" }] }), "INVALID_INPUT"],
    [manifest({ layers: [{ ...LAYER, size: undefined }] }), "INVALID_INPUT"],
    [manifest({ layers: [{ ...LAYER, digest: "sha256:ab" }] }), "INVALID_INPUT"],
    [manifest({ layers: [{ ...LAYER, digest: undefined }] }), "INVALID_INPUT"],
    [manifest({ layers: [{ ...LAYER, digest: `md5:${HEX}` }] }), "INVALID_INPUT"],
    ["[]", "INVALID_INPUT"],
  ])("%s is %s", (text, code) => {
    expect(() => parseManifest(text)).toThrow(expect.objectContaining({ code }));
  });

  test("errors name the field", () => {
    expect(() => parseManifest(manifest({ layers: [LAYER, { ...LAYER, digest: "x" }] }))).toThrow(
      'Cannot read the image manifest: layers[1].digest: Cannot use "x" as a digest',
    );
  });

  test("a document that came as something else is refused", () => {
    const text = manifest({ mediaType: MEDIA_TYPE.ociManifest });
    expect(() => parseManifest(text, MEDIA_TYPE.dockerManifest)).toThrow(
      expect.objectContaining({ code: "MALICIOUS" }),
    );
    expect(() => parseManifest(text, MEDIA_TYPE.ociIndex)).toThrow("is of something else");
  });
});

describe("indexes", () => {
  test("a Docker manifest list is one", () => {
    const platform = { architecture: "arm", os: "linux", variant: "v7", "os.features": ["x"] };
    const parsed = parseIndex(
      index({ mediaType: MEDIA_TYPE.dockerManifestList, manifests: [{ ...IMAGE, platform }] }),
      MEDIA_TYPE.dockerManifestList,
    );
    expect(parsed.manifests[0]?.platform).toEqual({ os: "linux", architecture: "arm", variant: "v7" });
  });

  test.each([
    [index({ layers: [] }), "MALICIOUS"],
    [index({ config: CONFIG }), "MALICIOUS"],
    [index({ fsLayers: [] }), "MALICIOUS"],
    [index({ schemaVersion: 1 }), "INVALID_INPUT"],
    [index({ manifests: [null] }), "INVALID_INPUT"],
    [index({ mediaType: MEDIA_TYPE.ociManifest }), "INVALID_INPUT"],
  ])("%s is %s", (text, code) => {
    expect(() => parseIndex(text)).toThrow(expect.objectContaining({ code }));
  });
});

test("kinds are told apart by their fields", () => {
  expect(documentKind(index())).toBe("index");
  expect(documentKind(manifest())).toBe("manifest");
  expect(() => documentKind(manifest({ manifests: [] }))).toThrow(expect.objectContaining({ code: "MALICIOUS" }));
  expect(() => documentKind("{}")).toThrow("expected an image index or an image manifest");
});

test("layout files", () => {
  checkLayoutFile('{"imageLayoutVersion":"1.0.0"}');
  expect(() => checkLayoutFile('{"imageLayoutVersion":"2.0.0"}')).toThrow('expected "1.0.0"');
  expect(() => checkLayoutFile("{}")).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
});

test("media types of layers", () => {
  expect(layerCompression("application/vnd.oci.image.layer.v1.tar")).toBe("none");
  expect(layerCompression("application/vnd.oci.image.layer.v1.tar+zstd")).toBe("zstd");
  expect(layerCompression("application/vnd.docker.image.rootfs.diff.tar.gzip")).toBe("gzip");
  expect(layerCompression("application/vnd.in-toto+json")).toBeUndefined();
  expect(isLayerMediaType("constructor")).toBe(false);
  expect(isForeignLayerMediaType("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")).toBe(true);
  expect(isConfigMediaType(MEDIA_TYPE.dockerConfig)).toBe(true);
  expect(isConfigMediaType(MEDIA_TYPE.ociEmpty)).toBe(false);
});
