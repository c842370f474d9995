#!/bin/sh
# Runs a command. If it is `reelmill worker`, and ends because a person must look (69: quarantined, 78: wrong settings),
# stays, so that the container is unhealthy and can be read instead of being started again: a start would lift the
# quarantine. SIGTERM goes to the worker, and later to the wait.
#
#   hold reelmill worker --devices 0,1
set -u

case "$*" in
"reelmill worker" | "reelmill worker "*) ;;
*) exec "$@" ;;
esac

# The trap comes first: a signal may come while the worker is being started.
child=
stop=
trap 'stop=yes; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM INT
"$@" &
child=$!
[ -z "$stop" ] || kill -TERM "$child" 2>/dev/null

# A signal interrupts wait, with a status above 128, while the worker still drains: wait again.
while :; do
    wait "$child"
    status=$?
    kill -0 "$child" 2>/dev/null || break
done

case "$stop$status" in
69 | 78) ;;
*) exit "$status" ;;
esac
echo "ended with status $status: see the reason above, fix it, then restart this container" >&2
trap 'exit "$status"' TERM INT
while :; do
    sleep 3600 &
    wait $!
done
