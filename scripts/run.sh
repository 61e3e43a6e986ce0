#!/usr/bin/env bash
# Starts the server in the sandbox, sends it sample mail, and shows what the receiver saw
# against the limit. It goes on serving until Ctrl-C; with RUN_ONCE=1 it ends by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
sluice=$PWD/bin/sluice
smtp=127.0.0.1:2525 domain=example.org messages=2000 limit=8
mkdir -p run
cp scripts/sandbox.conf run/sluice.conf
cd run
: > output

"$sluice" serve --sandbox > output 2> log &
server=$!
stop() {
  trap - EXIT INT TERM
  kill -TERM "$server" 2>/dev/null && wait "$server" || true
}
trap stop EXIT
trap 'echo; stop; exit 0' INT TERM

fail() {
  echo "run: $1" >&2
  tail -n 20 log >&2
  exit 1
}

for _ in $(seq 200); do
  grep -q '^  SMTP' output && break
  kill -0 "$server" 2>/dev/null || fail "the server did not start"
  sleep 0.05
done
cat output
echo

queued() { # messages that the server holds
  "$sluice" status --json | tr -d ' \n' | sed -E 's/.*"queue":\{[^}]*"messages":([0-9]+).*/\1/'
}
receiver=$(sed -nE 's/^  receiver +(http:[^ ]+).*/\1/p' output)
report() { # FIELD: the first number of that name in the receiver's report
  exec 3<> "/dev/tcp/${receiver_host}/${receiver_port}"
  printf 'GET / HTTP/1.0\r\n\r\n' >&3
  tr -d ' \n\r' <&3 | sed -E "s/.*\"$1\":\{[^}]*\"$2\":([0-9]+).*/\1/"
}
receiver_host=$(sed -E 's,http://([^:/]+):.*,\1,' <<< "$receiver")
receiver_port=$(sed -E 's,http://[^:/]+:([0-9]+).*,\1,' <<< "$receiver")

echo "Sending $messages messages to $domain, which may have $limit connections."
"$sluice" load --to "$smtp" --sessions 20 --messages "$messages" --rcpt "someone@$domain"
echo
"$sluice" explain "$domain"
echo
for _ in $(seq 50); do
  left=$(queued)
  [ "$left" = 0 ] && break
  printf '  %s left\n' "$left"
  sleep 1
done

cat <<SUMMARY

  delivered            $(report messages distinct) of $messages, $(report messages accepted) deliveries
  connections at once  $(report connections peak) seen by the receiver, $limit allowed
  deferred, then sent  $(report messages refused) messages refused for the time being
SUMMARY
[ "$(queued)" = 0 ] || fail "not everything was delivered"

if [ "${RUN_ONCE:-}" = 1 ]; then
  exit 0
fi
cat <<MORE

It goes on running; Ctrl-C stops it. From another terminal, in $PWD:
  $sluice load --to $smtp --messages 1000 --rcpt you@$domain
  $sluice queue list
  $sluice explain $domain
MORE
wait "$server"
