#!/bin/sh
# Temporal's two databases: created when missing, then brought to the schema of this version of the tools.
set -eu
for pair in temporal:temporal temporal_visibility:visibility; do
  database=${pair%:*}
  schema=/etc/temporal/schema/postgresql/v12/${pair#*:}/versioned
  temporal-sql-tool --db "$database" create
  # Refused when the database has a schema already; the update below tells whether it is a good one.
  temporal-sql-tool --db "$database" setup-schema -v 0.0 || true
  temporal-sql-tool --db "$database" update-schema -d "$schema"
done
