// @nats-io/nats-core 3.x publishes COUNT rounds, each under its game and its type, in all forms the pipeline has.
import { readArguments, roundOf } from "./rounds.mjs";
import { wsconnect } from "@nats-io/nats-core";

const { url, count } = readArguments();
const nc = await wsconnect({ servers: url });
for (let k = 0; k < count; k++) {
  const { subjects, round } = roundOf(k);
  for (const subject of subjects) nc.publish(subject, JSON.stringify(round));
}
await nc.drain();
