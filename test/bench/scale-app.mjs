/** The application with a large fleet: the real one, from `dist`; registers over its own REST interface and tells what memory it takes. */
import { appendFileSync } from 'node:fs';
import { startRuntime } from '../../dist/runtime.js';
import { serve } from './child.mjs';

const PASSWORD = 'correct horse battery staple';
const EMAIL = 'bench@example.test';

/** Shorter than a bearer lives. */
const BEARER_MS = 300_000;

let runtime;
let bearer;
let bearerUntil = 0;

/** Adds `count` devices and appends `id secret` lines to `file`. */
async function register({ file, from, count }) {
  const { addresses } = runtime;
  const api = (path, type, headers, body) => fetch(`${addresses.rest}/api/v1${path}`, { method: 'POST', headers: { 'content-type': type, ...headers }, body });
  if (performance.now() > bearerUntil) {
    const login = await api('/auth/login', 'application/json', {}, JSON.stringify({ email: EMAIL, password: PASSWORD }));
    bearer = (await login.json()).access_token;
    bearerUntil = performance.now() + BEARER_MS;
  }
  const lines = Array.from({ length: count }, (_, index) => `{"slug":"d-${from + index}","credentials":["secret"]}`).join('\n');
  const answer = await api('/devices/bulk', 'application/x-ndjson', { authorization: `Bearer ${bearer}` }, lines);
  const made = (await answer.text()).trim().split('\n').map((line) => JSON.parse(line));
  if (made.length !== count || made.some(({ status }) => status !== 201)) throw new Error(`registration: ${JSON.stringify(made.find(({ status }) => status !== 201))}`);
  appendFileSync(file, made.map(({ device }) => `${device.id} ${device.client_secret}\n`).join(''), { mode: 0o600 });
}

serve({
  async open({ env }) {
    runtime = await startRuntime({ ADMIN_EMAIL: EMAIL, ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', ...env }, (error) => {
      throw error;
    });
    return { port: runtime.addresses.internal, secret: runtime.config.internal.secrets[0] };
  },
  register,
  /** Bytes; `mostRss` since the start of the process. */
  memory: () => ({ ...process.memoryUsage(), mostRss: process.resourceUsage().maxRSS * 1024 }),
}, () => runtime?.stop());
