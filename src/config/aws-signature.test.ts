import { expect, test } from "bun:test";
import { guessRegion, signAwsRequest } from "./aws-signature.ts";

test("signs like the documentation's example", () => {
  // Amazon S3 API Reference, "Signature Calculations: Transferring Payload in a Single Chunk", example "GET Bucket Lifecycle": no Range header there.
  const headers = signAwsRequest(
    {
      accessKeyId: "AKIAIOSFODNN7EXAMPLE",
      secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
      region: "us-east-1",
    },
    new URL("https://examplebucket.s3.amazonaws.com/?lifecycle"),
    new Date("2013-05-24T00:00:00Z"),
  );
  expect(headers).toEqual({
    Authorization:
      "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    "X-Amz-Content-Sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "X-Amz-Date": "20130524T000000Z",
  });
});

test.each([
  ["s3.amazonaws.com", "us-east-1"],
  ["bucket.s3.amazonaws.com", "us-east-1"],
  ["s3-eu-west-1.amazonaws.com", "eu-west-1"],
  ["bucket.s3.eu-central-1.amazonaws.com", "eu-central-1"],
  ["s3.cn-north-1.amazonaws.com.cn", "cn-north-1"],
  ["bucket.s3-us-gov-west-1.amazonaws.com", "us-gov-west-1"],
  ["minio.example", "us-east-1"],
  ["s3.eu-west-1.amazonaws.com.evil", "us-east-1"],
])("region of %s", (host, region) => {
  expect(guessRegion(host)).toBe(region);
});
