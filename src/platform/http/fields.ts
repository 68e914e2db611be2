import { applyDecorators } from '@nestjs/common';
import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayUnique,
  IsArray,
  IsBoolean,
  IsEmail,
  IsIn,
  IsInt,
  IsISO8601,
  IsObject,
  IsOptional,
  IsString,
  IsUUID,
  Length,
  Matches,
  Max,
  Min,
  ValidateBy,
  ValidateIf,
  ValidateNested,
} from 'class-validator';

/*
 * One decorator a field: it validates requests and documents both directions in OpenAPI, so that the two cannot differ.
 */

interface FieldOptions {
  readonly optional?: boolean;
  /** The field may be null; in a request only if it is optional as well. */
  readonly nullable?: boolean;
  readonly description?: string;
  readonly example?: unknown;
}

function field(options: FieldOptions, api: ApiPropertyOptions, ...validators: PropertyDecorator[]): PropertyDecorator {
  const { optional = false, nullable = false, description, example } = options;
  return applyDecorators(
    ApiProperty({
      ...api,
      required: !optional,
      ...(nullable ? { nullable } : {}),
      ...(description === undefined ? {} : { description }),
      ...(example === undefined ? {} : { example }),
    } as ApiPropertyOptions),
    // "Left out" and null are two things: null passes only where it means something.
    ...(optional ? [nullable ? IsOptional() : ValidateIf((_, value) => value !== undefined)] : []),
    ...validators,
  );
}

/** C0 and C1 controls, and halves of surrogate pairs: nothing that we store or print may hold them. */
const CLEAN_TEXT = /^(?:[^\u0000-\u001f\u007f-\u009f\ud800-\udfff]|[\ud800-\udbff][\udc00-\udfff])*$/;

/** A line of text without control characters. Lengths count UTF-16 units. */
export function TextField(options: FieldOptions & { min?: number; max: number; pattern?: RegExp; patternHint?: string }): PropertyDecorator {
  const { min = 0, max, pattern, patternHint } = options;
  return field(
    options,
    { type: String, minLength: min, maxLength: max, ...(pattern ? { pattern: pattern.source } : {}) },
    IsString(),
    Length(min, max),
    Matches(CLEAN_TEXT, { message: '$property must not hold control characters' }),
    ...(pattern ? [Matches(pattern, { message: `$property must be ${patternHint ?? `like ${pattern.source}`}` })] : []),
  );
}

/** Text of any characters but NUL, such as a password. */
export function OpaqueField(options: FieldOptions & { min?: number; max: number }): PropertyDecorator {
  const { min = 0, max } = options;
  return field(
    options,
    { type: String, minLength: min, maxLength: max },
    IsString(),
    Length(min, max),
    Matches(/^[^\u0000]*$/, { message: '$property must not hold NUL' }),
  );
}

export function EmailField(options: FieldOptions = {}): PropertyDecorator {
  return field(options, { type: String, format: 'email', maxLength: 254 }, IsString(), Length(3, 254), IsEmail({ require_tld: false }));
}

export function UuidField(options: FieldOptions = {}): PropertyDecorator {
  return field(options, { type: String, format: 'uuid' }, IsString(), IsUUID());
}

export function EnumField<const T extends readonly [string, ...string[]]>(values: T, options: FieldOptions = {}): PropertyDecorator {
  return field(options, { type: String, enum: [...values] }, IsIn(values));
}

export function IntegerField(options: FieldOptions & { min: number; max: number }): PropertyDecorator {
  const { min, max } = options;
  return field(options, { type: 'integer', minimum: min, maximum: max }, IsInt(), Min(min), Max(max));
}

/** A whole number in a query string. */
export function QueryIntegerField(options: FieldOptions & { min: number; max: number }): PropertyDecorator {
  return applyDecorators(Type(() => Number), IntegerField(options));
}

export function BooleanField(options: FieldOptions = {}): PropertyDecorator {
  return field(options, { type: Boolean }, IsBoolean());
}

const DURATION = /^\d{1,9}[smhd]?$/;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A length of time: whole seconds, as a number or as text, or text with a unit (`90d`, `8760h`, `30m`, `45s`). */
export function LifetimeField(options: FieldOptions = {}): PropertyDecorator {
  return field(
    options,
    { oneOf: [{ type: 'integer', minimum: 0, maximum: 2_147_483_647 }, { type: 'string', pattern: DURATION.source }] },
    ValidateBy({
      name: 'isDuration',
      validator: {
        validate: (value: unknown) => (typeof value === 'string' ? DURATION.test(value) : Number.isSafeInteger(value) && (value as number) >= 0),
        defaultMessage: () => '$property must be seconds, or a number with s, m, h or d',
      },
    }),
  );
}

/** Milliseconds of what `LifetimeField` let through. */
export function lifetimeMs(value: string | number): number {
  if (typeof value === 'number') return value * 1_000;
  const unit = UNIT_MS[value.slice(-1)];
  return unit === undefined ? Number(value) * 1_000 : Number(value.slice(0, -1)) * unit;
}

/** ISO 8601 in UTC. */
export function TimeField(options: FieldOptions = {}): PropertyDecorator {
  return field(options, { type: String, format: 'date-time' }, IsISO8601({ strict: true }));
}

export function JsonField(options: FieldOptions = {}): PropertyDecorator {
  return field(options, { type: 'object', additionalProperties: true }, IsObject());
}

export function ListField<const T extends readonly [string, ...string[]]>(
  item: 'uuid' | 'text' | { enum: T },
  options: FieldOptions & { max: number; itemMax?: number },
): PropertyDecorator {
  const { max, itemMax = 256 } = options;
  const each = { each: true } as const;
  const validators = item === 'uuid' ? [IsUUID('all', each)]
    : item === 'text' ? [IsString(each), Length(1, itemMax, each), Matches(CLEAN_TEXT, each)]
      : [IsIn(item.enum, each)];
  const items = item === 'uuid' ? { type: 'string', format: 'uuid' } : item === 'text' ? { type: 'string' } : { type: 'string', enum: [...item.enum] };
  return field(options, { type: 'array', items, maxItems: max }, IsArray(), ArrayMaxSize(max), ArrayUnique(), ...validators);
}

export function IntegerListField(options: FieldOptions & { min: number; max: number; maxItems: number }): PropertyDecorator {
  const { min, max, maxItems } = options;
  return field(
    options,
    { type: 'array', items: { type: 'integer', minimum: min, maximum: max }, maxItems },
    IsArray(),
    ArrayMaxSize(maxItems),
    ArrayUnique(),
    IsInt({ each: true }),
    Min(min, { each: true }),
    Max(max, { each: true }),
  );
}

/** A nested object, or a list of them. */
export function ObjectField(type: () => new () => object, options: FieldOptions & { list?: boolean; max?: number } = {}): PropertyDecorator {
  const { list = false, max = 1000 } = options;
  return applyDecorators(
    field(
      options,
      // Swagger takes a function for a lazy type by its name.
      { type: () => type(), ...(list ? { isArray: true } : {}) },
      // An array in place of an object would pass class-validator unvalidated.
      ...(list ? [IsArray(), ArrayMaxSize(max), IsObject({ each: true })] : [IsObject()]),
      ValidateNested(list ? { each: true } : {}),
    ),
    Type(type),
  );
}
