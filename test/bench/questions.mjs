/** What EMQX sends, byte for byte: header names in lower case, JSON members in reverse order of the alphabet. */
import { readFileSync } from 'node:fs';

const AUTH = '/api/v1/internal/mqtt-auth';
const ACL = '/api/v1/internal/mqtt-acl';
const PEER = '127.0.0.1';

/**
 * Reads what `portcullis.mjs` left in `file` and prepares every request once.
 * @returns requests by kind of question
 */
export function prepareQuestions(file) {
  const { secret, devices, fresh } = JSON.parse(readFileSync(file, 'utf8'));
  const request = (path, members) => requestBytes(path, secret, JSON.stringify(members));
  const connect = (id, password, listener) => request(AUTH, {
    zone: 'default',
    username: id,
    peerhost: PEER,
    password,
    listener_kind: listener,
    clientid: id,
    cert_subject: '',
    cert_pem: '',
    cert_common_name: '',
  });
  return {
    acl: [
      ['publish', '2', 'telemetry'],
      ['subscribe', '1', 'commands'],
      ['publish', '2', 'events/door/opened'],
      ['publish', '2', 'status'],
    ].flatMap(([action, access, channel]) => devices.map(({ id, version }) => request(ACL, {
      ver: String(version),
      username: id,
      topic: `devices/${id}/${channel}`,
      status: 'ACTIVE',
      retain: 'false',
      qos: '1',
      peerhost: PEER,
      mountpoint: '',
      device: id,
      clientid: id,
      cert_common_name: '',
      action,
      access,
    }))),
    secret: devices.map((device) => connect(device.id, device.secret, 'plain')),
    token: devices.map((device) => connect(device.id, device.token, 'token')),
    fresh: fresh.map(({ id, token }) => connect(id, token, 'token')),
  };
}

function requestBytes(path, secret, body) {
  const head = [
    `POST ${path} HTTP/1.1`,
    `content-length: ${Buffer.byteLength(body)}`,
    `host: 127.0.0.1:3001`,
    'content-type: application/json',
    `x-internal-auth: ${secret}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`, 'utf8');
}
