// A headless Chromium, and what its pages asked for and said.
import puppeteer from "puppeteer-core";

export const api = process.env.REEL_API_URL;
export const token = process.env.REEL_TOKEN;

/** Opens a page, gives it to `use`, and closes it. `served` has files that the page finds at the API's own address. */
export async function withPage(served, use) {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const args = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--disable-gpu"];
  const browser = await puppeteer.launch({ executablePath, headless: true, args });
  try {
    const page = await browser.newPage();
    const seen = { elsewhere: [], complaints: [] };
    await page.setRequestInterception(true);
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http") && url.origin !== api) seen.elsewhere.push(request.url());
      const file = served[url.pathname];
      return file ? request.respond(file) : request.continue();
    });
    page.on("console", (said) => said.type() === "error" && seen.complaints.push(said.text()));
    page.on("pageerror", (error) => seen.complaints.push(String(error)));
    return await use(page, seen);
  } finally {
    await browser.close();
  }
}

export function fail(message) {
  console.error(message);
  process.exit(1);
}
