#!/usr/bin/env bash
# MLflow's server on PostgreSQL: it asks for a name and a password, and passes artifacts through.
# PGHOST, PGPORT, MLFLOW_DB_PASSWORD: its database. MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD: its first
# user, who may do everything. MLFLOW_FLASK_SERVER_SECRET_KEY: signs its forms. MLFLOW_SERVER_ALLOWED_HOSTS: the names,
# with ports, under which it is called. MLFLOW_ARTIFACTS: a folder, or s3://BUCKET/FOLDER (then AWS_ACCESS_KEY_ID,
# AWS_SECRET_ACCESS_KEY, and for another service than Amazon's MLFLOW_S3_ENDPOINT_URL).
set -euo pipefail
# shellcheck source=docker/lib.sh
. "$(dirname "$0")/lib.sh"
need PGHOST
need MLFLOW_ARTIFACTS
need MLFLOW_SERVER_ALLOWED_HOSTS
need MLFLOW_TRACKING_USERNAME
secret MLFLOW_DB_PASSWORD
secret MLFLOW_TRACKING_PASSWORD
secret MLFLOW_FLASK_SERVER_SECRET_KEY
# PostgreSQL's library reads these: so no address holds a password.
export PGPORT=${PGPORT:-5432} PGUSER=mlflow PGPASSWORD=$MLFLOW_DB_PASSWORD
export MLFLOW_BACKEND_STORE_URI=postgresql+psycopg:///mlflow
MLFLOW_AUTH_CONFIG_PATH=$(realpath "$(dirname "$0")/mlflow-auth.ini")
export MLFLOW_AUTH_CONFIG_PATH
export MLFLOW_AUTH_ADMIN_USERNAME=$MLFLOW_TRACKING_USERNAME MLFLOW_AUTH_ADMIN_PASSWORD=$MLFLOW_TRACKING_PASSWORD
export MLFLOW_SERVER_ALLOWED_HOSTS MLFLOW_FLASK_SERVER_SECRET_KEY
export MLFLOW_DISABLE_TELEMETRY=true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false # for judging language models; starts processes of its own
unset MLFLOW_DB_PASSWORD MLFLOW_TRACKING_PASSWORD MLFLOW_TRACKING_URI
exec python -m mlflow server --host "${MLFLOW_LISTEN:-0.0.0.0}" --port "${MLFLOW_PORT:-5000}" \
    --workers "${MLFLOW_WORKERS:-2}" --app-name basic-auth \
    --serve-artifacts --artifacts-destination "$MLFLOW_ARTIFACTS"
