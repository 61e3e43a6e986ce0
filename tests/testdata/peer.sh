#!/usr/bin/env bash
# usage: peer.sh postfix|exim|opensmtpd DIR LISTEN NEXT CHUNKING
# Runs a receiver from its unpacked Debian package until it is killed, in namespaces of its
# own (mounts and processes; the network is shared): it takes mail on LISTEN (address:port)
# with STARTTLS by DIR/cert.pem and relays it to NEXT. CHUNKING off: it is not offered.
# Needs root.
set -euo pipefail
kind=$1 dir=$2 listen=$3 next=$4 chunking=$5
if [ "${6:-}" != inside ]; then
  exec unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@" inside
fi
tools=$(cd "$(dirname "$0")/../.." && pwd)/.cache/tools
case $kind in postfix) unpacked=$tools/root ;; *) unpacked=$tools/$kind ;; esac
host=${listen%:*} port=${listen##*:} next_host=${next%:*} next_port=${next##*:}

# The package over /usr; users of its own; nothing of the machine's /run, /var and /etc is touched.
mkdir -p "$dir"/{etc,spool,data,log,work}
cp /etc/passwd /etc/group "$dir/etc/"
for user in postfix:901 opensmtpd:903 opensmtpq:904 Debian-exim:905; do
  name=${user%:*} id=${user#*:}
  grep -q "^$name:" "$dir/etc/group" || echo "$name:x:$id:" >> "$dir/etc/group"
  grep -q "^$name:" "$dir/etc/passwd" || echo "$name:x:$id:$id::/nonexistent:/usr/sbin/nologin" >> "$dir/etc/passwd"
done
grep -q '^postdrop:' "$dir/etc/group" || echo 'postdrop:x:902:' >> "$dir/etc/group"
echo 'hosts: files' > "$dir/etc/nsswitch.conf" # nobody asks the network for names
printf 'passwd: files\ngroup: files\n' >> "$dir/etc/nsswitch.conf"
echo "127.0.0.1 localhost mx.peer.test" > "$dir/etc/hosts"
: > "$dir/etc/resolv.conf"
mkdir -p "$unpacked/etc"
mount -t overlay overlay -o "lowerdir=$unpacked/usr:/usr" /usr
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var
mount -t overlay overlay -o "lowerdir=$dir/etc:$unpacked/etc:/etc" /etc 2>/dev/null || true
ln -s /run /var/run
mkdir -p /var/{tmp,mail,spool/smtpd,lib/opensmtpd/empty,empty}
chmod 755 "$dir"
chmod 644 "$dir/cert.pem"

postfix_conf() {
  mkdir -p "$dir/etc/postfix"
  sed -E "s/^smtp( +)inet/$host:$port\1inet/; s/^([^#[:space:]]+ +(inet|unix|fifo|pass|unix-dgram) +[^ ]+ +[^ ]+ +)y /\1n /" \
    "$unpacked/usr/share/postfix/master.cf.dist" > "$dir/etc/postfix/master.cf"
  grep -q '^postlog' "$dir/etc/postfix/master.cf" || echo 'postlog unix-dgram n - n - 1 postlogd' >> "$dir/etc/postfix/master.cf"
  cat > "$dir/etc/postfix/main.cf" <<CF
compatibility_level = 3.6
myhostname = mx.peer.test
queue_directory = $dir/spool
data_directory = $dir/data
maillog_file = $dir/log/mail
maillog_file_prefixes = $dir
mydestination =
local_transport = error:no mailboxes here
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [$next_host]:$next_port
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = $dir/cert.pem
smtpd_tls_key_file = $dir/key.pem
smtp_tls_security_level = none
smtputf8_enable = yes
in_flow_delay = 0
$([ "$chunking" = on ] || echo 'smtpd_discard_ehlo_keywords = chunking')
CF
}

exim_conf() {
  mkdir -p "$dir/etc/exim4"
  cp "$dir/key.pem" "$dir/data/key.pem"
  chown -R 905:905 "$dir/spool" "$dir/log" "$dir/data"
  cat > "$dir/etc/exim4/exim4.conf" <<CF
primary_hostname = mx.peer.test
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = $dir/spool
log_file_path = $dir/log/%slog
pid_file_path = $dir/data/pid
daemon_smtp_ports = $port
local_interfaces = $host
tls_advertise_hosts = *
tls_certificate = $dir/cert.pem
tls_privatekey = $dir/data/key.pem
chunking_advertise_hosts = $([ "$chunking" = on ] && echo '*')
smtputf8_advertise_hosts = *
acl_smtp_rcpt = accept
acl_smtp_data = accept
acl_smtp_dkim = accept
dkim_verify_signers =
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
queue_run_max = 20
keep_environment =
never_users = root
begin routers
next:
  driver = manualroute
  route_list = * $next_host
  transport = next
  self = send
begin transports
next:
  driver = smtp
  port = $next_port
  hosts_try_chunking =
  hosts_avoid_tls = *
begin retry
* * F,1h,1s
CF
}

opensmtpd_conf() {
  chmod 711 /var/spool/smtpd
  cp "$dir/key.pem" "$dir/data/key.pem"
  chmod 600 "$dir/data/key.pem"
  cat > "$dir/etc/smtpd.conf" <<CF
pki peer cert "$dir/cert.pem"
pki peer key "$dir/data/key.pem"
smtp max-message-size 64M
listen on $host port $port tls pki peer hostname mx.peer.test
action "onward" relay host smtp+notls://$next_host:$next_port
match from any for any action "onward"
CF
}

"${kind}_conf"
umount /etc 2>/dev/null || true
mount -t overlay overlay -o "lowerdir=$dir/etc:$unpacked/etc:/etc" /etc
case $kind in
  postfix)
    chown 901:901 "$dir/data"
    chmod 755 "$dir/spool"
    postfix check 2>> "$dir/log/check" || true
    postfix start 2>> "$dir/log/start" # it goes on by itself: this process holds the namespace
    exec sleep infinity
    ;;
  exim) exec /usr/sbin/exim4 -bdf -q5s ;;
  opensmtpd) exec /usr/sbin/smtpd -d -f /etc/smtpd.conf ;;
esac
