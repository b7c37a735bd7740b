#!/bin/sh
# Runs once, when the volume is empty. Temporal's role makes its own databases and cannot read ours.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
  --set holdfast="$HOLDFAST_DB_PASSWORD" --set temporal="$TEMPORAL_DB_PASSWORD" <<'SQL'
create role holdfast login password :'holdfast';
create database holdfast owner holdfast;
revoke connect on database holdfast from public;
create role temporal login createdb password :'temporal';
SQL
