#!/bin/sh
# The namespace of Holdfast's workflows and what operators filter them by. TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE are read by
# the temporal program itself.
set -eu
attempts=0
until temporal operator cluster health; do
  attempts=$((attempts + 1))
  [ "$attempts" -lt 30 ] || exit 1
  sleep 2
done
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 30d
for name in CustomerId ContractId UserId Service BillingState ContractState NextAt; do
  case "$name" in NextAt) type=Datetime ;; *) type=Keyword ;; esac
  # A new namespace takes some seconds to be known everywhere.
  attempts=0
  until temporal operator search-attribute list | grep -qw "$name" ||
    temporal operator search-attribute create --name "$name" --type "$type"; do
    attempts=$((attempts + 1))
    [ "$attempts" -lt 30 ] || exit 1
    sleep 2
  done
done
