#!/bin/sh
# The command `omakase`, where nothing was installed by a packager.
exec /opt/omakase/bin/python -c 'import sys; from omakase.cli import main; sys.argv[0] = "omakase"; main()' "$@"
