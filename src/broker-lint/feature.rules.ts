import type { Report } from './finding.js';
import { isObject, type HoconObject, type HoconValue } from './hocon.js';
import { bindsLoopback, bytesOf, listOf, switchOf, textOf, valueAt } from './reading.js';

const MAX_PACKET_BYTES = 16 * 1024;
const MAX_INFLIGHT = 20;
const MAX_QUEUE = 1_000;

/** Features of the broker that go past authentication and authorization, and what one client may use of it. */
export function judgeFeatures(config: HoconObject, complete: boolean, report: Report): void {
  const off = (path: string, usual: boolean, id: 'delayed' | 'exclusive-subscription' | 'flapping-detect') => {
    const value = valueAt(config, path);
    if (switchOf(value, usual) !== false) report(id, path, value, `${path} = false`);
  };
  off('delayed.enable', true, 'delayed');
  off('flapping_detect.enable', false, 'flapping-detect');
  off('mqtt.exclusive_subscription', false, 'exclusive-subscription');
  for (const zone of Object.keys(isObject(config['zones']) ? config['zones'] : {})) {
    off(`zones.${zone}.mqtt.exclusive_subscription`, false, 'exclusive-subscription');
    off(`zones.${zone}.flapping_detect.enable`, false, 'flapping-detect');
  }
  const topics = listOf(valueAt(config, 'auto_subscribe.topics'));
  if (topics.length > 0) report('auto-subscribe', 'auto_subscribe.topics', [...topics]);
  for (const [name, settings] of Object.entries(isObject(config['gateway']) ? config['gateway'] : {})) {
    if (isObject(settings) && switchOf(settings['enable'], true) !== false) report('gateway', `gateway.${name}.enable`, settings['enable'], `gateway.${name}.enable = false`);
  }
  judgeLimits(config, report);
  judgeDashboard(config, complete, report);
}

function judgeLimits(config: HoconObject, report: Report): void {
  const limit = (name: string, usual: number, most: number, read: (value: HoconValue | undefined) => number | null, write: string) => {
    const value = valueAt(config, `mqtt.${name}`);
    const amount = value === undefined ? usual : read(value);
    if (amount === null || amount > most) report('limits', `mqtt.${name}`, value, `mqtt.${name} = ${write}`);
  };
  const number = (value: HoconValue | undefined) => (typeof value === 'number' ? value : null);
  limit('max_packet_size', 2 ** 20, MAX_PACKET_BYTES, bytesOf, '16KB');
  limit('max_inflight', 32, MAX_INFLIGHT, number, String(MAX_INFLIGHT));
  limit('max_mqueue_len', 1_000, MAX_QUEUE, number, String(MAX_QUEUE));
}

function judgeDashboard(config: HoconObject, complete: boolean, report: Report): void {
  const password = valueAt(config, 'dashboard.default_password');
  if (password === 'public') report('dashboard-password', 'dashboard.default_password', 'the default');
  // A running broker shows stars, never the password itself.
  else if (textOf(password) === '' && !complete) report('dashboard-password-unset', 'dashboard.default_password', undefined);
  const bind = valueAt(config, 'dashboard.listeners.http.bind');
  const port = valueAt(config, 'dashboard.listeners.http.enable');
  // Port 0 is how EMQX says "off".
  if (bind === 0 || bind === '0' || switchOf(port, true) === false) return;
  if (!bindsLoopback(bind ?? 18083)) report('dashboard-plain', 'dashboard.listeners.http.bind', bind ?? 18083);
}
