#!/bin/sh
# Run once by the PostgreSQL image on an empty volume: the roles of the market's processes. The owner migrates and owns;
# the others own nothing. Passwords come from the environment of compose.yaml.
set -eu
psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set=owner="$DUEBILL_OWNER_PASSWORD" --set=web="$DUEBILL_WEB_PASSWORD" \
    --set=worker="$DUEBILL_WORKER_PASSWORD" --set=signer="$DUEBILL_SIGNER_PASSWORD" \
    --set=reader="$DUEBILL_READER_PASSWORD" <<'SQL'
CREATE ROLE duebill_owner LOGIN CREATEROLE PASSWORD :'owner';
CREATE ROLE duebill_web LOGIN PASSWORD :'web';
CREATE ROLE duebill_worker LOGIN PASSWORD :'worker';
CREATE ROLE duebill_signer LOGIN PASSWORD :'signer';
CREATE ROLE duebill_reader LOGIN PASSWORD :'reader';
CREATE DATABASE duebill OWNER duebill_owner TEMPLATE template0 ENCODING 'UTF8';
SQL
