// nats.ws 1.x reads COUNT rounds from rounds.game.*, then prints one line of JSON about them.
import { readArguments, Tally } from "./rounds.mjs";
import { connect, StringCodec } from "nats.ws";

const { url, count } = readArguments();
const tally = new Tally();
const sc = StringCodec();
const nc = await connect({ servers: url });
const sub = nc.subscribe("rounds.game.*");
await nc.flush();
console.error("READY");
for await (const message of sub) {
  tally.take(message.subject, JSON.parse(sc.decode(message.data)));
  if (tally.n === count) break;
}
await nc.drain();
tally.print();
