// @nats-io/nats-core 3.x reads COUNT rounds from rounds.game.*, then prints one line of JSON about them.
import { readArguments, Tally } from "./rounds.mjs";
import { wsconnect } from "@nats-io/nats-core";

const { url, count } = readArguments();
const tally = new Tally();
const nc = await wsconnect({ servers: url });
const sub = nc.subscribe("rounds.game.*");
await nc.flush();
console.error("READY");
for await (const message of sub) {
  tally.take(message.subject, message.json());
  if (tally.n === count) break;
}
await nc.drain();
tally.print();
