import { EmqxControl } from '../../src/lifecycle/emqx-control.js';
import { FakeEmqx, type Mood } from '../fakes/fake-emqx.js';

const ID = '0f0e0d0c-0b0a-4908-8706-050403020100';

describe('EMQX’s management API', () => {
  let emqx: FakeEmqx;
  let control: EmqxControl;

  beforeEach(async () => {
    emqx = await FakeEmqx.start();
    control = new EmqxControl({ url: emqx.url, key: emqx.key, secret: emqx.secret, timeoutMs: 300 });
  });

  afterEach(() => emqx.stop());

  it('finds the sessions of a subject over all pages, and none that merely resembles it', async () => {
    emqx.pageLimit = 2;
    for (const id of [ID, `${ID}:a`, `${ID}:b`, `x${ID}`, `${ID}x`, `svc:${ID}`, `${ID}:c`]) emqx.clients.set(id, { ver: '7' });
    const found = await control.find(ID);
    expect(found.map(({ clientId }) => clientId).sort()).toEqual([ID, `${ID}:a`, `${ID}:b`, `${ID}:c`]);
    expect(found[0]?.factsVersion).toBe(7);
    emqx.clients.set(ID, {});
    expect((await control.find(ID)).find(({ clientId }) => clientId === ID)?.factsVersion).toBeNull();
  });

  it('takes for done what is done already', async () => {
    await control.kick(ID);
    await control.unban(ID);
    await control.resetCaches();
    emqx.nodeCaches = true;
    await control.resetCaches();
    expect(emqx.calls).toContain('POST /authentication/node_cache/reset');
  });

  it('renews a ban that exists', async () => {
    await control.ban(ID, 10, 'first');
    await control.ban(ID, 60, 'second');
    expect(Date.parse(emqx.bans.get(ID)?.until ?? '')).toBeGreaterThan(Date.now() + 30_000);
  });

  it('lists our own bans alone', async () => {
    await control.ban(`${ID}:a`, 10, 'ours');
    emqx.bans.set(ID, { as: 'clientid', who: ID, by: 'an operator', until: new Date(Date.now() + 60_000).toISOString() });
    expect(await control.bans(ID)).toEqual([`${ID}:a`]);
  });

  it('encodes a client id in the path', async () => {
    emqx.clients.set('svc:a/b?c#d', {});
    await control.kick('svc:a/b?c#d');
    expect(emqx.clients.size).toBe(0);
  });

  it.each<Mood>(['silent', 'failing', 'garbage', 'closed'])('when %s confirms nothing', async (mood) => {
    emqx.mood = mood;
    await expect(control.find(ID)).rejects.toThrow();
    if (mood === 'garbage') return;
    await expect(control.ban(ID, 10, 'x')).rejects.toThrow();
    await expect(control.kick(ID)).rejects.toThrow();
  });

  it('with a wrong key confirms nothing, and does not tell the secret', async () => {
    const wrong = new EmqxControl({ url: emqx.url, key: 'portcullis', secret: 'wrong-secret' });
    const error = await wrong.find(ID).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain('401');
    expect(String(error)).not.toContain('wrong-secret');
  });
});
