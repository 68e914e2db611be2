import net from 'node:net';
import { LifecycleService } from '../../src/lifecycle/lifecycle.service.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { mutate, plain, type Case, type Members } from '../factories/mutations.js';
import { RawConnection } from '../factories/raw-http.js';
import { referenceAllows, type KnownSubject } from '../fakes/reference-door.js';
import { Seeded } from '../fakes/seeded.js';

const LONG = process.env['PORTCULLIS_LONG'] === '1';
const CASES = LONG ? 100_000 : 10_000;
const SEED = Number(process.env['PORTCULLIS_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const BATCH = 64;
/** How long an unfinished request is left alone before its sender hangs up. */
const PATIENCE_MS = 60;

jest.setTimeout(LONG ? 600_000 : 120_000);

describe('mutated questions of the broker', () => {
  let app: TestApp;
  let subjects: KnownSubject[];
  let corpus: { door: 'auth' | 'acl'; members: Members }[];
  let pool: string[];
  let secret: string;

  beforeAll(async () => {
    app = await TestApp.start();
    secret = app.config.internal.secrets[0] ?? '';
    // Suspensions are tried elsewhere: here they would take away, one by one, whom to ask about.
    jest.spyOn(app.app.get(LifecycleService), 'suspendForFailures').mockResolvedValue();
    const [active, other, pending, quarantined, suspended] = [
      await app.registerDevice('active'), await app.registerDevice('other'), await app.registerDevice('pending', { status: 'PENDING' }),
      await app.registerDevice('quarantined'), await app.registerDevice('suspended'),
    ];
    await app.call('POST', `/devices/${quarantined.id}/quarantine`, { reason: 'fuzz' });
    await app.call('POST', `/devices/${suspended.id}/suspend`, { reason: 'fuzz' });
    const { body: service } = await app.call<{ id: string; client_secret: string }>('POST', '/service-accounts', { name: 'fuzz' });
    const known = (device: RegisteredDevice, publish: string[], subscribe: string[]): KnownSubject =>
      ({ name: device.id, standing: 'in', secrets: [device.client_secret], tokens: [device.access_token], publish, subscribe });
    const own = (device: RegisteredDevice): KnownSubject => known(device, device.mqtt.topics.publish, device.mqtt.topics.subscribe);
    const confined = (device: RegisteredDevice, to: string): KnownSubject => known(device, [`devices/${device.id}/${to}/up`], [`devices/${device.id}/${to}/down`]);
    subjects = [
      own(active), own(other), confined(pending, 'provision'), confined(quarantined, 'remediation'), { ...own(suspended), standing: 'out' },
      { name: `svc:${service.id}`, standing: 'in', secrets: [service.client_secret], tokens: [], publish: [], subscribe: [] },
    ];
    corpus = subjects.flatMap((subject) => questionsOf(subject));
    pool = corpus.flatMap(({ members }) => members.map(([, value]) => String(value)));
  });

  afterAll(() => app.stop());

  it('are all as they should be before they are mutated', async () => {
    const random = new Seeded(1);
    const cases = corpus.map(({ door, members }) => plain(door, members, secret, random));
    const answers = await exchange(cases);
    expect(answers.map(allowed)).toEqual(cases.map((one) => referenceAllows(subjects, one)));
    expect(answers.filter(allowed).length).toBeGreaterThan(15);
  });

  it(`are answered 200 allow or deny, 404, or not at all, and allowed only where plain rules allow it (${CASES} of them)`, async () => {
    process.stdout.write(`fuzz: PORTCULLIS_SEED=${SEED}\n`);
    const random = new Seeded(SEED);
    const wrong: object[] = [];
    const seen = { allow: 0, deny: 0, notFound: 0, closed: 0, narrower: 0 };
    for (let made = 0; made < CASES; made += BATCH * 8) {
      const batches = Array.from({ length: 8 }, () => Array.from({ length: Math.min(BATCH, CASES) }, () => {
        const { door, members } = random.pick(corpus);
        return mutate(door, members, random, pool, secret);
      }));
      await Promise.all(batches.map(async (batch) => {
        const framed = batch.filter((one) => one.framed);
        const answers = await exchange(framed);
        const odd = batch.filter((one) => !one.framed);
        const all = [...framed.map((one, i) => [one, answers[i] ?? 'nothing'] as const), ...(await Promise.all(odd.map(async (one) => [one, await alone(one)] as const)))];
        for (const [one, answer] of all) judge(one, answer, seen, wrong);
      }));
      if (wrong.length > 0) break;
    }
    process.stdout.write(`fuzz: ${JSON.stringify(seen)}\n`);
    expect(wrong.slice(0, 8)).toEqual([]);
    expect(seen.allow).toBeGreaterThan(CASES / 50);
    expect(seen.deny).toBeGreaterThan(CASES / 4);
  });

  it('leave the door as it was', async () => {
    const cases = corpus.map(({ door, members }) => plain(door, members, secret, new Seeded(1)));
    expect((await exchange(cases)).map(allowed)).toEqual(cases.map((one) => referenceAllows(subjects, one)));
  });

  function judge(one: Case, answer: string, seen: Record<'allow' | 'deny' | 'notFound' | 'closed' | 'narrower', number>, wrong: object[]): void {
    const model = one.broker && referenceAllows(subjects, one);
    const complain = (why: string): void => void wrong.push({ why, answer, what: one.what, door: one.door, contentType: one.contentType, wire: JSON.stringify(one.wire.toString('latin1').slice(0, 1_500)) });
    if (allowed(answer)) {
      seen.allow += 1;
      if (!model) complain('allowed against the rules');
    } else if (/^200 \{"result":"deny"(?:,"is_superuser":false)?\}$/.test(answer)) {
      seen.deny += 1;
      if (model && one.framed) {
        seen.narrower += 1;
        complain('refused against the rules');
      }
    } else if (answer === '404 ') {
      seen.notFound += 1;
      if (one.framed) complain('not found');
    } else if (answer === 'closed') {
      seen.closed += 1;
      if (one.framed) complain('closed');
    } else {
      complain('an answer that none should get');
    }
  }

  /** Whole requests, pipelined on one connection. */
  async function exchange(cases: readonly Case[]): Promise<string[]> {
    const connection = await RawConnection.open(app.internalPort);
    connection.write(Buffer.concat(cases.map(({ wire }) => wire)));
    const answers: string[] = [];
    while (answers.length < cases.length) {
      const answer = await connection.read();
      if (answer === null) {
        answers.push('closed');
        break;
      }
      answers.push(`${answer.status} ${answer.body}`);
    }
    connection.close();
    return answers;
  }

  /** A request that may be none, alone on its connection: the first answer, or that the door hung up. */
  function alone({ wire }: Case): Promise<string> {
    return new Promise((resolve) => {
      const socket = net.connect(app.internalPort, '127.0.0.1');
      let text = '';
      const hangUp = setTimeout(() => socket.end(), PATIENCE_MS);
      const give = setTimeout(() => settle('hung'), 10_000);
      const settle = (answer: string): void => {
        clearTimeout(hangUp);
        clearTimeout(give);
        socket.destroy();
        resolve(answer);
      };
      const first = (): string | null => {
        const finalText = text.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, '');
        const end = finalText.indexOf('\r\n\r\n');
        if (end === -1) return null;
        const length = Number(/content-length: *(\d+)/i.exec(finalText.slice(0, end))?.[1] ?? 0);
        const body = finalText.slice(end + 4, end + 4 + length);
        return body.length < length ? null : `${finalText.slice(9, 12)} ${body}`;
      };
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        const answer = first();
        if (answer !== null) settle(answer);
      });
      socket.on('error', () => undefined);
      socket.on('close', () => settle(first() ?? 'closed'));
      socket.write(wire);
    });
  }
});

