// hls.js plays a video while it is made, from its first scene to its end, without a stall.
import { readFileSync } from "node:fs";
import { api, fail, token, withPage } from "./browser.mjs";

const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
const script = Array.from(
  { length: 5 },
  (_, part) => `# Part ${part + 1}\n\nIons move from one side of a battery to the other, and electrons take the long way round. That is current.`,
).join("\n\n");
const body = JSON.stringify({ topic: "Batteries", script, quality: "low" });
const asked = await (await fetch(`${api}/api/v1/videos/generate`, { method: "POST", headers, body })).json();
const job = `${api}/api/v1/videos/jobs/${asked.job_id}`;
const status = async () => (await fetch(`${job}/status`, { headers })).json();

let now = await status();
while (!(now.playable_seconds > 0)) {
  if (now.status === "failed") fail(JSON.stringify(now.error));
  await new Promise((resolve) => setTimeout(resolve, 50));
  now = await status();
}
console.log(`it can be watched at ${now.progress.percentage} %: ${now.playable_seconds} s of it`);
if (now.status === "completed") fail("it was made before it could be watched, so this shows nothing");

const player = `
  const events = [];
  window.events = events;
  const video = document.querySelector("video");
  const hls = new Hls({ startPosition: 0, xhrSetup: (xhr) => xhr.setRequestHeader("Authorization", "Bearer ${token}") });
  hls.on(Hls.Events.ERROR, (_, error) => events.push("error: " + error.details + (error.fatal ? ", fatal" : "")));
  video.addEventListener("playing", () => (window.isPlaying = true));
  video.addEventListener("waiting", () => window.isPlaying && !video.ended && events.push("stall at " + video.currentTime));
  video.addEventListener("ended", () => (window.isEnded = true));
  hls.loadSource("${job}/hls/master.m3u8");
  hls.attachMedia(video);
  hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
`;
const served = {
  "/play": { contentType: "text/html", body: `<video muted></video><script src="/hls.js"></script><script src="/player.js"></script>` },
  "/hls.js": { contentType: "text/javascript", body: readFileSync(new URL("node_modules/hls.js/dist/hls.min.js", import.meta.url)) },
  "/player.js": { contentType: "text/javascript", body: player },
};
await withPage(served, async (page, seen) => {
  await page.goto(`${api}/play`);
  await page.waitForFunction(() => window.isEnded || window.events.some((event) => event.endsWith("fatal")), { timeout: 170_000 });
  const played = await page.evaluate(() => {
    const video = document.querySelector("video");
    const frames = video.getVideoPlaybackQuality();
    return { events: window.events, at: video.currentTime, seconds: video.duration, shown: frames.totalVideoFrames };
  });
  const end = await status();
  if (played.events.length) fail(`hls.js: ${played.events.join("; ")}`);
  if (Math.abs(played.seconds - end.video.duration) > 0.3) fail(`it played ${played.seconds} s of ${end.video.duration}`);
  if (played.at < played.seconds - 0.3 || played.shown === 0) fail(JSON.stringify(played));
  if (seen.elsewhere.length) fail(`the page asks others: ${seen.elsewhere.join(", ")}`);
  console.log(`hls.js: ${played.at.toFixed(1)} s to the end, without a stall`);
});
