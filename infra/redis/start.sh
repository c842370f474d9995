#!/bin/sh
# Starts Valkey, or Redis, with redis.conf beside this file and the password of REDISCLI_AUTH. The password reaches the
# server by stdin: on the command line every process of the host could read it. (valkey-cli reads REDISCLI_AUTH too, so
# the health check needs no other way in.)
set -eu

# What stands for itself in a URL, in Redis' configuration and in a here-document: `%`, `@`, `/`, `#`, quotes and spaces do not.
case "${REDISCLI_AUTH:-}" in
"" | *[!A-Za-z0-9_.~!\$\&\(\)*+,\;=:-]*)
    echo "REDIS_PASSWORD is empty or has characters that a URL cannot hold; use letters, digits and -_.~!\$&()*+,;=:" \
        "(in .env in single quotes, or \$ is taken for a variable), for example the output of: openssl rand -hex 24" >&2
    exit 78
    ;;
esac

server=$(command -v valkey-server || command -v redis-server) || {
    echo "neither valkey-server nor redis-server is on the PATH; install one of them" >&2
    exit 127
}
exec "$server" "$(dirname "$0")/redis.conf" "$@" - <<CONF
requirepass $REDISCLI_AUTH
CONF
