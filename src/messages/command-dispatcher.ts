import { randomBytes } from 'node:crypto';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { SYSTEM_ACTOR, type AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import { DeviceSecretsGate } from '../device-secrets/device-secrets.gate.js';
import { ConnectionsHub } from '../devices/connections.js';
import { DevicesGate } from '../devices/devices.gate.js';
import { BrokerControl } from '../lifecycle/broker-control.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { Transactions, type Transaction } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';
import { commandBody, retryAfter, type CommandRecord } from './command.js';
import { CommandsRepository, type DueCommand } from './commands.repository.js';
import { GatewayPublisher } from './gateway-publisher.js';
import { signMessage } from './signed-message.js';

const TICK_MS = 1_000;
const BATCH = 100;
/** A device that was let in subscribes first; before that a command would reach nobody. */
const SETTLE_MS = 1_000;
/** A device that is away is looked for again; its connect is heard of sooner, unless another instance's door let it in. */
const AWAY_MS = 15_000;

/**
 * Sends commands. A command is published to a device that is connected, again and again at growing intervals until it is answered
 * or its time is over; every time it is signed anew, and the device knows it by its `cmdId`.
 */
@Injectable()
export class CommandDispatcher implements OnModuleInit {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | null = null;
  private asked = false;
  private readonly arrived = new Set<string>();
  private arrivals: NodeJS.Timeout | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly commands: CommandsRepository,
    private readonly devices: DevicesGate,
    private readonly secrets: DeviceSecretsGate,
    private readonly broker: BrokerControl,
    private readonly publisher: GatewayPublisher,
    private readonly audit: AuditService,
    private readonly connections: ConnectionsHub,
  ) {}

  onModuleInit(): void {
    this.connections.register(({ kind, id }) => {
      if (kind === 'device' && this.timer !== undefined) this.expectNow(id);
    });
  }

  start(): void {
    this.timer = setInterval(() => this.nudge(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
    clearTimeout(this.arrivals);
    this.timer = undefined;
  }

  /** Looks at once for what is due, if this process sends commands at all. */
  nudge(): void {
    if (this.timer === undefined) return;
    this.asked = true;
    this.running ??= this.work().finally(() => (this.running = null));
  }

  private async work(): Promise<void> {
    while (this.asked && this.timer !== undefined) {
      this.asked = false;
      try {
        for (const due of await this.commands.due(new Date(this.clock.now()), BATCH)) await this.deal(due);
      } catch (error) {
        logger.warn({ err: error }, 'due commands could not be looked for');
      }
    }
  }

  private async deal(due: DueCommand): Promise<void> {
    try {
      if (due.expired) await this.expire(due);
      else if (this.publisher.connected) await this.send(due);
    } catch (error) {
      logger.warn({ err: error, commandId: due.id }, 'a command could not be sent; it is tried again');
    }
  }

  private expire({ id, tenantId, deviceId }: DueCommand): Promise<void> {
    return this.transactions.run({ tenantId }, async (tx) => {
      const command = await this.commands.lock(tx, deviceId, id);
      const now = new Date(this.clock.now());
      if (command === null || command.endedAt !== null || command.expiresAt > now) return;
      await this.commands.change(tx, id, 'EXPIRED', now);
      await this.trace(tx, command, 'COMMAND_EXPIRED');
    });
  }

  private async send({ id, tenantId, deviceId }: DueCommand): Promise<void> {
    const now = this.clock.now();
    const scope = { tenantId };
    const { facts } = await this.devices.facts('device', deviceId);
    const ready = facts?.status === 'ACTIVE' && facts.tenantStatus === 'ACTIVE' && (await this.isConnected(deviceId));
    const secret = ready ? await this.secrets.signer(deviceId) : null;
    if (secret === null) {
      await this.transactions.run(scope, (tx) => this.commands.postpone(tx, id, new Date(now + AWAY_MS)));
      return;
    }
    const command = await this.transactions.run(scope, async (tx) => {
      const taken = await this.commands.takeTurn(tx, id, new Date(now), new Date(now + retryAfter(1)));
      if (taken !== null && taken.attempts > 1) await this.commands.postpone(tx, id, new Date(now + retryAfter(taken.attempts)));
      return taken;
    });
    if (command === null) return;
    const topic = `${this.config.mqtt.topicPrefix}/${deviceId}/commands`;
    const nonce = randomBytes(16).toString('base64url');
    await this.publisher.publish(topic, Buffer.from(signMessage(secret.key, topic, commandBody(command), this.clock.now(), nonce), 'utf8'));
    if (command.status !== 'PENDING') return;
    await this.transactions.run(scope, async (tx) => {
      const sent = await this.commands.lock(tx, deviceId, id);
      if (sent?.status !== 'PENDING') return;
      await this.commands.change(tx, id, 'SENT', new Date(this.clock.now()));
      await this.trace(tx, sent, 'COMMAND_SENT');
    });
  }

  /** Where the broker cannot tell, it is tried: what nobody hears is sent again. */
  private async isConnected(deviceId: string): Promise<boolean> {
    if (this.broker.kind === 'none') return true;
    return this.broker.find(deviceId).then((sessions) => sessions.length > 0, () => true);
  }

  private expectNow(deviceId: string): void {
    this.arrived.add(deviceId);
    this.arrivals ??= setTimeout(() => {
      this.arrivals = undefined;
      const ids = [...this.arrived];
      this.arrived.clear();
      this.hasten(ids).catch((error: unknown) => logger.warn({ err: error }, 'commands of devices that came back wait for their next turn'));
    }, SETTLE_MS).unref();
  }

  private async hasten(deviceIds: readonly string[]): Promise<void> {
    const byTenant = new Map<string, string[]>();
    for (const { tenantId, deviceId } of await this.commands.waiting(deviceIds)) {
      byTenant.set(tenantId, [...(byTenant.get(tenantId) ?? []), deviceId]);
    }
    for (const [tenantId, ids] of byTenant) {
      await this.transactions.run({ tenantId }, (tx) => this.commands.hasten(tx, ids, new Date(this.clock.now())));
    }
    if (byTenant.size > 0) this.nudge();
  }

  private trace(tx: Transaction, { id, tenantId, deviceId, type, attempts }: CommandRecord, event: AuditEventType): Promise<void> {
    return this.audit.record(tx, { type: event, tenantId, deviceId, actor: SYSTEM_ACTOR, details: { commandId: id, type, attempts } });
  }
}
