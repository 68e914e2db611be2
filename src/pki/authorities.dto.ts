import { X509Certificate } from 'node:crypto';
import { BooleanField, EnumField, IntegerField, ObjectField, OpaqueField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import { AUTHORITY_STATES, authorityState, type AuthorityState } from './authority.js';
import type { RollOver } from './authorities.service.js';
import { MAX_AUTHORITY_LENGTH } from './authority-check.js';
import type { ListedAuthority, MadeRequest } from './authority-succession.service.js';
import { toPem } from './der.js';
import { KEY_TYPES, type KeyType } from './keys.js';

/* Requests */

export class AuthorityKeyRequest {
  @EnumField(KEY_TYPES, { optional: true, description: '`PKI_KEY_TYPE` when left out.' })
  keyType?: KeyType;
}

export class AuthorityCertificateRequest {
  @OpaqueField({ min: 1, max: MAX_AUTHORITY_LENGTH, description: 'One certificate in PEM.' })
  certificate!: string;
}

/* Answers */

export class AuthorityAnswer {
  @UuidField()
  id!: string;

  @EnumField(['root', 'issuing'])
  kind!: 'root' | 'issuing';

  @EnumField(AUTHORITY_STATES, { description: '`retired` issues nothing more and is trusted for what it issued; on `ended` nothing good rests any more.' })
  state!: AuthorityState;

  @TextField({ max: 512 })
  subject!: string;

  @TextField({ max: 64, description: 'Lower-case hex.' })
  serial!: string;

  @TextField({ max: 64, description: 'SHA-256 in lower-case hex.' })
  fingerprint!: string;

  @EnumField(KEY_TYPES)
  keyType!: KeyType;

  @BooleanField({ description: '`false`: a certificate without its key, which signs elsewhere.' })
  keyHere!: boolean;

  @TimeField()
  notBefore!: string;

  @TimeField()
  notAfter!: string;

  @TimeField({ nullable: true })
  retiredAt!: string | null;

  @TimeField({ nullable: true })
  endedAt!: string | null;

  @IntegerField({ min: 0, max: 2_147_483_647, nullable: true, description: 'Good certificates of clients that it issued; null of a root.' })
  remaining!: number | null;

  @TextField({ max: MAX_AUTHORITY_LENGTH, description: 'PEM.' })
  certificate!: string;
}

export class AuthorityList {
  @ObjectField(() => AuthorityAnswer, { list: true })
  items!: AuthorityAnswer[];
}

export class AuthorityRequestAnswer {
  @UuidField({ description: 'Id that the authority will have.' })
  id!: string;

  @EnumField(KEY_TYPES)
  keyType!: KeyType;

  @TextField({ max: MAX_AUTHORITY_LENGTH, description: 'PKCS #10 in PEM.' })
  csr!: string;
}

export class RollOverAnswer {
  @UuidField({ description: 'The authority that issues from now on.' })
  current!: string;

  @UuidField({ nullable: true, description: 'The one that it replaced; null: the tenant had none.' })
  previous!: string | null;

  @IntegerField({ min: 0, max: 2_147_483_647, description: 'Good certificates that still rest on the one before; `GET /authorities` counts on.' })
  remaining!: number;
}

export function showAuthority({ authority, remaining }: ListedAuthority): AuthorityAnswer {
  const { subject, fingerprint256 } = new X509Certificate(authority.certificate);
  return {
    id: authority.id,
    kind: authority.kind === 'root' ? 'root' : 'issuing',
    state: authorityState(authority),
    subject: subject.replaceAll('\n', ', '),
    serial: authority.serial,
    fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(),
    keyType: authority.keyType,
    keyHere: authority.keyHere,
    notBefore: authority.notBefore.toISOString(),
    notAfter: authority.notAfter.toISOString(),
    retiredAt: authority.retiredAt?.toISOString() ?? null,
    endedAt: authority.endedAt?.toISOString() ?? null,
    remaining,
    certificate: toPem('CERTIFICATE', authority.certificate),
  };
}

export function showRequest({ id, keyType, csr }: MadeRequest): AuthorityRequestAnswer {
  return { id, keyType, csr };
}

export function showRollOver({ current, previous, remaining }: RollOver): RollOverAnswer {
  return { current, previous, remaining };
}
