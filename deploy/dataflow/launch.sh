#!/usr/bin/env bash
# The streaming job on Dataflow.
#
#   launch.sh build              image and flex template of this version
#   launch.sh run                start the job
#   launch.sh update             this version and configuration in place of the running job's, with its state
#   launch.sh rollback VERSION   the same with an older version's template
#   launch.sh drain              work off what was read, publish, and end
#   launch.sh restart            drain, then run, where an update is refused
#   launch.sh status             the job's state and version
#
# From the environment: PROJECT, REGION, BUCKET (templates, configuration, temporary files), REPOSITORY (of images),
# BUS, MODELS, WAREHOUSE (addresses), CONFIG (path of the product's configuration), SERVICE_ACCOUNT; and, with defaults,
# JOB, MACHINE, WORKERS, MAX_WORKERS, SPREAD, HISTORY_SPREAD.
set -euo pipefail

cd "$(dirname "$0")/../.."
VERSION="${VERSION:-$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' omakase/__init__.py)}"
JOB="${JOB:-omakase}"
MACHINE="${MACHINE:-n1-standard-2}"
WORKERS="${WORKERS:-1}"
MAX_WORKERS="${MAX_WORKERS:-8}"
SPREAD="${SPREAD:-8}"
HISTORY_SPREAD="${HISTORY_SPREAD:-4}"
DRAIN_S="${DRAIN_S:-3600}"

fail() {
  echo "launch.sh: $*" >&2
  exit 2
}

needs() {
  for name in "$@"; do
    [[ -n "${!name:-}" ]] || fail "set $name; the head of this file says what it is"
  done
}

image() { echo "$REPOSITORY/omakase-dataflow:$VERSION"; }
template() { echo "gs://$BUCKET/templates/omakase-$VERSION.json"; }

# The configuration and what lies beside it, under a name of its own: what a job was started with stays there.
uploaded_config() {
  local directory digest
  # shellcheck disable=SC2153 # from the environment
  directory="$(dirname "$CONFIG")"
  digest="$(find "$directory" -maxdepth 1 -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)"
  gcloud storage cp "$directory"/* "gs://$BUCKET/config/$digest/" --project="$PROJECT" >&2
  echo "gs://$BUCKET/config/$digest/$(basename "$CONFIG")"
}

job_id() {
  gcloud dataflow jobs list --project="$PROJECT" --region="$REGION" --status=active \
    --filter="name=$JOB" --format='value(id)' --limit=1
}

build() {
  needs PROJECT BUCKET REPOSITORY
  docker build -f deploy/dataflow/Dockerfile -t "$(image)" \
    --build-arg "VERSION=$VERSION" --build-arg "REVISION=$(git rev-parse HEAD)" .
  docker push "$(image)"
  gcloud dataflow flex-template build "$(template)" --project="$PROJECT" --image="$(image)" \
    --sdk-language=PYTHON --metadata-file=deploy/dataflow/metadata.json
}

# submit CLOSED_BEFORE [OPTION...]
submit() {
  local closed_before="$1" config
  shift
  needs PROJECT REGION BUCKET REPOSITORY BUS MODELS WAREHOUSE CONFIG SERVICE_ACCOUNT
  config="$(uploaded_config)"
  local parameters="config=$config~bus=$BUS~models=$MODELS~warehouse=$WAREHOUSE"
  parameters+="~sdk_container_image=$(image)~spread=$SPREAD~history_spread=$HISTORY_SPREAD"
  parameters+="~closed_before=$closed_before"
  gcloud dataflow flex-template run "$JOB" --project="$PROJECT" --region="$REGION" \
    --template-file-gcs-location="$(template)" --service-account-email="$SERVICE_ACCOUNT" \
    --temp-location="gs://$BUCKET/temp" --staging-location="gs://$BUCKET/staging" \
    --worker-machine-type="$MACHINE" --num-workers="$WORKERS" --max-workers="$MAX_WORKERS" \
    --enable-streaming-engine --additional-user-labels="omakase-template=${VERSION//./-}" \
    --parameters="^~^$parameters" "$@"
}

run() {
  needs PROJECT REGION
  [[ -z "$(job_id)" ]] || fail "job $JOB runs: launch.sh update"
  submit "${CLOSED_BEFORE:-0}"
}

# The slates that a drained job had are closed for whoever comes after it: CLOSED_BEFORE has to be handed on with
# every update of that job until a reward window has passed, and does no harm later.
update() {
  needs PROJECT REGION
  [[ -n "$(job_id)" ]] || fail "no job $JOB runs: launch.sh run"
  submit "${CLOSED_BEFORE:-0}" --update
}

drain() {
  needs PROJECT REGION
  local id state deadline
  id="$(job_id)"
  [[ -n "$id" ]] || fail "no job $JOB runs"
  gcloud dataflow jobs drain "$id" --project="$PROJECT" --region="$REGION" >&2
  date +%s
  deadline=$((SECONDS + DRAIN_S))
  while true; do
    state="$(gcloud dataflow jobs describe "$id" --project="$PROJECT" --region="$REGION" --format='value(currentState)')"
    case "$state" in
      JOB_STATE_DRAINED) return ;;
      JOB_STATE_FAILED | JOB_STATE_CANCELLED) fail "job $id ended as $state: rebuild its models from the warehouse" ;;
    esac
    ((SECONDS < deadline)) || fail "job $id is $state after $DRAIN_S s; it goes on draining"
    sleep 10
  done
}

restart() {
  local closed_before
  closed_before="$(drain)"
  submit "$closed_before"
  echo "until a reward window has passed, update with CLOSED_BEFORE=$closed_before" >&2
}

status() {
  needs PROJECT REGION
  gcloud dataflow jobs list --project="$PROJECT" --region="$REGION" --filter="name=$JOB" --limit=5 \
    --format='table(id, state, creationTime, labels.omakase)'
}

case "${1:-}" in
  build | run | update | drain | restart | status) "$1" ;;
  rollback)
    [[ -n "${2:-}" ]] || fail "rollback to which version? gcloud storage ls gs://BUCKET/templates/"
    VERSION="$2"
    update
    ;;
  *) sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
