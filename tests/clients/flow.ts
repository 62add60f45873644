// The way of a client from a token to a file, with the types that openapi-typescript makes of openapi.json.
import createClient from "openapi-fetch";
import type { paths, components } from "./out/api.js";

const { REEL_API_URL: baseUrl, REEL_TOKEN: token } = process.env;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

const request: components["schemas"]["VideoFields"] = {
  topic: "Ions",
  script: "# Ions\n\nIons move.",
  quality: "low",
  custom_config: { fps: 25 },
};
const asked = await client.POST("/api/v1/videos/generate", { body: request });
if (!asked.data) throw new Error(JSON.stringify(asked.error));
const job_id: string = asked.data.job_id;

let status: string;
do {
  const path = { job_id };
  const polled = await client.GET("/api/v1/videos/jobs/{job_id}/status", { params: { path, query: { wait: 5 } } });
  if (!polled.data) throw new Error(JSON.stringify(polled.error));
  status = polled.data.status;
} while (!["completed", "failed", "cancelled"].includes(status));
if (status !== "completed") throw new Error(`the job is ${status}`);

const file = await client.GET("/api/v1/videos/jobs/{job_id}/download", {
  params: { path: { job_id }, query: { quality: "480p" } },
  parseAs: "arrayBuffer",
});
const bytes = new Uint8Array(file.data as unknown as ArrayBuffer);
if (new TextDecoder().decode(bytes.slice(4, 8)) !== "ftyp") throw new Error("what was downloaded is no MP4");

const missing = await client.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: "0199c0de-7a3e-7cc1-9f5e-0b8f6d2f4a11" } } });
if (missing.error?.error.error_code !== "NOT_FOUND") throw new Error("an unknown job is no 404");
console.log(`TypeScript: ${bytes.length} bytes of video`);
