import { finding, type Finding } from './finding.js';
import { emptyObject, isObject, type HoconObject, type HoconValue } from './hocon.js';
import { lint, lintText } from './lint.js';

export interface EmqxAccess {
  /** Origin of the management API. */
  readonly url: string;
  readonly key: string;
  readonly secret: string;
}

const TIMEOUT_MS = 5_000;
const MAX_BYTES = 4 * 1024 * 1024;
/** Without these an answer is a part only, and what is missing must not be taken for EMQX's default. */
const NEEDED = ['listeners', 'authentication', 'authorization', 'mqtt'];

/**
 * Reads and judges the configuration of a running EMQX: `GET /api/v5/configs`. As `text/plain` it answers the whole, defaults filled
 * in and secrets starred (5.2 and later); as JSON only some roots, as all versions before do. Total: what fails is the finding `unread`.
 */
export async function lintRunning(emqx: EmqxAccess): Promise<Finding[]> {
  try {
    return await judge(emqx);
  } catch (error) {
    // The message of a failed fetch names the address, never the key.
    return [finding('unread', '', error instanceof Error ? error.message.slice(0, 120) : 'no answer')];
  }
}

async function judge({ url, key, secret }: EmqxAccess): Promise<Finding[]> {
  const response = await fetch(`${url.replace(/\/+$/, '')}/api/v5/configs`, {
    headers: { authorization: `Basic ${Buffer.from(`${key}:${secret}`).toString('base64')}`, accept: 'text/plain, application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const text = await bounded(response);
  if (!response.ok) return [finding('unread', '', `EMQX answered ${response.status} to GET /configs`)];
  const type = response.headers.get('content-type') ?? '';
  if (type.startsWith('application/json')) return judgeJson(text);
  if (!type.startsWith('text/plain')) return [finding('unread', '', `EMQX answered ${type.slice(0, 40) || 'no content type'}`)];
  return lintText(text, true);
}

function judgeJson(text: string): Finding[] {
  const config = withoutPrototype(JSON.parse(text) as HoconValue, 0);
  const missing = isObject(config) ? NEEDED.filter((root) => config[root] === undefined) : NEEDED;
  if (!isObject(config) || missing.length > 0) return [finding('unread', '', `the answer has no ${missing.join(', ')}`)];
  return lint(config, true);
}

/** As the reader of HOCON makes them, so that a member named `__proto__` is a member. */
function withoutPrototype(value: HoconValue, depth: number): HoconValue {
  if (depth > 64) throw new Error('nested too deep');
  if (Array.isArray(value)) return value.map((element) => withoutPrototype(element, depth + 1));
  if (!isObject(value)) return value;
  const object: HoconObject = emptyObject();
  for (const [key, member] of Object.entries(value)) object[key] = withoutPrototype(member, depth + 1);
  return object;
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new Error(`the answer is longer than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
