import { LastUse } from '../../src/credentials/last-use.js';
import { CredentialsScene } from '../factories/credentials-scene.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';
import { until } from '../factories/until.js';
import { FlakyProxy } from '../fakes/flaky-proxy.js';

describe('a connection to Postgres that is lost in the middle of a transaction', () => {
  let database: TestDatabase;
  let postgres: FlakyProxy;
  let scene: CredentialsScene;

  beforeAll(async () => {
    database = await cloneDatabase();
    postgres = await FlakyProxy.before(database.url);
    scene = await CredentialsScene.open({ database: { ...database, url: postgres.route(database.url) } });
  });

  afterAll(async () => {
    postgres.heal();
    await scene.close();
    await postgres.close();
    await database.drop();
  });

  it('does not end the process when last uses are written, and they are written later', async () => {
    const lastUse = scene.module.get(LastUse);
    const device = await scene.device();
    const { credentialId } = await scene.secretOf(device);
    lastUse.note(credentialId, scene.tenantId, Date.now());
    postgres.hold();
    const flushed = lastUse.flush();
    await until('a statement is under way', () => postgres.holding > 0);
    postgres.cut();
    await flushed;
    postgres.heal();
    await lastUse.flush();
    const { rows } = await scene.pools.reader.query<{ used: boolean }>('SELECT last_used_at IS NOT NULL AS used FROM credentials WHERE id = $1', [credentialId]);
    expect(rows).toEqual([{ used: true }]);
  });
});
