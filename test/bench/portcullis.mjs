/** The application under load: the real one, from `dist`, with a registry of devices made over its own REST interface. */
import { writeFileSync } from 'node:fs';
import { AuditStream } from '../../dist/audit/audit.stream.js';
import { deviceClaims } from '../../dist/credentials/token-claims.js';
import { signToken } from '../../dist/credentials/device-token.js';
import { SigningKeysService } from '../../dist/credentials/signing-keys.service.js';
import { DevicesGate } from '../../dist/devices/devices.gate.js';
import { Transactions } from '../../dist/platform/database/transactions.js';
import { startRuntime } from '../../dist/runtime.js';
import { serve } from './child.mjs';

const PASSWORD = 'correct horse battery staple';
const EMAIL = 'bench@example.test';

let runtime;

/** Registers devices and tells the load generator, by `file`, who they are and what proves them. */
async function register({ file, count, freshTokens }) {
  const { app, config, addresses } = runtime;
  const api = (path, type, headers, body) => fetch(`${addresses.rest}/api/v1${path}`, {
    method: 'POST',
    headers: { 'content-type': type, ...headers },
    body,
  });
  const login = await api('/auth/login', 'application/json', {}, JSON.stringify({ email: EMAIL, password: PASSWORD }));
  if (!login.ok) throw new Error(`login: ${login.status} ${await login.text()}`);
  const { access_token: bearer } = await login.json();
  const lines = Array.from({ length: count }, (_, index) => JSON.stringify({ slug: `bench-${index}` })).join('\n');
  const answer = await api('/devices/bulk', 'application/x-ndjson', { authorization: `Bearer ${bearer}` }, lines);
  if (!answer.ok) throw new Error(`registration: ${answer.status} ${await answer.text()}`);
  const devices = (await answer.text()).trim().split('\n').map((line) => {
    const { status, device } = JSON.parse(line);
    if (status !== 201) throw new Error(`registration: ${line}`);
    return { id: device.id, secret: device.client_secret, token: device.access_token };
  });
  const gate = app.get(DevicesGate);
  const facts = await Promise.all(devices.map(async ({ id }) => (await gate.facts('device', id)).facts));
  const fresh = await signTokens(facts, freshTokens);
  const withVersions = devices.map((device, index) => ({ ...device, version: facts[index].version }));
  const { secrets } = config.internal;
  writeFileSync(file, JSON.stringify({ secret: secrets[0], devices: withVersions, fresh }), { mode: 0o600 });
}

/** Genuine tokens that nobody has seen yet, signed as the service signs them but without a row each. */
async function signTokens(facts, count) {
  const { app, config } = runtime;
  const tenantId = facts[0].tenantId;
  const key = await app.get(Transactions).run({ tenantId }, (tx) => app.get(SigningKeysService).signer(tx));
  const iat = Math.floor(Date.now() / 1000);
  return Array.from({ length: count }, (_, index) => {
    const subject = facts[index % facts.length];
    const jti = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
    const { publicUrl: issuer } = config.http;
    const claims = deviceClaims({ facts: subject, issuer, jti, iat, ttlSeconds: 3_600, profiles: config.deviceTokens.profiles });
    return { id: subject.id, token: signToken(claims, key) };
  });
}

serve({
  /** Starts the application as `npm start` does, on the given ports and database. */
  async open({ env }) {
    runtime = await startRuntime({ ADMIN_EMAIL: EMAIL, ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', ...env }, (error) => {
      throw error;
    });
    return { port: runtime.addresses.internal };
  },
  register,
  /** What the security log took in since the start. */
  audit: () => runtime.app.get(AuditStream).stats,
}, () => runtime?.stop());
