/** Asks about a large fleet, question by question on kept connections; requests are made as they are sent. */
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { serve } from './child.mjs';

const ALLOW = '{"result":"allow"';
const HEAD_END = Buffer.from('\r\n\r\n');

/** As a device would, after a refusal. */
const RETRY_MS = 1_000;

let devices;
let secret;

const bytes = (path, members) => {
  const body = JSON.stringify(members);
  return `POST /api/v1/internal/${path} HTTP/1.1\r\ncontent-length: ${Buffer.byteLength(body)}\r\nhost: 127.0.0.1:3001\r\ncontent-type: application/json\r\nx-internal-auth: ${secret}\r\n\r\n${body}`;
};
const connectOf = ([id, password]) => bytes('mqtt-auth', { zone: 'default', username: id, peerhost: '127.0.0.1', password, listener_kind: 'plain', clientid: id, cert_subject: '', cert_pem: '', cert_common_name: '' });
const aclOf = ([id]) => bytes('mqtt-acl', {
  ver: '1', username: id, topic: `devices/${id}/telemetry`, status: 'ACTIVE', retain: 'false', qos: '1', peerhost: '127.0.0.1', mountpoint: '', device: id, clientid: id,
  cert_common_name: '', action: 'publish', access: '2',
});

/** A kept connection; `answered` hears of each answer, and whether it was an allow. */
async function open(port, answered, failed) {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(HEAD_END); end !== -1; end = rest.indexOf(HEAD_END)) {
      const next = end + 4 + Number(/content-length: (\d+)/.exec(rest.latin1Slice(0, end))[1]);
      if (rest.length < next) return;
      const allowed = rest.latin1Slice(end + 4, end + 4 + ALLOW.length) === ALLOW;
      rest = rest.subarray(next);
      answered(socket, allowed);
    }
  });
  socket.on('error', failed).on('close', () => failed(new Error('the server closed a connection')));
  return socket;
}

async function withConnections(port, connections, run) {
  const sockets = [];
  try {
    return await new Promise((resolve, reject) => {
      let answered = () => undefined;
      Promise.all(Array.from({ length: connections }, () => open(port, (socket, allowed) => answered(socket, allowed), reject))).then((opened) => {
        sockets.push(...opened);
        answered = run(opened, resolve);
      }, reject);
    });
  } finally {
    for (const socket of sockets) socket.removeAllListeners('close').destroy();
  }
}

/** Every device from `from` to `to` connects once, one after another on each kept connection; one that is refused tries again. */
async function connectAll({ port, from, to, connections }) {
  const started = performance.now();
  let next = from;
  let underWay = connections;
  let refused = 0;
  const asking = new Map();
  await withConnections(port, connections, (sockets, done) => {
    const send = (socket) => {
      if (next >= to) return void (--underWay === 0 && done());
      asking.set(socket, devices[next++]);
      socket.write(connectOf(asking.get(socket)));
    };
    sockets.forEach(send);
    return (socket, allowed) => {
      if (allowed) return send(socket);
      refused += 1;
      setTimeout(() => socket.write(connectOf(asking.get(socket))), RETRY_MS);
    };
  });
  return { answers: to - from, refused, seconds: (performance.now() - started) / 1000 };
}

/** As many ACL questions as are answered, about the last `count` devices in turn. */
async function flood({ port, devices: count, connections, pipelining = 1, seconds }) {
  const recent = devices.slice(-count).map(aclOf);
  const started = performance.now();
  const end = started + seconds * 1000;
  let answers = 0;
  let sent = 0;
  let underWay = connections * pipelining;
  await withConnections(port, connections, (sockets, done) => {
    for (const socket of sockets) for (let i = 0; i < pipelining; i += 1) socket.write(recent[sent++ % count]);
    return (socket, allowed) => {
      if (!allowed) throw new Error('an ACL question was refused');
      answers += 1;
      if (performance.now() < end) socket.write(recent[sent++ % count]);
      else if (--underWay === 0) done();
    };
  });
  return { answers, seconds: (performance.now() - started) / 1000 };
}

/** `rate` ACL questions a second, one under way on each connection; times count from when a question was due. */
async function pace({ port, devices: count, connections, seconds, rate }) {
  const recent = devices.slice(-count).map(aclOf);
  const total = Math.floor(rate * seconds);
  const latencies = [];
  const due = new Map();
  let sent = 0;
  await withConnections(port, connections, (sockets, done) => {
    const free = [...sockets];
    const started = performance.now();
    const send = () => {
      const now = performance.now();
      while (sent < total && free.length > 0 && started + (sent * 1000) / rate <= now) {
        const socket = free.pop();
        due.set(socket, started + (sent * 1000) / rate);
        socket.write(recent[sent++ % count]);
      }
      if (sent < total) setImmediate(send);
    };
    setImmediate(send);
    return (socket, allowed) => {
      if (!allowed) throw new Error('an ACL question was refused');
      latencies.push(performance.now() - due.get(socket));
      free.push(socket);
      if (latencies.length === total) done();
    };
  });
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))];
  return { p50: at(0.5), p99: at(0.99), answers: total };
}

serve({
  prepare({ file, secret: given }) {
    secret = given;
    devices = readFileSync(file, 'utf8').trim().split('\n').map((line) => line.split(' '));
  },
  connectAll,
  flood,
  pace,
});
