#!/bin/sh
# Makes what docker-compose.yml needs and nobody may share: secrets, the certificates of the link between EMQX and Portcullis, and
# EMQX's configuration with the secret in it. Everything goes into docker/secrets, which git ignores.
#
#   sh docker/setup.sh https://iot.example.com mqtt.example.com admin@example.com [http://pki.example.com]
#
# The fourth is where lists of revoked certificates are read (PKI_PUBLIC_URL). It stands in every certificate and EMQX must reach it
# by plain HTTP; left out it is Portcullis itself by its name in docker-compose.yml, which nobody outside reaches.
#
# The certificate of the MQTT listeners (docker/secrets/mqtt.crt, mqtt.key) is signed by the same small authority and is for a trial:
# put one in its place that your devices trust.
set -eu

if [ $# -ne 3 ] && [ $# -ne 4 ]; then
  echo "usage: sh docker/setup.sh PUBLIC_URL MQTT_HOST ADMIN_EMAIL [PKI_PUBLIC_URL]" >&2
  exit 2
fi
public_url=$1 mqtt_host=$2 admin_email=$3 pki_url=${4:-http://portcullis:3000}
case $public_url in
  https://*) ;;
  *) echo "PUBLIC_URL must begin with https://" >&2; exit 2 ;;
esac

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
out=$here/secrets
if [ -e "$out" ]; then
  # New master keys would make every sealed row of the database unreadable.
  echo "$out exists already; move it away first if you mean to start anew." >&2
  exit 1
fi
umask 077
work=$(mktemp -d "$here/.setup-XXXXXX")
trap 'rm -rf "$work"' EXIT

random() { openssl rand -hex "${1:-32}"; }

# A small authority for one link: the broker knows Portcullis by it, and Portcullis the broker.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=Portcullis internal CA" \
  -keyout "$work/internal-ca.key" -out "$work/internal-ca.crt" 2>/dev/null

# name, names it is good for, what it may be used as
issue() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null
  printf 'subjectAltName=%s\nextendedKeyUsage=%s\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n' "$2" "$3" >"$work/$1.ext"
  openssl x509 -req -in "$work/$1.csr" -CA "$work/internal-ca.crt" -CAkey "$work/internal-ca.key" -CAcreateserial \
    -days 825 -extfile "$work/$1.ext" -out "$work/$1.crt" 2>/dev/null
  rm "$work/$1.csr" "$work/$1.ext"
}
# clientAuth as well: the container's health check shows the same certificate.
issue internal "DNS:portcullis,DNS:localhost,IP:127.0.0.1" "serverAuth,clientAuth"
issue broker-client "DNS:emqx" "clientAuth"
issue mqtt "DNS:$mqtt_host" "serverAuth"
rm -f "$work/internal-ca.srl"

internal_secret=$(random)
api_secret=$(random)
migrator=$(random 24) app=$(random 24) gate=$(random 24) reader=$(random 24) redis=$(random 24)

cat >"$work/portcullis.env" <<VALUES
PUBLIC_URL=$public_url
PKI_PUBLIC_URL=$pki_url
MQTT_PUBLIC_HOST=$mqtt_host
ADMIN_EMAIL=$admin_email
ADMIN_PASSWORD=$(random 16)
JWT_SECRET=$(random)
ADMIN_KEY=$(random)
MQTT_INTERNAL_AUTH_SECRET=$internal_secret
SECRETS_MASTER_KEYS=$(date +k%Y%m%d):$(openssl rand -base64 32)
DATABASE_URL_MIGRATOR=postgresql://portcullis_migrator_login:$migrator@postgres:5432/portcullis
DATABASE_URL_APP=postgresql://portcullis_app_login:$app@postgres:5432/portcullis
DATABASE_URL_GATE=postgresql://portcullis_gate_login:$gate@postgres:5432/portcullis
DATABASE_URL_READER=postgresql://portcullis_reader_login:$reader@postgres:5432/portcullis
REDIS_URL=redis://:$redis@redis:6379
EMQX_API_KEY=portcullis
EMQX_API_SECRET=$api_secret
VALUES
cat >"$work/postgres.env" <<VALUES
POSTGRES_PASSWORD=$(random 24)
PORTCULLIS_MIGRATOR_PASSWORD=$migrator
PORTCULLIS_APP_PASSWORD=$app
PORTCULLIS_GATE_PASSWORD=$gate
PORTCULLIS_READER_PASSWORD=$reader
VALUES
printf 'REDIS_PASSWORD=%s\n' "$redis" >"$work/redis.env"
printf 'EMQX_NODE__COOKIE=%s\nEMQX_DASHBOARD__DEFAULT_PASSWORD=%s\n' "$(random)" "$(random 16)" >"$work/emqx.env"
printf 'portcullis:%s:administrator\n' "$api_secret" >"$work/emqx-api-keys"
sed "s/@INTERNAL_AUTH_SECRET@/$internal_secret/" "$here/emqx/emqx.conf" >"$work/emqx.conf"

# The containers run under users of their own and must read what is mounted into them; on the host the folder itself is shut (0700).
chmod 644 "$work"/*.crt "$work/internal.key" "$work/broker-client.key" "$work/mqtt.key" "$work/emqx.conf" "$work/emqx-api-keys"
mv "$work" "$out"
trap - EXIT

echo "Written to $out. Back up this folder together with the database: without SECRETS_MASTER_KEYS its sealed rows cannot be read."
echo "Keep internal-ca.key away from the server. First admin: $admin_email, password in $out/portcullis.env (ADMIN_PASSWORD)."
