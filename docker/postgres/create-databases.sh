#!/bin/sh
# Runs once, when the volume is empty. Temporal's role makes its own databases and cannot read ours. Holdfast's processes
# are no owners of their tables: they may append facts and change none.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
  --set holdfast="$HOLDFAST_DB_PASSWORD" --set owner="$HOLDFAST_OWNER_DB_PASSWORD" --set temporal="$TEMPORAL_DB_PASSWORD" <<'SQL'
create role holdfast_application nologin;
create role holdfast login password :'holdfast' in role holdfast_application;
create role holdfast_owner login password :'owner' in role holdfast_application;
create database holdfast owner holdfast_owner;
revoke connect on database holdfast from public;
grant connect on database holdfast to holdfast;
create role temporal login createdb password :'temporal';
SQL
