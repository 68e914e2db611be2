import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { ValidateBy } from 'class-validator';
import { BooleanField, EnumField, JsonField, TextField, UuidField } from '../platform/http/fields.js';
import type { JsonObject } from './canonical-json.js';
import { MESSAGE_REASONS, type MessageReason } from './message.decision.js';
import type { Verification } from './verification.service.js';

const REASONS = Object.keys(MESSAGE_REASONS) as [MessageReason, ...MessageReason[]];

/** The payload as it was sent: its text, or the object that the text says. */
function PayloadField(): PropertyDecorator {
  return applyDecorators(
    ApiProperty({
      oneOf: [{ type: 'string' }, { type: 'object', additionalProperties: true }],
      description: 'The payload: its text as sent, or the JSON object. Only the text shows names that stand twice.',
    }),
    ValidateBy({
      name: 'isPayload',
      validator: {
        validate: (value: unknown) => typeof value === 'string' || (typeof value === 'object' && value !== null && !Array.isArray(value)),
        defaultMessage: () => 'message must be text or an object',
      },
    }),
  );
}

export class VerifyMessageRequest {
  @TextField({ min: 1, max: 65_535, description: 'The topic that the message was published to.', example: 'devices/{id}/telemetry' })
  topic!: string;

  @PayloadField()
  message!: string | Record<string, unknown>;
}

export class VerifyMessageAnswer {
  @BooleanField()
  verified!: boolean;

  @EnumField(REASONS, { optional: true, description: 'Why not.' })
  reason?: MessageReason;

  @UuidField({ nullable: true })
  deviceId!: string | null;

  @TextField({ max: 65_535, nullable: true, example: 'telemetry' })
  channel!: string | null;

  @JsonField({ optional: true, description: 'The message without `ts`, `nonce` and `sig`, once verified.' })
  body?: JsonObject;
}

export function showVerification(verification: Verification): VerifyMessageAnswer {
  return verification;
}
