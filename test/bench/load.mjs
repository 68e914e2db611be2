/** The load generator, a process of its own: raw sockets, requests made beforehand, every answer checked. */
import net from 'node:net';
import { serve } from './child.mjs';
import { prepareQuestions } from './questions.mjs';

const HEAD_END = Buffer.from('\r\n\r\n');
const ALLOW = '{"result":"allow"';
/** A server that answers nothing ends the run. */
const SILENCE_MS = 5_000;
/** Longer than the pauses between answers under load, short enough to leave the core to Postgres when it is asked. */
const AWAKE_MS = 0.3;
/** Timers fire up to so much late: closer to a due time there is no sleeping. */
const TIMER_MS = 2;

let questions;

/** One keep-alive connection; counts the answers and knows when each question was due. */
class Connection {
  #socket;
  #requests;
  #at;
  #answered;
  #rest = null;
  /** Answer heads seen before, with the length of the body that follows. */
  #heads = new Map();
  underWay = 0;

  constructor(socket, requests, at, answered) {
    this.#socket = socket;
    this.#requests = requests;
    this.#at = at;
    this.#answered = answered;
    socket.on('data', (chunk) => this.#read(chunk));
  }

  static async open(port, requests, at, answered, failed) {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const connection = new Connection(socket, requests, at, (count) => {
      try {
        answered(connection, count);
      } catch (error) {
        failed(error);
      }
    });
    socket.on('error', failed);
    socket.on('close', () => failed(new Error('the server closed a connection')));
    return connection;
  }

  /** Sends the next `count` questions in one write. */
  send(count) {
    this.underWay += count;
    this.#socket.cork();
    for (let i = 0; i < count; i += 1) {
      this.#socket.write(this.#requests[this.#at]);
      this.#at = (this.#at + 1) % this.#requests.length;
    }
    this.#socket.uncork();
  }

  close() {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }

  #read(chunk) {
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    let from = 0;
    let count = 0;
    for (;;) {
      const end = bytes.indexOf(HEAD_END, from);
      if (end === -1) break;
      const length = this.#lengthOf(bytes.latin1Slice(from, end));
      const next = end + 4 + length;
      if (next > bytes.length) break;
      if (bytes.latin1Slice(end + 4, end + 4 + ALLOW.length) !== ALLOW) {
        throw new Error(`an answer was not the expected one: ${bytes.toString('utf8', end + 4, next)}`);
      }
      from = next;
      count += 1;
    }
    this.#rest = from === bytes.length ? null : bytes.subarray(from);
    this.underWay -= count;
    if (count > 0) this.#answered(count);
  }

  #lengthOf(head) {
    let length = this.#heads.get(head);
    if (length === undefined) {
      if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`an answer was not 200: ${head}`);
      length = Number(/\r\ncontent-length: (\d+)/i.exec(head)[1]);
      this.#heads.set(head, length);
    }
    return length;
  }
}

/**
 * As many answers as the server gives: each connection always has `pipelining` questions under way.
 * @returns answers, and the seconds that they took
 */
async function flood({ port, kind, connections, pipelining, seconds }) {
  let answers = 0;
  const started = performance.now();
  const end = started + seconds * 1000;
  await withConnections({ port, kind, connections }, (all, done) => {
    for (const connection of all) connection.send(pipelining);
    return (connection, count) => {
      answers += count;
      if (performance.now() < end) connection.send(count);
      else if (all.every(({ underWay }) => underWay === 0)) done();
    };
  });
  return { answers, seconds: (performance.now() - started) / 1000 };
}

/**
 * `rate` questions a second, one under way on each connection. A question that finds no free connection waits, and its time
 * counts from when it was due.
 * @param sleeps leaves the core to others between questions, which are then asked every millisecond, those that became due together;
 *   their time counts from when they were asked; all of the times are answered, in ms
 * @returns milliseconds that half, and 99 of 100, of the answers took at most
 */
async function pace({ port, kind, connections, seconds, rate, sleeps = false }) {
  const latencies = [];
  const dueTimes = new Map();
  const started = performance.now();
  const total = Math.floor(rate * seconds);
  let sent = 0;
  await withConnections({ port, kind, connections, sleeps }, (all, done) => {
    const free = [...all];
    let waiting = false;
    const send = (asSoonAsFree = false) => {
      const now = performance.now();
      waiting = false;
      while (sent < total && free.length > 0) {
        const due = started + (sent * 1000) / rate;
        if (due > now) break;
        const connection = free.pop();
        dueTimes.set(connection, sleeps && !asSoonAsFree ? now : due);
        connection.send(1);
        sent += 1;
      }
      if (sent === total) return;
      if (free.length === 0) {
        waiting = true;
        return;
      }
      const wait = started + (sent * 1000) / rate - now;
      if (sleeps) setTimeout(send, Math.max(1, wait));
      else if (wait > TIMER_MS) setTimeout(send, wait - TIMER_MS);
      else setImmediate(send);
    };
    setImmediate(send);
    return (connection) => {
      latencies.push(performance.now() - dueTimes.get(connection));
      free.push(connection);
      if (latencies.length === total) done();
      else if (waiting) send(true);
    };
  });
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))];
  return { p50: at(0.5), p99: at(0.99), answers: total, ...(sleeps ? { latencies } : {}) };
}

/** Opens connections that begin at different questions, lets `begin` run them, and closes them when it is done. */
async function withConnections({ port, kind, connections, sleeps = false }, begin) {
  const requests = questions[kind];
  const all = [];
  const wakefulness = new Wakefulness();
  let answered;
  let timer;
  try {
    await new Promise((resolve, reject) => {
      const open = (index) => Connection.open(
        port,
        requests,
        Math.floor((requests.length * index) / connections),
        (connection, count) => {
          timer.refresh();
          if (!sleeps) wakefulness.stay();
          answered(connection, count);
        },
        reject,
      );
      timer = setTimeout(() => reject(new Error('the server does not answer')), SILENCE_MS);
      Promise.all(Array.from({ length: connections }, (_, index) => open(index))).then((opened) => {
        all.push(...opened);
        answered = begin(all, resolve);
      }, reject);
    });
  } finally {
    clearTimeout(timer);
    for (const connection of all) connection.close();
  }
}

/**
 * Keeps this process from sleeping in the kernel while answers come, as a broker under load does not sleep either: waking a sleeper
 * costs the server that answers several microseconds an answer on a virtual machine, the more of them the slower it is.
 */
class Wakefulness {
  #until = 0;
  #turning = false;

  /** An answer came: awake for a while from now on. */
  stay() {
    this.#until = performance.now() + AWAKE_MS;
    if (this.#turning) return;
    this.#turning = true;
    this.#turn();
  }

  #turn = () => {
    this.#turning = performance.now() < this.#until;
    if (this.#turning) setImmediate(this.#turn);
  };
}

serve({
  /** Reads the devices that the server registered. */
  prepare({ file }) {
    questions = prepareQuestions(file);
    return Object.fromEntries(Object.entries(questions).map(([kind, requests]) => [kind, requests.length]));
  },
  /** The first question of a kind, answered: the whole answer's JSON. */
  async sample({ port, kind }) {
    const socket = net.connect(port, '127.0.0.1');
    socket.write(Buffer.from(questions[kind][0].toString('utf8').replace('host:', 'connection: close\r\nhost:')));
    let text = '';
    for await (const chunk of socket) text += chunk;
    return text.slice(text.indexOf('\r\n\r\n') + 4);
  },
  flood,
  pace,
});
