#!/usr/bin/env bash
# From any Kubernetes cluster to served models: Envoy Gateway, KEDA, Prometheus, KServe, S3, Serin's own.
# Usage: ./setup_cluster.sh [--kind | --context NAME] [--manifests DIR] [--s3 URL] [--overlay DIR] [--domain NAME]
#                           [--model NAME]… [--smoke] [--only STEP] [--dry-run] [--yes]
#        ./setup_cluster.sh --down        removes what it added
# Run it again: what is there stays as it is, what broke off is resumed. docs/deploy.md tells more.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

for program in kubectl python3; do
  if ! command -v "$program" >/dev/null; then
    echo "Error: setup_cluster.sh needs $program on PATH." >&2
    exit 1
  fi
done
"$root/serin" install --quiet cluster
PYTHONPATH=$root exec "$root/.venv/bin/python" -P -m controlplane.cluster "$@"
