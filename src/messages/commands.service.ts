import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';
import { actorOf, type AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { DeviceSecretsGate } from '../device-secrets/device-secrets.gate.js';
import { DevicesService } from '../devices/devices.service.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { DEFAULT_PAGE, decodeCursor, pageOf, type Page } from '../platform/http/paging.js';
import { canonicalize, parseIJson, type JsonObject } from './canonical-json.js';
import { commandBody, DEFAULT_TTL_SECONDS, OPEN_STATES, type CommandRecord } from './command.js';
import { CommandDispatcher } from './command-dispatcher.js';
import { CommandsRepository } from './commands.repository.js';
import { messagesError } from './messages.errors.js';
import { MAX_PAYLOAD_BYTES } from './signed-message.js';

export interface NewCommandRequest {
  readonly type: string;
  readonly payload?: Record<string, unknown>;
  /** Seconds. */
  readonly ttl?: number;
}

/** `ts`, `nonce` and `sig` with their names. */
const ENVELOPE_BYTES = 256;

/** Commands as people order, watch and cancel them. */
@Injectable()
export class CommandsService {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly devices: DevicesService,
    private readonly secrets: DeviceSecretsGate,
    private readonly commands: CommandsRepository,
    private readonly dispatcher: CommandDispatcher,
    private readonly audit: AuditService,
  ) {}

  /** @throws DEVICE_NOT_FOUND, COMMAND_DEVICE_STATE, COMMAND_UNSIGNABLE, COMMAND_INVALID */
  create(me: TenantPrincipal, deviceId: string, { type, payload = {}, ttl = DEFAULT_TTL_SECONDS }: NewCommandRequest): Promise<CommandRecord> {
    const id = randomUUID();
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      const device = await this.devices.get(tx, deviceId);
      if (device.status !== 'ACTIVE') throw messagesError('COMMAND_DEVICE_STATE', { detail: `The device is ${device.status}.` });
      if ((await this.secrets.signer(deviceId)) === null) throw messagesError('COMMAND_UNSIGNABLE');
      const now = this.clock.now();
      const command = {
        id, deviceId, type,
        payload: this.readPayload(id, type, payload),
        createdAt: new Date(now),
        expiresAt: new Date(now + ttl * 1000),
      };
      await this.commands.insert(tx, command, `${me.kind}:${me.id}`);
      await this.trace(tx, me, { id, deviceId, type }, 'COMMAND_CREATED', { ttl });
      tx.afterCommit(() => this.dispatcher.nudge());
      return this.get(tx, deviceId, id);
    });
  }

  /** @throws DEVICE_NOT_FOUND, COMMAND_NOT_FOUND */
  show(me: TenantPrincipal, deviceId: string, id: string): Promise<CommandRecord> {
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      await this.devices.get(tx, deviceId);
      return this.get(tx, deviceId, id);
    });
  }

  /** In the order of their creation. @throws DEVICE_NOT_FOUND, CURSOR_INVALID */
  async list(me: TenantPrincipal, deviceId: string, query: { limit?: number; cursor?: string }): Promise<Page<CommandRecord>> {
    const { limit = DEFAULT_PAGE, cursor } = query;
    const after = decodeCursor(cursor);
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      await this.devices.get(tx, deviceId);
      return pageOf(await this.commands.page(tx, deviceId, after, limit + 1), limit, ({ key }) => key, ({ command }) => command);
    });
  }

  /** A command that was sent may have been carried out all the same. @throws DEVICE_NOT_FOUND, COMMAND_NOT_FOUND, COMMAND_ENDED */
  cancel(me: TenantPrincipal, deviceId: string, id: string): Promise<CommandRecord> {
    return this.transactions.run({ tenantId: me.tenantId }, async (tx) => {
      await this.devices.get(tx, deviceId);
      const command = await this.commands.lock(tx, deviceId, id);
      if (command === null) throw messagesError('COMMAND_NOT_FOUND');
      if (!OPEN_STATES.includes(command.status)) throw messagesError('COMMAND_ENDED', { detail: `The command is ${command.status}.` });
      await this.commands.change(tx, id, 'CANCELLED', new Date(this.clock.now()));
      await this.trace(tx, me, command, 'COMMAND_CANCELLED', { was: command.status });
      return this.get(tx, deviceId, id);
    });
  }

  private async get(tx: Transaction, deviceId: string, id: string): Promise<CommandRecord> {
    const command = await this.commands.find(tx, deviceId, id);
    if (command === null) throw messagesError('COMMAND_NOT_FOUND');
    return command;
  }

  /** What could not be signed, stored or received is refused before anybody waits for it. */
  private readPayload(id: string, type: string, payload: Record<string, unknown>): JsonObject {
    const read = parseIJson(JSON.stringify(payload)) as JsonObject | undefined;
    if (read === undefined || JSON.stringify(read).includes('\\u0000')) throw messagesError('COMMAND_INVALID', { detail: 'The payload is no I-JSON.' });
    const size = Buffer.byteLength(canonicalize(commandBody({ id, type, payload: read })), 'utf8') + ENVELOPE_BYTES;
    if (size > MAX_PAYLOAD_BYTES) throw messagesError('COMMAND_INVALID', { detail: 'The payload is too large.' });
    return read;
  }

  private trace(
    tx: Transaction,
    me: TenantPrincipal,
    { id, deviceId, type }: Pick<CommandRecord, 'id' | 'deviceId' | 'type'>,
    event: AuditEventType,
    more: Record<string, unknown>,
  ): Promise<void> {
    return this.audit.record(tx, {
      type: event,
      tenantId: me.tenantId,
      deviceId,
      userId: me.kind === 'user' ? me.id : null,
      actor: actorOf(me),
      details: { commandId: id, type, ...more },
    });
  }
}
