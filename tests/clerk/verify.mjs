// Judges session tokens with `verifyToken` of Clerk's own package. Reads `{ apiUrl, authorizedParties, tokens }` as JSON from the
// standard input, and prints one verdict for each token: `{ user }`, or `{ refusal }`. Nothing but loopback can be reached.
import net from "node:net";
import { text } from "node:stream/consumers";

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...options) {
  const { host } = options.flat()[0];
  if (host !== "127.0.0.1") throw new Error(`only loopback may be reached, not ${host}`);
  return connect.apply(this, options);
};
process.env.CLERK_TELEMETRY_DISABLED = "1";

const { verifyToken } = await import("@clerk/backend");
const { apiUrl, authorizedParties, tokens } = JSON.parse(await text(process.stdin));
const options = { apiUrl, secretKey: "sk_test_local", authorizedParties, clockSkewInMs: 5000 };
const verdicts = [];
for (const token of tokens) {
  try {
    verdicts.push({ user: (await verifyToken(token, options)).sub });
  } catch (error) {
    verdicts.push({ refusal: error.reason ?? String(error) });
  }
}
console.log(JSON.stringify(verdicts));
