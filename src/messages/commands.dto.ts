import { EnumField, IntegerField, JsonField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import type { Page } from '../platform/http/paging.js';
import type { JsonObject } from './canonical-json.js';
import { COMMAND_STATES, MAX_TTL_SECONDS, type CommandRecord, type CommandStatus } from './command.js';

export class CreateCommandRequest {
  @TextField({ min: 1, max: 64, description: 'What the device is to do; its meaning is between you and your devices.', example: 'reboot' })
  type!: string;

  @JsonField({ optional: true, description: 'Free members; `{}` when left out. The signed message holds 8192 bytes at most.' })
  payload?: Record<string, unknown>;

  @IntegerField({ optional: true, min: 1, max: MAX_TTL_SECONDS, description: 'Seconds until it expires unanswered; 3600 when left out.' })
  ttl?: number;
}

export class CommandAnswer {
  @UuidField()
  id!: string;

  @UuidField()
  deviceId!: string;

  @TextField({ max: 64 })
  type!: string;

  @JsonField()
  payload!: JsonObject;

  @EnumField(COMMAND_STATES)
  status!: CommandStatus;

  @TextField({ max: 500, nullable: true, description: 'What the device said of its failure.' })
  error!: string | null;

  @IntegerField({ min: 0, max: 2_147_483_647, description: 'How often it was published.' })
  attempts!: number;

  @TimeField()
  createdAt!: string;

  @TimeField()
  expiresAt!: string;

  @TimeField({ nullable: true })
  sentAt!: string | null;

  @TimeField({ nullable: true })
  endedAt!: string | null;
}

export class CommandPage {
  @ObjectField(() => CommandAnswer, { list: true })
  items!: CommandAnswer[];

  @TextField({ max: 512, nullable: true })
  nextCursor!: string | null;
}

export function showCommand(command: CommandRecord): CommandAnswer {
  const { id, deviceId, type, payload, status, error, attempts } = command;
  return {
    id, deviceId, type, payload, status, error, attempts,
    createdAt: command.createdAt.toISOString(),
    expiresAt: command.expiresAt.toISOString(),
    sentAt: command.sentAt?.toISOString() ?? null,
    endedAt: command.endedAt?.toISOString() ?? null,
  };
}

export function showCommands({ items, nextCursor }: Page<CommandRecord>): CommandPage {
  return { items: items.map(showCommand), nextCursor };
}
