/** One environment variable, as `docs/configuration.md` prints it. */
export interface Variable {
  readonly name: string;
  /** The default as a reader sees it; empty when there is none. */
  readonly fallback: string;
  readonly meaning: string;
}

const variable = <N extends string>(name: N, fallback: string, meaning: string) => ({ name, fallback, meaning }) as const;

/** Every variable that is read. A name that is not listed here cannot be read: the reader's type forbids it. */
export const VARIABLES = {
  Process: [
    variable('NODE_ENV', 'development', '`production` turns every stand-in off: whatever is not configured stops the start.'),
    variable('PORTCULLIS_ROLE', 'all', '`all`, `api` (REST only) or `gate` (the broker’s door only). `api` and `gate` need `DATABASE_URL` and `REDIS_URL`.'),
    variable('PORTCULLIS_DATA_DIR', '.portcullis', 'Where the embedded database and the generated secrets live; one process at a time may hold it.'),
    variable('LOG_LEVEL', 'info', '`fatal`, `error`, `warn`, `info`, `debug` or `silent`.'),
  ],
  Listeners: [
    variable('PORT', '3000', 'REST, OpenAPI, JWKS.'),
    variable('HOST', '0.0.0.0', 'Address of the REST listener. Without `NODE_ENV=production` the default is loopback, `127.0.0.1`.'),
    variable('INTERNAL_PORT', '3001', 'The broker’s callbacks, `/metrics`, `/health/*`.'),
    variable('INTERNAL_HOST', '127.0.0.1', 'Address of the internal listener. Off loopback in production it must speak TLS.'),
    variable('INTERNAL_TLS_CERT', '', 'PEM file: certificate of the internal listener.'),
    variable('INTERNAL_TLS_KEY', '', 'PEM file: its private key.'),
    variable('INTERNAL_TLS_CLIENT_CA', '', 'PEM file: CA of the client certificates that the internal listener demands.'),
    variable('MQTT_PORT', '1883', 'Embedded broker, plain MQTT 3.1.1 on loopback.'),
    variable('PUBLIC_URL', 'http://localhost:{PORT}', 'Base of every link and of the token issuer; never taken from the Host header. Must be https in production.'),
    variable('TRUST_PROXY', '', 'Comma-separated CIDRs of reverse proxies whose `X-Forwarded-For` is believed; `true` is refused.'),
    variable('ADMIN_URL', '', 'Origin of the dashboard: the first CORS origin.'),
    variable('CORS_ORIGINS', '', 'Further CORS origins, comma-separated; `*` is refused.'),
  ],
  Stores: [
    variable('DATABASE_URL', '', 'Postgres 15 or newer, as an owner that may create roles. Unset: the embedded PostgreSQL.'),
    variable('DATABASE_URL_APP', '', 'LOGIN role for REST; a member of `{prefix}_app`. Required in production.'),
    variable('DATABASE_URL_GATE', '', 'LOGIN role for the broker’s callbacks, select only; a member of `{prefix}_gate`. Required in production.'),
    variable('DATABASE_URL_READER', '', 'LOGIN role for platform reads; a member of `{prefix}_reader`. Required in production.'),
    variable('DATABASE_URL_MIGRATOR', '', 'LOGIN role that owns the tables; a member of `{prefix}_migrator`. Required in production.'),
    variable('DATABASE_ROLE_PREFIX', '', 'Prefix of the four roles; by default the name of the database, since roles are cluster-wide.'),
    variable('DB_SSL_MODE', 'disable', '`disable`, `require` or `verify-full`. In production `verify-full`, and nothing else unless the database is on this machine or in its container network.'),
    variable('DB_SSL_CA', '', 'PEM file: CA of the database server.'),
    variable('DB_SSL_CERT', '', 'PEM file: client certificate for Postgres.'),
    variable('DB_SSL_KEY', '', 'PEM file: its private key.'),
    variable('DB_POOL_SIZE', '10', 'Connections of the REST pool.'),
    variable('GATE_POOL_SIZE', '4', 'Connections of the pool that only the broker’s callbacks use.'),
    variable('REDIS_URL', '', 'Redis 7, `redis://` or `rediss://`. Unset: an in-process store, one process only.'),
  ],
  Secrets: [
    variable('JWT_SECRET', '', 'Signs the tokens of people (HS256).'),
    variable('MQTT_JWT_SECRET', '', 'Only for installations whose device tokens must be HS256; when unset they are ES256 with a published JWKS.'),
    variable('MQTT_INTERNAL_AUTH_SECRET', '', 'The broker’s secret in `X-Internal-Auth`; two comma-separated values during a rotation.'),
    variable('ADMIN_KEY', '', 'Lets a provisioning station register devices into `default` (`X-Admin-Key`).'),
    variable('SECRETS_MASTER_KEYS', '', '`kid:base64` of 32 bytes, comma-separated; the first seals, all open.'),
  ],
  Certificates: [
    variable('PKI_PUBLIC_URL', 'http://localhost:{PORT}', 'Base of the URLs in certificates (revocation lists, OCSP, issuers), as brokers and devices reach `/pki/*`. Plain HTTP is fine: all of it is signed.'),
    variable('PKI_KEY_TYPE', 'EC', '`EC` (P-256) or `RSA` (3072 bits): keys of authorities that are made here.'),
    variable('PKI_CRL_FILE', '', 'File that always holds the current revocation lists as PEM, for Mosquitto’s `crlfile`; replaced in one step.'),
    variable('PKI_CA_FILE', '', 'File that always holds every authority that a client’s certificate may rest on as PEM, for EMQX’s `cacertfile` and Mosquitto’s `cafile`; replaced in one step.'),
    variable('DEVICE_TLS_PORT', '', 'TLS listener on which a device proves itself with its certificate, to renew it. Unset: off.'),
  ],
  People: [
    variable('ADMIN_EMAIL', 'admin@localhost.localdomain', 'First admin, created when there is no user at all. Required in production at the first start.'),
    variable('ADMIN_PASSWORD', '', 'Password of the first admin; without it one is generated and printed once (not in production).'),
    variable('REGISTRATION', 'locked', '`locked`: only an ADMIN registers people; `open`: anyone, without role and membership.'),
    variable('SMTP_URL', '', 'Mail server, `smtp://` or `smtps://`, with user and password if it wants them. Unset: links are logged in development, and routes that need mail are refused in production.'),
    variable('MAIL_FROM', 'Portcullis <noreply@localhost>', 'Sender of mails. Required in production with `SMTP_URL`.'),
  ],
  Broker: [
    variable('MQTT_URL', '', 'The external broker, as a service client reaches it. Unset: the embedded broker.'),
    variable('MQTT_VERSION', '5', 'What the external broker speaks to the message gateway: `5`, or `3.1.1` (then without shared subscriptions, so for one gateway, and without the opaque form).'),
    variable('MQTT_PUBLIC_HOST', 'localhost', 'Host name of the broker in connect hints.'),
    variable('MQTTS_PORT', '8883', 'mTLS listener: of the embedded broker on loopback, or, for connect hints, of the external one.'),
    variable('MQTTS_TOKEN_PORT', '8885', 'TLS listener for token and secret; as before.'),
    variable('MQTT_WSS_PORT', '8084', 'Secure WebSocket listener, for connect hints.'),
    variable('EMQX_API_URL', '', 'Origin of EMQX’s management API (`https://emqx:18083`): live sessions are cut through it. Without it an ejection is never confirmed.'),
    variable('EMQX_API_KEY', '', 'API key of EMQX, with the right to kick and ban.'),
    variable('EMQX_API_SECRET', '', 'Its secret.'),
    variable('BROKER_LINT_WAIVE', '', 'Findings of the broker linter that do not keep a production process from being ready, comma-separated: ids of `docs/broker-linter.md`.'),
    variable('MQTT_TOPIC_PREFIX', 'devices', 'First level(s) of every device topic; never `verified` or `t`.'),
    variable('TOPIC_PROFILE', 'directional', '`directional` (own channels) or `namespace` (own subtree).'),
    variable('TOKEN_PROFILES', '', 'Further encodings of the rules in device tokens, comma-separated: `topics` (`topics.publish`, `topics.subscribe`), `publ-subs` (`publ`, `subs`).'),
    variable('BROKER_UNKNOWN', 'deny', '`ignore` lets another authenticator decide about clients whose ids have no shape of ours.'),
    variable('BROKER_CERT', 'pem', '`cn` accepts a certificate by its common name alone, for brokers that cannot send it.'),
    variable('ACL_TERMINAL', 'callback', '`callback`: what no rule matches is asked again; `deny`: the list in the answer ends in denials.'),
    variable('AUTH_FAILURE_POLICY', 'possession', '`possession` counts only failures that prove possession of a credential; `strict` counts all against the claimed device.'),
    variable('REQUIRE_HMAC_SIGNATURES', 'true', '`false` lets unsigned messages through to `verified/…`, marked with `"sig":null`. Refused in production.'),
    variable('GATEWAY_ID', '', 'Name of this instance’s message gateway, unique in the installation and the same after a restart. By default made from the host’s name and `INTERNAL_PORT`.'),
    variable('STALE_FACTS_MAX', '60', 'Seconds for which facts last confirmed by Postgres serve ACTIVE devices while it is gone.'),
    variable('SESSION_MAX', '86400', 'Seconds after which a broker session must authenticate again.'),
  ],
} as const satisfies Record<string, readonly Variable[]>;

type Groups = typeof VARIABLES;
export type VariableName = { [G in keyof Groups]: Groups[G][number]['name'] }[keyof Groups];

/** Variables that hold a secret; checked for strength and distinctness, never printed. */
export const SECRET_VARIABLES = [
  'JWT_SECRET',
  'MQTT_JWT_SECRET',
  'MQTT_INTERNAL_AUTH_SECRET',
  'ADMIN_KEY',
] as const satisfies readonly VariableName[];

/** Secrets that are generated once into the data directory when a development installation does not give them. */
export const GENERATED_VARIABLES = [
  'JWT_SECRET',
  'MQTT_INTERNAL_AUTH_SECRET',
  'ADMIN_KEY',
  'SECRETS_MASTER_KEYS',
] as const satisfies readonly VariableName[];

export type GeneratedSecrets = Readonly<Partial<Record<(typeof GENERATED_VARIABLES)[number], string>>>;
