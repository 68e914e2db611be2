import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ADMIN, request, type Answer, type RegisteredDevice, type Reply } from '../factories/app.js';
import type { TestDatabase } from '../factories/database.js';
import { until } from '../factories/until.js';
import { freePorts, ROOT, type Ports } from './installation.js';

const START_LIMIT_MS = 60_000;

/** The built application as a process of its own, on a database that outlives it; to be killed, stopped and started again. */
export class ServerProcess {
  readonly secret: string;
  private child: ChildProcess | undefined;
  private ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }> | undefined;
  private log = '';
  private token = '';

  private constructor(
    private readonly folder: string,
    readonly ports: Ports,
    private readonly env: Record<string, string>,
    private readonly keepChars: number,
  ) {
    this.secret = env['MQTT_INTERNAL_AUTH_SECRET'] ?? '';
  }

  /** @param keepChars how much of what it writes is kept, the newest */
  static async prepare(database: TestDatabase, env: Record<string, string> = {}, keepChars = 65_536): Promise<ServerProcess> {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-chaos-'));
    const ports = await freePorts();
    const secret = (): string => randomBytes(36).toString('base64url');
    return new ServerProcess(folder, ports, {
      PATH: process.env['PATH'] ?? '',
      HOME: process.env['HOME'] ?? '',
      PORTCULLIS_DATA_DIR: folder,
      PORT: String(ports.rest),
      INTERNAL_PORT: String(ports.internal),
      MQTT_PORT: String(ports.mqtt),
      MQTTS_PORT: String(ports.mtls),
      MQTTS_TOKEN_PORT: String(ports.tls),
      DATABASE_URL: database.url,
      DATABASE_ROLE_PREFIX: database.config.rolePrefix ?? '',
      JWT_SECRET: secret(),
      MQTT_INTERNAL_AUTH_SECRET: secret(),
      ADMIN_KEY: secret(),
      SECRETS_MASTER_KEYS: `test:${randomBytes(32).toString('base64')}`,
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      LOG_LEVEL: 'warn',
      ...env,
    }, keepChars);
  }

  /** Secrets of its environment, by variable. */
  get secrets(): Readonly<Record<string, string>> {
    const named = ['JWT_SECRET', 'MQTT_INTERNAL_AUTH_SECRET', 'ADMIN_KEY', 'SECRETS_MASTER_KEYS', 'ADMIN_PASSWORD'];
    return Object.fromEntries(named.map((name) => [name, (this.env[name] ?? '').replace(/^test:/, '')]));
  }

  /** What it wrote: the newest part. */
  get output(): string {
    return this.log;
  }

  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [path.join(ROOT, 'dist', 'main.js')], { cwd: this.folder, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    this.log = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (this.log = (this.log + String(text)).slice(-this.keepChars)));
    this.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
    await until('the start', async () => {
      if (!this.running) throw new Error(`it did not start: ${this.log}`);
      // The welcome is said when everything is open.
      return this.log.includes('Try:\n');
    }, START_LIMIT_MS);
  }

  /** SIGKILL: nothing is told, nothing is tidied up. */
  async kill(): Promise<void> {
    if (this.running) this.child?.kill('SIGKILL');
    await this.ended;
  }

  /** SIGTERM; answers how it ended. */
  async stop(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    if (!this.child || !this.ended) throw new Error('it was not started');
    this.child.kill('SIGTERM');
    return this.ended;
  }

  async remove(): Promise<void> {
    await this.kill();
    await fs.rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  async login(): Promise<void> {
    const attempt = (): Promise<Reply<{ access_token: string }>> =>
      request(`http://127.0.0.1:${this.ports.rest}/api/v1/auth/login`, 'POST', {}, ADMIN);
    // The client may still hold a connection to the process that was before.
    const { status, body } = await attempt().catch(attempt);
    if (status !== 200) throw new Error(`the admin cannot log in: ${status}`);
    this.token = body.access_token;
  }

  /** A REST call as the first admin. Rejects where the connection breaks. */
  call<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<Reply<T>> {
    return request<T>(`http://127.0.0.1:${this.ports.rest}/api/v1${path}`, method, { authorization: `Bearer ${this.token}` }, body);
  }

  async registerDevice(slug: string, more: Record<string, unknown> = {}): Promise<RegisteredDevice> {
    const { status, body } = await this.call<RegisteredDevice>('POST', '/devices', { slug, ...more });
    if (status !== 201) throw new Error(`registration failed: ${status} ${JSON.stringify(body)}`);
    return body;
  }

  ask(door: 'mqtt-auth' | 'mqtt-acl', question: Record<string, unknown>): Promise<Reply<Answer>> {
    return request<Answer>(`http://127.0.0.1:${this.ports.internal}/api/v1/internal/${door}`, 'POST', { 'x-internal-auth': this.secret }, question);
  }

  /** A number that the process tells of itself. */
  async metric(name: string): Promise<number> {
    const { body } = await request<string>(`http://127.0.0.1:${this.ports.internal}/metrics`, 'GET', {});
    return Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, 'm').exec(body)?.[1] ?? NaN);
  }
}
