import { CREDENTIAL_KINDS, type CredentialKind } from '../devices/holdings.js';
import { EnumField, IntegerField, ObjectField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import type { Page } from '../platform/http/paging.js';
import { CREDENTIAL_STATES } from './credential.js';
import type { CredentialState, CredentialView } from './credential.js';
import type { IssuedToken } from './credentials.service.js';

/** The bounds that count are those of the service, which has an error code of its own for them. */
const TTL = {
  optional: true,
  min: 0,
  max: 2_147_483_647,
  description: 'Seconds, 60 to 86400; 3600 when left out.',
  example: 3600,
} as const;

/* Requests */

export class TokenRequest {
  @IntegerField(TTL)
  ttl?: number;
}

export class DeviceTokenRequest {
  @UuidField()
  deviceId!: string;

  @IntegerField(TTL)
  ttl?: number;
}

/* Answers */

export class TokenAnswer {
  @TextField({ max: 15_360, description: 'A JWT. It is not shown again.' })
  access_token!: string;

  @EnumField(['bearer'])
  token_type!: 'bearer';

  @IntegerField({ min: 60, max: 86_400, description: 'Seconds.' })
  expires_in!: number;
}

export class CredentialAnswer {
  @UuidField()
  id!: string;

  @EnumField(CREDENTIAL_KINDS)
  kind!: CredentialKind;

  @EnumField(CREDENTIAL_STATES, { description: 'A superseded credential is still valid until `expiresAt`.' })
  state!: CredentialState;

  @TimeField()
  createdAt!: string;

  @TimeField()
  notBefore!: string;

  @TimeField({ nullable: true })
  expiresAt!: string | null;

  @UuidField({ nullable: true, description: 'The credential that it was got with.' })
  parentId!: string | null;

  @TimeField({ nullable: true, description: 'Written within seconds of the use.' })
  lastUsedAt!: string | null;
}

export class CredentialPage {
  @ObjectField(() => CredentialAnswer, { list: true })
  items!: CredentialAnswer[];

  @TextField({ max: 512, nullable: true })
  nextCursor!: string | null;
}

export class JsonWebKey {
  @EnumField(['EC'])
  kty!: 'EC';

  @EnumField(['P-256'])
  crv!: 'P-256';

  @TextField({ max: 43 })
  x!: string;

  @TextField({ max: 43 })
  y!: string;

  @TextField({ max: 43 })
  kid!: string;

  @EnumField(['ES256'])
  alg!: 'ES256';

  @EnumField(['sig'])
  use!: 'sig';
}

export class JsonWebKeySet {
  @ObjectField(() => JsonWebKey, { list: true })
  keys!: JsonWebKey[];
}

export function showToken({ access_token, token_type, expires_in }: IssuedToken): TokenAnswer {
  return { access_token, token_type, expires_in };
}

export function showPage({ items, nextCursor }: Page<CredentialView>): CredentialPage {
  return { items: items.map(showCredential), nextCursor };
}

function showCredential(view: CredentialView): CredentialAnswer {
  const { id, kind, state, parentId } = view;
  return {
    id,
    kind,
    state,
    createdAt: view.createdAt.toISOString(),
    notBefore: view.notBefore.toISOString(),
    expiresAt: view.expiresAt?.toISOString() ?? null,
    parentId,
    lastUsedAt: view.lastUsedAt?.toISOString() ?? null,
  };
}
