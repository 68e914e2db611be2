/** Whom a certificate names. */
export interface CertifiedIdentity {
  readonly kind: 'device' | 'service';
  readonly tenantId: string;
  readonly id: string;
}

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const URI = new RegExp(`^urn:portcullis:tenant:(${UUID}):(device|service):(${UUID})$`);

/** SAN URI of a client certificate. */
export function identityUri({ kind, tenantId, id }: CertifiedIdentity): string {
  return `urn:portcullis:tenant:${tenantId}:${kind}:${id}`;
}

/** Byte for byte; `null` for anything else. */
export function readIdentityUri(uri: string): CertifiedIdentity | null {
  const [, tenantId, kind, id] = URI.exec(uri) ?? [];
  if (tenantId === undefined || id === undefined) return null;
  return { kind: kind === 'service' ? 'service' : 'device', tenantId, id };
}

/** CN of a client certificate: what stands in the MQTT username. */
export function commonNameOf({ kind, id }: Pick<CertifiedIdentity, 'kind' | 'id'>): string {
  return kind === 'service' ? `svc:${id}` : id;
}
