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

mkdir -p "$bin"
have redis-server || { apt-get update -qq && apt-get install -y -qq redis-server >/dev/null; } || cannot redis-server
if have go; then
  go_program fake-gcs-server tools github.com/fsouza/fake-gcs-server
  go_program bigquery-emulator tools github.com/goccy/bigquery-emulator/cmd/bigquery-emulator
  have gcloud || go_program omakase-pstest pstest .
else
  cannot "fake-gcs-server and bigquery-emulator (no Go here)"
fi
exit "$missing"
