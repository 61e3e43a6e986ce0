#!/usr/bin/env bash
# usage: postfix.sh DIR LISTEN SINK default|tuned|single deliver|hold|defer
# Sets up and starts Postfix from the unpacked Debian package, inside the bench's mount
# namespace: queue and configuration in DIR, mail taken on port LISTEN of 127.0.0.1 and
# relayed to port SINK. With "hold" everything stays in the queue, unread by the queue
# manager, which is the cheapest way not to deliver; with "defer" the queue manager takes
# each message and puts it off, as defer_transports has it.
set -euo pipefail
dir=$1 listen=$2 sink=$3 variant=$4 mode=$5
unpacked=$(cd "$(dirname "$0")/.." && pwd)/.cache/tools/root
mkdir -p "$dir"/{spool,data,var/empty,etc/postfix}

# Users of the package, in a copy of the user files.
cp /etc/passwd /etc/group "$dir/etc/"
grep -q '^postfix:' "$dir/etc/group" || printf 'postfix:x:901:\npostdrop:x:902:\n' >> "$dir/etc/group"
grep -q '^postfix:' "$dir/etc/passwd" || echo 'postfix:x:901:901::/nonexistent:/usr/sbin/nologin' >> "$dir/etc/passwd"

if ! mountpoint -q /usr; then # once: the package over /usr
  mount -t overlay overlay -o "lowerdir=$unpacked/usr:/usr" /usr
  mount -t tmpfs tmpfs /run
fi
umount -q /etc 2>/dev/null && : # the layer of the run before
mkdir -p "$unpacked/etc"
sed -E "s/^smtp( +)inet/127.0.0.1:$listen\1inet/; s/^([^#[:space:]]+ +(inet|unix|fifo|pass|unix-dgram) +[^ ]+ +[^ ]+ +)y /\1n /" \
  "$unpacked/usr/share/postfix/master.cf.dist" > "$dir/etc/postfix/master.cf"
grep -q '^postlog' "$dir/etc/postfix/master.cf" || echo 'postlog unix-dgram n - n - 1 postlogd' >> "$dir/etc/postfix/master.cf"

{
  cat <<CF
compatibility_level = 3.6
myhostname = mx.bench.test
queue_directory = $dir/spool
data_directory = $dir/data
maillog_file = $dir/maillog
maillog_file_prefixes = $dir
mydestination =
local_transport = error:no mailboxes here
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:$sink
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
smtp_tls_security_level = none
message_size_limit = 0
CF
  if [ "$variant" = tuned ]; then
    cat <<CF
in_flow_delay = 0
default_process_limit = 200
max_use = 100000
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 100000
initial_destination_concurrency = 100
default_destination_concurrency_limit = 100
smtp_connection_cache_destinations = [127.0.0.1]:$sink
smtp_connection_reuse_time_limit = 300s
smtpd_peername_lookup = no
CF
  fi
  if [ "$variant" = single ]; then
    cat <<CF
in_flow_delay = 0
max_use = 100000
initial_destination_concurrency = 1
default_destination_concurrency_limit = 1
smtp_connection_cache_destinations = [127.0.0.1]:$sink
smtp_connection_reuse_time_limit = 300s
smtpd_peername_lookup = no
CF
  fi
  if [ "$mode" = hold ]; then
    echo 'smtpd_client_restrictions = check_client_access static:HOLD'
  fi
  if [ "$mode" = defer ]; then
    echo 'defer_transports = smtp'
  fi
} > "$dir/etc/postfix/main.cf"

mount -t overlay overlay -o "lowerdir=$dir/etc:$unpacked/etc:/etc" /etc
chown 901:901 "$dir/data"
chmod 755 "$dir" "$dir/spool"
postfix check 2>> "$dir/check.log" || true
exec postfix start 2>> "$dir/start.log"
