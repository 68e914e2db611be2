import { ValidationPipe, type ArgumentMetadata, type ValidationError } from '@nestjs/common';
import type { FieldError } from '../problem/app-error.js';
import { platformError } from '../problem/platform.errors.js';

/** No body of ours nests this deep; class-transformer copies by recursion and would run out of stack further down. */
const MAX_DEPTH = 64;

class BoundedValidationPipe extends ValidationPipe {
  override transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (nestsDeeperThan(MAX_DEPTH, value)) {
      throw platformError('VALIDATION_FAILED', { errors: [{ path: '', message: `nothing may nest deeper than ${MAX_DEPTH} levels` }] });
    }
    return super.transform(value, metadata);
  }
}

/** The global pipe: unknown fields are refused, nothing is coerced, and each complaint names its path. */
export function validationPipe(): ValidationPipe {
  return new BoundedValidationPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    stopAtFirstError: false,
    exceptionFactory: (errors) => platformError('VALIDATION_FAILED', { errors: flatten(errors) }),
  });
}

/** Nested complaints as one list with paths such as `rules.0.topic`. */
export function flatten(errors: readonly ValidationError[], prefix = ''): FieldError[] {
  return errors.flatMap((error) => {
    const path = prefix === '' ? error.property : `${prefix}.${error.property}`;
    const own = Object.values(error.constraints ?? {}).map((message) => ({ path, message }));
    return [...own, ...flatten(error.children ?? [], path)];
  });
}

/** Level by level, not by recursion. Only what JSON makes is looked into: a body may also be a stream. */
function nestsDeeperThan(limit: number, value: unknown): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > limit) return true;
    level = level.flatMap((item) => {
      if (Array.isArray(item)) return item as unknown[];
      const plain = typeof item === 'object' && item !== null && [Object.prototype, null].includes(Object.getPrototypeOf(item) as object | null);
      return plain ? (Object.values(item) as unknown[]) : [];
    });
  }
  return false;
}
