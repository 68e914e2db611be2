#!/bin/sh
# portcullis cert device; arguments are passed on, --help of the program says which.
exec node "$(dirname "$0")/../portcullis.mjs" cert device "$@"
