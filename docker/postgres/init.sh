#!/bin/sh
# Runs once, when the database server of docker-compose.yml starts with an empty volume, as its superuser.
#
# Creates the four group roles that the policies name ({prefix}_migrator, _app, _gate, _reader; they cannot log in) and one LOGIN
# role for each. A LOGIN role is a member of one group role and of nothing else, so no process can climb out of its own rights.
#
# Needs POSTGRES_DB, POSTGRES_USER and PORTCULLIS_{MIGRATOR,APP,GATE,READER}_PASSWORD. The prefix is POSTGRES_DB unless
# DATABASE_ROLE_PREFIX says otherwise; give Portcullis the same DATABASE_ROLE_PREFIX then.
set -eu

: "${PORTCULLIS_MIGRATOR_PASSWORD:?}" "${PORTCULLIS_APP_PASSWORD:?}" "${PORTCULLIS_GATE_PASSWORD:?}" "${PORTCULLIS_READER_PASSWORD:?}"
prefix="${DATABASE_ROLE_PREFIX:-$POSTGRES_DB}"

psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  -v database="$POSTGRES_DB" \
  -v migrator="${prefix}_migrator" -v app="${prefix}_app" -v gate="${prefix}_gate" -v reader="${prefix}_reader" \
  -v migrator_login="${prefix}_migrator_login" -v app_login="${prefix}_app_login" \
  -v gate_login="${prefix}_gate_login" -v reader_login="${prefix}_reader_login" <<'SQL'
-- From the environment, not from the command line, which every process of the machine may read.
\getenv migrator_password PORTCULLIS_MIGRATOR_PASSWORD
\getenv app_password PORTCULLIS_APP_PASSWORD
\getenv gate_password PORTCULLIS_GATE_PASSWORD
\getenv reader_password PORTCULLIS_READER_PASSWORD

CREATE ROLE :"migrator" NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE :"app" NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE :"gate" NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE :"reader" NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;

-- The migrator assumes its group role (so that tables have one owner); the others inherit the rights of theirs.
CREATE ROLE :"migrator_login" LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'migrator_password';
CREATE ROLE :"app_login" LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'app_password';
CREATE ROLE :"gate_login" LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'gate_password';
CREATE ROLE :"reader_login" LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'reader_password';
GRANT :"migrator" TO :"migrator_login";
GRANT :"app" TO :"app_login";
GRANT :"gate" TO :"gate_login";
GRANT :"reader" TO :"reader_login";

REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"migrator_login", :"app_login", :"gate_login", :"reader_login";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO :"migrator";
GRANT USAGE ON SCHEMA public TO :"app", :"gate", :"reader";
SQL
