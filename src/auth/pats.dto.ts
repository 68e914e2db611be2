import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { ArrayMaxSize, IsArray, registerDecorator } from 'class-validator';
import { SCOPE_PERMISSIONS, scopeNameOf } from '../access/scope.js';
import { Clock } from '../platform/clock/clock.js';
import { DurationField, secondsOf } from '../platform/http/duration.js';
import { EnumField, IntegerField, ListField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import { PageQuery, type Page } from '../platform/http/paging.js';
import { MAX_PAT_SECONDS, MIN_IDLE_SECONDS, MIN_PAT_SECONDS, statusOf, type Pat, type PatStatus } from './pat.js';
import { dottedScope, showScope } from './pat-scope.js';
import type { IssuedPat, PatRequest } from './pats.service.js';
import { isNetwork } from './source-networks.js';

const NAMES = SCOPE_PERMISSIONS.map(scopeNameOf);
const SCOPE_OBJECT = {
  type: 'object' as const,
  required: ['entity_type', 'operation', 'entity_id'],
  additionalProperties: false,
  properties: {
    entity_type: { type: 'string' as const, enum: [...new Set(NAMES.map(({ entityType }) => entityType))] },
    operation: { type: 'string' as const, enum: [...new Set(NAMES.map(({ operation }) => operation))] },
    entity_id: { type: 'string' as const, description: 'The id that stands in the path, or `*`.' },
    optional_domain_id: { type: 'string' as const, description: 'Id or slug of the tenant of the session; no other.' },
  },
};

/** Scopes in either form; what each one means is judged by the service, which knows the tenant. */
function ScopesField(): PropertyDecorator {
  return applyDecorators(
    ApiProperty({
      type: 'array',
      maxItems: 200,
      description: 'Objects, or `service.resource.verb` with `:id` for one object; docs/permissions.md has the table.',
      items: { oneOf: [SCOPE_OBJECT, { type: 'string', example: 'devices.device.read' }] },
    }),
    IsArray(),
    ArrayMaxSize(200),
  );
}

/** A duration between two bounds, in seconds. */
function BoundedDuration(options: { min: number; max: number; optional?: boolean; description: string; example: string }): PropertyDecorator {
  const { min, max, ...shown } = options;
  const within: PropertyDecorator = (target, propertyName) => registerDecorator({
    name: 'withinBounds',
    target: target.constructor,
    propertyName: String(propertyName),
    validator: {
      validate: (value: unknown) => {
        if (typeof value !== 'string' || !/^[1-9]\d{0,8}[smhd]$/.test(value)) return options.optional === true && value === undefined;
        return secondsOf(value) >= min && secondsOf(value) <= max;
      },
      defaultMessage: () => `${String(propertyName)} must last between ${min} and ${max} seconds`,
    },
  });
  return applyDecorators(DurationField(shown), within);
}

const LIFE = { min: MIN_PAT_SECONDS, max: MAX_PAT_SECONDS } as const;

function NetworksField(): PropertyDecorator {
  const each: PropertyDecorator = (target, propertyName) => registerDecorator({
    name: 'isNetwork',
    target: target.constructor,
    propertyName: String(propertyName),
    options: { each: true },
    validator: {
      validate: (value: unknown) => typeof value === 'string' && isNetwork(value),
      defaultMessage: () => `each of ${String(propertyName)} must be a network such as 192.0.2.0/24`,
    },
  });
  return applyDecorators(
    ListField('text', { optional: true, max: 32, itemMax: 49, description: 'CIDRs from which it may be used; from anywhere when left out.' }),
    each,
  );
}

export class CreatePatRequest {
  @TextField({ min: 1, max: 100, example: 'nightly inventory' })
  name!: string;

  @TextField({ optional: true, max: 500 })
  description?: string;

  @BoundedDuration({ ...LIFE, description: 'How long it lives, 366 days at most.', example: '720h' })
  duration!: string;

  @ScopesField()
  scopes!: unknown[];

  @NetworksField()
  networks?: string[];

  @BoundedDuration({
    min: MIN_IDLE_SECONDS, max: MAX_PAT_SECONDS, optional: true, description: 'Ends when nobody uses it for this long.', example: '168h',
  })
  maxIdle?: string;
}

export class PatScopesRequest {
  @ScopesField()
  scopes!: unknown[];
}

export class ResetPatRequest {
  @BoundedDuration({ ...LIFE, optional: true, description: 'As long as before when left out.', example: '168h' })
  duration?: string;
}

export class StalePatsQuery extends PageQuery {
  @BoundedDuration({ ...LIFE, optional: true, description: 'Unused for this long; 720h when left out.', example: '720h' })
  unusedFor?: string;
}

export class PatScopeView {
  @EnumField(SCOPE_OBJECT.properties.entity_type.enum as [string, ...string[]])
  entity_type!: string;

  @EnumField(SCOPE_OBJECT.properties.operation.enum as [string, ...string[]])
  operation!: string;

  @TextField({ max: 36 })
  entity_id!: string;

  @UuidField()
  optional_domain_id!: string;
}

const STATUSES = ['ACTIVE', 'EXPIRED', 'IDLE', 'REVOKED'] as const;

export class PatView {
  @UuidField()
  id!: string;

  @UuidField()
  userId!: string;

  @TextField({ max: 100 })
  name!: string;

  @TextField({ max: 500 })
  description!: string;

  @EnumField(STATUSES)
  status!: PatStatus;

  @ObjectField(() => PatScopeView, { list: true, max: 200 })
  scopes!: PatScopeView[];

  @ListField('text', { max: 200, description: 'The scopes in their dotted form.' })
  permissions!: string[];

  @ListField('text', { max: 32 })
  networks!: string[];

  @IntegerField({ min: 1, max: MAX_PAT_SECONDS, nullable: true })
  maxIdleSeconds!: number | null;

  @TimeField()
  createdAt!: string;

  @TimeField({ description: 'When its present secret was made.' })
  issuedAt!: string;

  @TimeField()
  expiresAt!: string;

  @TimeField({ nullable: true })
  lastUsedAt!: string | null;

  @TextField({ max: 64, nullable: true })
  lastUsedIp!: string | null;
}

export class IssuedPatView extends PatView {
  @TextField({ max: 70, description: 'Shown this once.' })
  secret!: string;
}

export class PatPage {
  @ObjectField(() => PatView, { list: true })
  items!: PatView[];

  @TextField({ max: 512, nullable: true })
  nextCursor!: string | null;
}

export class PatsRevoked {
  @IntegerField({ min: 0, max: 1_000_000 })
  revoked!: number;
}

export function patRequest({ name, description, duration, scopes, networks, maxIdle }: CreatePatRequest): PatRequest {
  return {
    name,
    scopes,
    seconds: secondsOf(duration),
    ...(description === undefined ? {} : { description }),
    ...(networks === undefined ? {} : { networks }),
    ...(maxIdle === undefined ? {} : { maxIdleSeconds: secondsOf(maxIdle) }),
  };
}

export function showPat(pat: Pat, clock: Clock): PatView {
  return {
    id: pat.id,
    userId: pat.userId,
    name: pat.name,
    description: pat.description,
    status: statusOf(pat, clock.now()),
    scopes: pat.scopes.map((scope) => showScope(scope, pat.tenantId)),
    permissions: pat.scopes.map(dottedScope),
    networks: [...pat.networks],
    maxIdleSeconds: pat.maxIdleSeconds,
    createdAt: pat.createdAt.toISOString(),
    issuedAt: pat.issuedAt.toISOString(),
    expiresAt: pat.expiresAt.toISOString(),
    lastUsedAt: pat.lastUsedAt?.toISOString() ?? null,
    lastUsedIp: pat.lastUsedIp,
  };
}

export function showIssued({ pat, token }: IssuedPat, clock: Clock): IssuedPatView {
  return { ...showPat(pat, clock), secret: token };
}

export function showPats({ items, nextCursor }: Page<Pat>, clock: Clock): PatPage {
  return { items: items.map((pat) => showPat(pat, clock)), nextCursor };
}
