// What the clients have in common: the rounds they publish, and what they check in the rounds they read.

// Node 20 has no WebSocket of its own; both clients take the global one, as a browser has it.
import { WebSocket } from "ws";
globalThis.WebSocket ??= WebSocket;

const GAMES = [
  { slug: "crash", type: "multiplier", extras: { point: "2.47" } },
  { slug: "double", type: "color", extras: { color: "red", number: 7 } },
  { slug: "wall-street", type: "trending", extras: { trending: "up", multiplier: "1.85" } },
  { slug: "slot", type: "slots", extras: { reels: ["7", "7", "BAR"], multiplier: "3.50" } },
];

// The forms in which the pipeline delivers a round; round k has form k % 7.
const FORMS = [
  (round) => round,
  (round) => ({ ...round, extras: JSON.stringify(round.extras) }),
  (round) => ({ ...round, game_id: 3 }),
  ({ id: _, ...round }) => round,
  (round) => ({ ...round, started_at: "2024-01-15T10:30:00.123456Z", finished_at: "2024-01-15T10:30:15.5Z" }),
  (round) => ({ ...round, started_at: "2024-01-15T12:30:00+02:00", finished_at: "2024-01-15T12:30:15+02:00" }),
  ({ timestamp: _, ...round }) => round,
];

export const N_FORMS = FORMS.length;

/** Round `k` and the two subjects it is published under. */
export function roundOf(k) {
  const game = GAMES[k % GAMES.length];
  const plain = {
    id: 12345 + k,
    game_slug: game.slug,
    game_type: game.type,
    round_id: 67890 + k,
    started_at: "2024-01-15T10:30:00Z",
    finished_at: "2024-01-15T10:30:15Z",
    extras: game.extras,
    timestamp: Date.now(),
  };
  return {
    subjects: [`rounds.game.${game.slug}`, `rounds.type.${game.type}`],
    round: FORMS[k % N_FORMS](plain),
  };
}

/** URL and count from the command line. */
export function readArguments() {
  const [url, count] = process.argv.slice(2);
  if (!url || !(Number(count) > 0)) {
    console.error(`usage: node ${process.argv[1]} URL COUNT`);
    process.exit(2);
  }
  return { url, count: Number(count) };
}

/** Collects what arrives, as a page that shows rounds does, and prints one line of JSON about it. */
export class Tally {
  #n = 0;
  #games = {};
  #latencies = [];
  #extrasOk = true;

  constructor() {
    // A message that never comes must not hang the test that waits for it.
    setTimeout(() => {
      this.print();
      process.exit(1);
    }, 60_000).unref();
  }

  get n() {
    return this.#n;
  }

  take(subject, round) {
    const now = Date.now();
    const slug = subject.split(".")[2];
    const extras = typeof round.extras === "string" ? JSON.parse(round.extras) : round.extras;
    const game = GAMES.find((game) => game.slug === slug);
    this.#n += 1;
    this.#games[slug] = (this.#games[slug] ?? 0) + 1;
    if (round.timestamp !== undefined) this.#latencies.push(now - round.timestamp);
    this.#extrasOk &&=
      game !== undefined &&
      round.game_slug === slug &&
      round.game_type === game.type &&
      Object.keys(game.extras).every((key) => extras[key] !== undefined);
  }

  print() {
    const sorted = this.#latencies.sort((a, b) => a - b);
    console.log(
      JSON.stringify({
        n: this.#n,
        games: this.#games,
        min_latency_ms: sorted.at(0) ?? null,
        max_latency_ms: sorted.at(-1) ?? null,
        extras_ok: this.#extrasOk,
      }),
    );
  }
}
