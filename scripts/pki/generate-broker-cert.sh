#!/bin/sh
# portcullis cert broker; arguments are passed on, --help of the program says which.
exec node "$(dirname "$0")/../portcullis.mjs" cert broker "$@"
