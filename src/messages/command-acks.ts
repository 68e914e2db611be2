import { Injectable } from '@nestjs/common';
import type { AuditEventType } from '../audit/audit-event.js';
import { AuditService } from '../audit/audit.service.js';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { Transactions } from '../platform/database/transactions.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import type { JsonObject } from './canonical-json.js';
import { OPEN_STATES } from './command.js';
import { CommandsRepository } from './commands.repository.js';

const MAX_ERROR = 500;

/** What devices answer to commands, once each: whatever comes again finds the command ended. */
@Injectable()
export class CommandAcks {
  constructor(
    private readonly clock: Clock,
    private readonly transactions: Transactions,
    private readonly commands: CommandsRepository,
    private readonly audit: AuditService,
  ) {}

  /** @param content of a verified `ack` message */
  async record({ id: deviceId, tenantId }: Facts, content: JsonObject): Promise<void> {
    const { cmdId, status, error } = content;
    if (typeof cmdId !== 'string' || !isCanonicalUuid(cmdId)) return;
    const to = status === 'ACKED' ? 'ACKED' : 'FAILED';
    // U+0000 is no text for Postgres.
    const said = typeof error === 'string' ? error.replaceAll('\u0000', '').slice(0, MAX_ERROR) : null;
    await this.transactions.run({ tenantId }, async (tx) => {
      const command = await this.commands.lock(tx, deviceId, cmdId);
      if (command === null || !OPEN_STATES.includes(command.status)) return;
      await this.commands.change(tx, cmdId, to, new Date(this.clock.now()), said);
      const record = (type: AuditEventType) => this.audit.record(tx, {
        type,
        tenantId,
        deviceId,
        actor: { kind: 'device', id: deviceId },
        details: { commandId: cmdId, type: command.type, ...(type === 'COMMAND_FAILED' ? { error: said } : {}) },
      });
      // The answer was faster than the note that the command was sent.
      if (command.status === 'PENDING') await record('COMMAND_SENT');
      await record(to === 'ACKED' ? 'COMMAND_ACKED' : 'COMMAND_FAILED');
    });
  }
}
