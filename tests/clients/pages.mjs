// /docs and /redoc in a browser: they show the operations, and ask nobody but this server for anything.
import { api, fail, withPage } from "./browser.mjs";

const document = await (await fetch(`${api}/openapi.json`)).json();
const operations = Object.values(document.paths).flatMap((path) => Object.values(path));

for (const [path, shown, expected] of [
  ["/docs", ".opblock", operations.length],
  ["/redoc", "[data-section-id*='operation/']", operations.length],
]) {
  await withPage({}, async (page, seen) => {
    await page.goto(`${api}${path}`, { waitUntil: "networkidle0", timeout: 60_000 });
    await page.waitForFunction(
      (shown, expected) => document.querySelectorAll(shown).length >= expected,
      { timeout: 60_000 },
      shown,
      expected,
    );
    const text = await page.evaluate(() => document.body.innerText);
    if (!text.includes("Generate a video")) fail(`${path} does not show what can be asked for`);
    if (seen.elsewhere.length) fail(`${path} asks others: ${seen.elsewhere.join(", ")}`);
    if (seen.complaints.length) fail(`${path} complains: ${seen.complaints.join("\n")}`);
    console.log(`${path}: ${expected} operations`);
  });
}
