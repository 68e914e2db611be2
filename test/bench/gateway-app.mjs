/** The application with its message gateway on a broker of its own, from `dist`; and devices with HMAC secrets, made over REST. */
import { startRuntime } from '../../dist/runtime.js';
import { MessageIntake } from '../../dist/messages/message-intake.js';
import { serve } from './child.mjs';

const EMAIL = 'bench@example.test';
const PASSWORD = 'correct horse battery staple';

let runtime;

serve({
  async open({ env }) {
    runtime = await startRuntime({ ADMIN_EMAIL: EMAIL, ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', ...env }, (error) => {
      throw error;
    });
  },
  async register({ count }) {
    const api = async (path, type, headers, body) => {
      const answer = await fetch(`${runtime.addresses.rest}/api/v1${path}`, { method: 'POST', headers: { 'content-type': type, ...headers }, body });
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      return answer;
    };
    const login = await api('/auth/login', 'application/json', {}, JSON.stringify({ email: EMAIL, password: PASSWORD }));
    const { access_token: bearer } = await login.json();
    const lines = Array.from({ length: count }, (_, index) => JSON.stringify({ slug: `bench-${index}`, credentials: ['hmac'] })).join('\n');
    const answer = await api('/devices/bulk', 'application/x-ndjson', { authorization: `Bearer ${bearer}` }, lines);
    return (await answer.text()).trim().split('\n').map((line) => {
      const { device } = JSON.parse(line);
      return { id: device.id, secret: device.hmac_secret };
    });
  },
  /** What became of the messages so far, by outcome. */
  async outcomes() {
    const { values } = await runtime.app.get(MessageIntake).outcomes.get();
    return Object.fromEntries(values.map(({ labels, value }) => [labels.outcome, value]));
  },
}, () => runtime?.stop());
