#!/usr/bin/env bash
# Installs what the cloud adapters are tested against, as far as this machine can get it: Debian packages as root, Go
# programs where Go is. What cannot be had is said; the tests that need it skip. The Pub/Sub and Datastore emulators are
# Google's and come with the gcloud SDK; a stand-in for the first is built here.
set -uo pipefail
cd "$(dirname "$0")"
bin=${GOBIN:-$HOME/go/bin}
missing=0

have() { command -v "$1" >/dev/null || [ -x "$bin/$1" ]; }
cannot() {
  echo "cannot install $1: its tests will skip" >&2
  missing=$((missing + 1))
}
go_program() {  # name, module directory, package
  have "$1" || (cd "$2" && go build -o "$bin/$1" "$3") || cannot "$1"
}
# Each request of its own reads every query it ever ran, answers included, so it gets slower with each: it is built to
# remember none. Nothing asks it for a query's job once it has the answer.
bigquery_emulator() {
  local module=github.com/goccy/bigquery-emulator copy status=0
  copy=$(mktemp -d)
  (cd tools && cp -r "$(go list -m -f '{{.Dir}}' $module)" "$copy/source" && cp go.mod go.sum "$copy" &&
    chmod -R u+w "$copy/source" &&
    sed -i 's/^func (p \*Project) AddJob(.*/&\nif c := job.Content().Configuration; c != nil \&\& c.JobType == "QUERY" {\nreturn nil\n}/' \
      "$copy/source/internal/metadata/project.go" &&
    grep -q '^if c := job.Content' "$copy/source/internal/metadata/project.go" &&
    go mod edit -replace $module="$copy/source" "$copy/go.mod" &&
    go build -modfile="$copy/go.mod" -o "$bin/bigquery-emulator" $module/cmd/bigquery-emulator) || status=1
  rm -rf "$copy"
  return $status
}

mkdir -p "$bin"
have redis-server || { apt-get update -qq && apt-get install -y -qq redis-server >/dev/null; } || cannot redis-server
if have go; then
  go_program fake-gcs-server tools github.com/fsouza/fake-gcs-server
  have bigquery-emulator || bigquery_emulator || cannot bigquery-emulator
  have gcloud || go_program omakase-pstest pstest .
else
  cannot "fake-gcs-server and bigquery-emulator (no Go here)"
fi
exit "$missing"
