//go:build tools

// The counterparts that are Go programs, at the versions that the tests run against.
package tools

import (
	_ "github.com/fsouza/fake-gcs-server"
	_ "github.com/goccy/bigquery-emulator/cmd/bigquery-emulator"
)
