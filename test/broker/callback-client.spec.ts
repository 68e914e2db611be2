import { CallbackClient } from '../../src/embedded/callback-client.js';
import { ScriptedCallbacks } from '../fakes/scripted-callbacks.js';

describe('the callback client', () => {
  let callbacks: ScriptedCallbacks;
  let client: CallbackClient;
  let warnings: [object, string][];

  beforeEach(async () => {
    callbacks = await ScriptedCallbacks.start();
    warnings = [];
    const nothing = (): void => undefined;
    const warn = (fields: object, message: string): void => void warnings.push([fields, message]);
    const logger = { debug: nothing, info: nothing, warn, error: nothing };
    client = new CallbackClient({ url: callbacks.url, secret: 'its-secret', timeoutMs: 200, logger });
  });

  afterEach(async () => {
    client.close();
    await callbacks.stop();
  });

  it('asks again when a kept connection ends in the moment of the question', async () => {
    expect(await client.ask('mqtt-acl', { n: '1' })).toEqual({ ok: true, body: { result: 'deny' } });
    let dropped = 0;
    callbacks.onAcl = () => ((dropped += 1) === 1 ? 'drop' : { json: { result: 'allow' } });
    expect(await client.ask('mqtt-acl', { n: '2' })).toEqual({ ok: true, body: { result: 'allow' } });
    expect(callbacks.of('mqtt-acl')).toEqual([{ n: '1' }, { n: '2' }, { n: '2' }]);
  });

  it('gives up on a server that ends every connection, and on one that never answers', async () => {
    callbacks.onAcl = () => 'drop';
    expect(await client.ask('mqtt-acl', {})).toMatchObject({ ok: false });
    callbacks.onAcl = () => 'hang';
    expect(await client.ask('mqtt-acl', {})).toEqual({ ok: false, why: 'no answer in time' });
  });

  it('counts waiting for a free connection towards the time limit', async () => {
    callbacks.onAcl = () => 'hang';
    const asked = Array.from({ length: 40 }, () => client.ask('mqtt-acl', {}));
    while (callbacks.questions.length < 32) await new Promise(setImmediate);
    expect(callbacks.connections).toBe(32);
    const answers = await Promise.all(asked);
    expect(answers.every((answer) => !answer.ok && answer.why === 'no answer in time')).toBe(true);
  });

  it('refuses an answer without end', async () => {
    callbacks.onAcl = () => ({ text: `{"result":"allow","x":"${'x'.repeat(2 * 1024 * 1024)}"}` });
    expect(await client.ask('mqtt-acl', {})).toEqual({ ok: false, why: 'answer too large' });
  });

  it('logs each kind of failure once a minute, with a hint at the secret, and never the question', async () => {
    callbacks.onAuth = () => ({ status: 404, text: '' });
    for (let i = 0; i < 5; i += 1) await client.ask('mqtt-auth', { password: 'pcs_hidden' });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]?.[1]).toContain('MQTT_INTERNAL_AUTH_SECRET');
    expect(JSON.stringify(warnings)).not.toMatch(/pcs_hidden|its-secret/);
  });

  it('answers open questions as failures when it is closed', async () => {
    callbacks.onAcl = () => 'hang';
    const open = client.ask('mqtt-acl', {});
    while (callbacks.questions.length === 0) await new Promise(setImmediate);
    client.close();
    expect(await open).toMatchObject({ ok: false });
    expect(await client.ask('mqtt-acl', {})).toMatchObject({ ok: false });
  });

  it('speaks plain http only', () => {
    const { url } = callbacks;
    const nothing = (): void => undefined;
    const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
    const options = { url: url.replace('http:', 'https:'), secret: 's', timeoutMs: 1, logger };
    expect(() => new CallbackClient(options)).toThrow('plain http');
  });
});
