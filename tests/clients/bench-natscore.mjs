// A peer for scripts/bench-peers: @nats-io/nats-core 3.x receives COUNT messages on SUBJECT and looks at none of them.
import { WebSocket } from "ws";
import { wsconnect } from "@nats-io/nats-core";

// Node 20 has no WebSocket of its own.
globalThis.WebSocket ??= WebSocket;

const [url, subject, countText] = process.argv.slice(2);
const count = Number(countText);
if (!url || !subject || !(count > 0)) {
  console.error(`usage: node ${process.argv[1]} URL SUBJECT COUNT`);
  process.exit(2);
}
const nc = await wsconnect({ servers: url });
const sub = nc.subscribe(subject, { max: count });
await nc.flush();
let received = 0;
for await (const _ of sub) received += 1;
await nc.close();
console.log(JSON.stringify({ received }));
