import { describe, expect, test } from "bun:test";
import { duration, waitTime } from "./rate-limit.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const time = (status: number, headers: Record<string, string>) => waitTime(status, new Headers(headers), NOW);

describe("waitTime", () => {
  test("seconds, and a date", () => {
    expect(time(503, { "Retry-After": "45" })).toEqual({ retryAfter: 45_000, words: "it asks to wait 45 s" });
    const date = time(429, { "Retry-After": "Thu, 01 Jan 2026 05:30:00 GMT" });
    expect(date).toEqual({ retryAfter: 19_800_000, words: "too many requests, it asks to wait 5 h 30 min" });
  });
  test("Docker Hub's limit", () => {
    const headers = {
      "RateLimit-Limit": "100;w=21600",
      "RateLimit-Remaining": "0;w=21600",
      "Docker-RateLimit-Source": "192.0.2.1",
    };
    expect(time(429, headers).words).toBe("too many requests, 100 requests in 6 h are allowed for 192.0.2.1");
  });
  test("nonsense says nothing", () => {
    expect(time(500, {})).toEqual({ retryAfter: undefined, words: "" });
    expect(time(429, { "Retry-After": "soon", "RateLimit-Limit": "many" })).toEqual({
      retryAfter: undefined,
      words: "too many requests",
    });
    expect(time(429, { "Retry-After": "-5" }).retryAfter).toBeUndefined();
  });
});

test("duration", () => {
  const times = [1, 119_000, 119_001, 120_001, 7_199_000, 7_200_001];
  expect(times.map(duration)).toEqual(["1 s", "119 s", "2 min", "3 min", "2 h", "2 h 1 min"]);
});
