import { SLUG_HINT, SLUG_PATTERN } from '../devices/device.js';
import { DeviceView } from '../devices/device.view.js';
import {
  BooleanField,
  EnumField,
  IntegerField,
  JsonField,
  ListField,
  ObjectField,
  TextField,
  TimeField,
  UuidField,
} from '../platform/http/fields.js';
import { IssuedCertificateAnswer } from './issued-certificate.dto.js';

export const CREDENTIAL_KINDS = ['secret', 'token', 'hmac', 'certificate'] as const;
export type RequestedKind = (typeof CREDENTIAL_KINDS)[number];

export class RegisterDeviceRequest {
  @TextField({ min: 1, max: 63, pattern: SLUG_PATTERN, patternHint: SLUG_HINT, example: 'pump-17' })
  slug!: string;

  @TextField({ optional: true, max: 200 })
  name?: string;

  @EnumField(['ACTIVE', 'PENDING'], { optional: true, description: 'ACTIVE when left out.' })
  status?: 'ACTIVE' | 'PENDING';

  @ListField('uuid', { optional: true, max: 50, description: 'Ids of groups.' })
  groups?: string[];

  @JsonField({ optional: true, description: 'Free members, 16 KiB at most.' })
  metadata?: Record<string, unknown>;

  @ListField({ enum: CREDENTIAL_KINDS }, { optional: true, max: 4, description: 'What to issue at once; `secret` and `token` when left out.' })
  credentials?: RequestedKind[];

  @BooleanField({ optional: true, description: 'The device has no clock: its messages may bear a challenge in place of the time.' })
  clockless?: boolean;
}

export class ReasonRequest {
  @TextField({ min: 1, max: 500, description: 'Stands in the audit log and with the device.' })
  reason!: string;
}

export class ReasonQuery {
  @TextField({ optional: true, min: 1, max: 500 })
  reason?: string;
}

export class ConnectPorts {
  @IntegerField({ optional: true, min: 1, max: 65_535, description: 'Plain MQTT of the embedded broker, loopback only.' })
  mqtt?: number;

  @IntegerField({ optional: true, min: 1, max: 65_535, description: 'TLS with client certificate.' })
  mtls?: number;

  @IntegerField({ optional: true, min: 1, max: 65_535, description: 'TLS with token or secret.' })
  tls?: number;

  @IntegerField({ optional: true, min: 1, max: 65_535, description: 'Secure WebSocket with token or secret.' })
  wss?: number;
}

export class ConnectTopics {
  @ListField('text', { max: 1000 })
  publish!: string[];

  @ListField('text', { max: 1000 })
  subscribe!: string[];
}

export class ConnectHints {
  @TextField({ max: 255 })
  host!: string;

  @ObjectField(() => ConnectPorts)
  ports!: ConnectPorts;

  @TextField({ max: 73 })
  clientId!: string;

  @TextField({ max: 40 })
  username!: string;

  @ObjectField(() => ConnectTopics)
  topics!: ConnectTopics;
}

/** All that a person needs to connect, in one answer; the secrets are shown this once. */
export class RegisteredDevice extends DeviceView {
  @TextField({ optional: true, max: 64, description: 'Shown once.' })
  client_secret?: string;

  @TextField({ optional: true, max: 65_535, description: 'Device token (JWT), shown once.' })
  access_token?: string;

  @ObjectField(() => IssuedCertificateAnswer, { optional: true, description: 'With its private key, shown once.' })
  certificate?: IssuedCertificateAnswer;
  @TextField({ optional: true, max: 64, description: 'Key of signed messages, 64 hex digits. Shown once.' })
  hmac_secret?: string;

  @ObjectField(() => ConnectHints)
  mqtt!: ConnectHints;
}

export class EjectionStepView {
  @TextField({ max: 32 })
  step!: string;

  @IntegerField({ min: 0, max: 1e9, description: 'Milliseconds, with a decimal.' })
  ms!: number;
}

export class EjectionView {
  @BooleanField({ description: 'The broker was asked again afterwards and had no session left.' })
  confirmed!: boolean;

  @ObjectField(() => EjectionStepView, { list: true })
  steps!: EjectionStepView[];

  @IntegerField({ min: 0, max: 1e9 })
  totalMs!: number;

  @TimeField({ nullable: true, description: 'When a second look catches a connect that was under way.' })
  sweepAt!: string | null;
}

export class LifecycleAnswer extends DeviceView {
  @ObjectField(() => EjectionView)
  ejection!: EjectionView;
}

export class RotatedClientSecret {
  @TextField({ max: 64, description: 'Shown once.' })
  client_secret!: string;

  @TimeField({ nullable: true, description: 'Until when the one before still connects.' })
  previousValidUntil!: string | null;
}

export class RotatedHmacSecret {
  @TextField({ max: 64, description: 'Key of signed messages, 64 hex digits. Shown once.' })
  hmac_secret!: string;

  @TimeField({ nullable: true, description: 'Until when messages that the one before signed still verify.' })
  previousValidUntil!: string | null;
}

export class RevokedCredentials {
  @ListField('uuid', { max: 1000, description: 'The credential and what came from it.' })
  revoked!: string[];

  @ObjectField(() => EjectionView)
  ejection!: EjectionView;
}

export class CreateServiceAccountRequest {
  @TextField({ min: 1, max: 100 })
  name!: string;
}

export class ServiceAccountSecret {
  @UuidField()
  id!: string;

  @TextField({ max: 100 })
  name!: string;

  @TextField({ max: 40, description: 'MQTT username; the client id is this, or this and `:suffix`.' })
  username!: string;

  @EnumField(['ACTIVE', 'DISABLED'])
  status!: string;

  @TextField({ max: 64, description: 'Shown once.' })
  client_secret!: string;

  @TimeField({ nullable: true })
  previousValidUntil!: string | null;
}

export class ServiceAccountDisabled {
  @UuidField()
  id!: string;

  @EnumField(['ACTIVE', 'DISABLED'])
  status!: string;

  @ObjectField(() => EjectionView)
  ejection!: EjectionView;
}
