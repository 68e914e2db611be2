/** The application with a guard that a request can pass by: one route with the guard's work and without it, in one process. */
import { AccessGuard } from '../../dist/auth/access.guard.js';
import { startRuntime } from '../../dist/runtime.js';
import { serve } from './child.mjs';

const PASSWORD = 'correct horse battery staple';
const EMAIL = 'bench@example.test';
const judge = AccessGuard.prototype.canActivate;
/** What the guard found out, by the name that the load generator gives it. */
const found = new Map();

let runtime;

AccessGuard.prototype.canActivate = async function passable(context) {
  const request = context.switchToHttp().getRequest();
  const known = found.get(request.headers['x-bench-known-as']);
  if (known !== undefined) {
    request.principal = known;
    return true;
  }
  const admitted = await judge.call(this, context);
  const name = request.headers['x-bench-remember-as'];
  if (name !== undefined) found.set(name, request.principal);
  return admitted;
};

async function api(method, path, headers, body) {
  const answer = await fetch(`${runtime.addresses.rest}/api/v1${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

serve({
  /** Starts the application, with a device and two credentials that may read it. */
  async open({ env }) {
    runtime = await startRuntime({ ADMIN_EMAIL: EMAIL, ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', ...env }, (error) => {
      throw error;
    });
    const { access_token: token } = await api('POST', '/auth/login', {}, { email: EMAIL, password: PASSWORD });
    const session = `Bearer ${token}`;
    const { id: deviceId } = await api('POST', '/devices', { authorization: session }, { slug: 'bench' });
    const scopes = ['devices.device.read', 'devices.device.explain'];
    const { secret } = await api('POST', '/pats', { authorization: session }, { name: 'bench', duration: '1h', scopes });
    const credentials = { session, pat: `Bearer ${secret}` };
    for (const [name, authorization] of Object.entries(credentials)) {
      await api('GET', `/devices/${deviceId}`, { authorization, 'x-bench-remember-as': name });
    }
    return { port: Number(new URL(runtime.addresses.rest).port), deviceId, credentials };
  },
}, () => runtime?.stop());
