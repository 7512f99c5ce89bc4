// nats.ws 1.x publishes COUNT rounds, each under its game and its type, in all forms the pipeline has.
import { readArguments, roundOf } from "./rounds.mjs";
import { connect, StringCodec } from "nats.ws";

const { url, count } = readArguments();
const sc = StringCodec();
const nc = await connect({ servers: url });
for (let k = 0; k < count; k++) {
  const { subjects, round } = roundOf(k);
  for (const subject of subjects) nc.publish(subject, sc.encode(JSON.stringify(round)));
}
await nc.drain();