function allowed(answer: string): boolean {
  return answer.startsWith('200 {"result":"allow"');
}

/** What a running EMQX asks about a client, member by member in its order. */
function questionsOf({ name, secrets, tokens, publish, subscribe }: KnownSubject): { door: 'auth' | 'acl'; members: Members }[] {
  const connect = (clientid: string, username: string, password: string, kind: string) => ({
    door: 'auth' as const,
    members: [
      ['zone', 'default'], ['username', username], ['peerhost', '127.0.0.1'], ['password', password], ['mixed', `u=${username};c=${clientid}`], ['listener', '${listener}'],
      ['listener_kind', kind], ['clientid', clientid], ['cert_subject', ''], ['cert_pem', ''], ['cert_common_name', ''], ['attr_tenant', ''],
    ] as Members,
  });
  const ask = (action: string, topic: string) => ({
    door: 'acl' as const,
    members: [
      ['ver', '1'], ['username', name], ['topic', topic], ['status', 'ACTIVE'], ['retain', 'false'], ['qos', '1'], ['proto_name', 'mqtt'], ['peerhost', '127.0.0.1'], ['mountpoint', ''],
      ['device', name], ['clientid', name], ['cert_subject', ''], ['cert_common_name', ''], ['attr_tenant', ''], ['action', action], ['access', action === 'publish' ? '2' : '1'],
    ] as Members,
  });
  const concrete = (rule: string): string => rule.replace(/#$/, 'x/y');
  return [
    ...secrets.map((password) => connect(name, name, password, 'plain')),
    ...tokens.flatMap((password) => [connect(name, name, password, 'token'), connect(`${name}:second`, '', password, 'token')]),
    ...publish.map((rule) => ask('publish', concrete(rule))),
    ...subscribe.map((rule) => ask('subscribe', rule)),
    ask('subscribe', '#'),
  ];
}
