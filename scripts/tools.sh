#!/usr/bin/env bash
# Fetches what checks and tests need into .cache/: pinned Go tools into .cache/bin, and Debian
# packages: smtp-source and smtp-sink (of Postfix), swaks, dkimpy, nmap and testssl.sh as
# .cache/tools/bin/*, Exim and OpenSMTPD as receivers into .cache/tools/exim and opensmtpd.
# Needs no root and installs nothing. What is there already is kept.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$PWD/.cache

gofumpt=mvdan.cc/gofumpt@v0.12.0
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

go_tool() { # MODULE@VERSION
  local name=${1%@*} stamp
  name=${name##*/}
  stamp=$cache/bin/.$name-${1##*@}-$(go env GOVERSION)
  [ -e "$stamp" ] && [ -x "$cache/bin/$name" ] && return
  echo "tools: $1" >&2
  mkdir -p "$cache/bin"
  rm -f "$cache/bin/.$name-"*
  GOBIN=$cache/bin CGO_ENABLED=0 go install "$1"
  touch "$stamp"
}

# apt in a state directory of our own: package lists can be fetched without root.
apt_dir=$cache/tools/apt
own_apt=(-o "Dir::State::lists=$apt_dir/lists" -o "Dir::Cache=$apt_dir/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User=)

missing_packages() { # PACKAGE...: these and what they need and this machine lacks
  apt-get "${apt_opts[@]}" install -s --reinstall --no-install-recommends "$@" 2>/dev/null | awk '$1 == "Inst" {print $2}'
}

download() { # PACKAGE...: into the current directory
  local packages
  rm -f ./*.deb
  mapfile -t packages < <(missing_packages "$@")
  ((${#packages[@]})) && apt-get -qq "${apt_opts[@]}" -o APT::Sandbox::User= download "${packages[@]}"
}

unpack() { # DIRECTORY PACKAGE...: fetches the packages and unpacks them into .cache/tools/DIRECTORY
  local root=$cache/tools/$1 debs=$apt_dir/debs/$1 deb
  shift
  echo "tools: $*" >&2
  mkdir -p "$apt_dir"/lists/partial "$apt_dir"/cache/archives/partial "$debs"
  apt_opts=(-qq)
  (cd "$debs" && download "$@" > /dev/null 2>&1) || {
    apt_opts=("${own_apt[@]}")
    [ -n "$(ls "$apt_dir"/lists/*Packages* 2>/dev/null)" ] || {
      echo "tools: fetching the package lists" >&2
      apt-get -qq "${apt_opts[@]}" update >&2
    }
    (cd "$debs" && download "$@" >&2)
  }
  rm -rf "$root"
  mkdir -p "$root"
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$root"; done
  (cd "$debs" && printf '%s\n' *.deb) > "$root/versions"
}

wrap() { # NAME DIRECTORY PATH ARGUMENT...: a wrapper that finds the unpacked libraries
  local name=$1 root=$cache/tools/$2 program=$3 lib perl
  shift 3
  perl=$root/usr/share/perl5:$(find "$root" -type d -path '*/lib/*-linux-gnu/perl5/*' -prune -printf '%p:')
  [ -e "$root/$program" ] && program=$root/$program || program=/$program # unpacked, or the machine's own
  lib=$root/usr/lib/postfix:$(find "$root" -type d \( -path '*/lib/*-linux-gnu' -o -path '*-linux-gnu/blas' \) -printf '%p:')
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s$LD_LIBRARY_PATH" PERL5LIB="%s" PYTHONPATH="%s" PATH="$PATH:%s" exec "%s" %s "$@"\n' \
    "$lib" "$perl" "$root/usr/lib/python3/dist-packages" "$root/usr/bin" "$program" "$*" > "$cache/tools/bin/$name"
  chmod +x "$cache/tools/bin/$name"
}

installed() { # NAME...: not Debian, so what is installed must do
  local t path
  for t; do
    path=$(PATH=$PATH:/usr/sbin command -v "$t") || { echo "tools: $t is missing: install it" >&2; exit 1; }
    ln -sf "$path" "$bin/$t"
  done
}

starts() { # NAME...: each prints its usage or version when all of its libraries are found
  local t out
  for t; do
    out=$("$bin/$t" --version 2>&1) || true
    if grep -qE 'error while loading|not found|No such file|Can.t locate|ModuleNotFound' <<< "$out"; then
      printf 'tools: %s does not start:\n%s\n' "$t" "$out" >&2
      exit 1
    fi
  done
}

once() { # GROUP COMMAND...: the command, unless it has been done
  local done=$bin/.done-$1
  shift
  [ -e "$done" ] && return
  "$@"
  touch "$done"
}

clients() { # smtp-source and smtp-sink are of Postfix, which bench/ runs, too
  if [ -z "$debian" ]; then
    installed smtp-source smtp-sink swaks
    return
  fi
  unpack root postfix swaks libnet-ssleay-perl
  wrap smtp-source root usr/sbin/smtp-source
  wrap smtp-sink root usr/sbin/smtp-sink
  wrap swaks root usr/bin/swaks
  starts smtp-source smtp-sink swaks
}

# What looks at us from outside: python with dkimpy, nmap, testssl.sh.
inspectors() {
  if [ -z "$debian" ]; then
    installed python3 nmap testssl
    ln -sf python3 "$bin/python-dkim"
    return
  fi
  local root=$cache/tools/inspectors
  unpack inspectors python3-minimal python3-dkim python3-nacl nmap testssl.sh dnsutils
  wrap python-dkim inspectors usr/bin/python3
  wrap nmap inspectors usr/bin/nmap --datadir "$root/usr/share/nmap"
  wrap testssl inspectors usr/bin/testssl
  sed -i "s,^exec_prefix.*,&,; s,/etc/testssl,$root/etc/testssl,g; s,/usr/share/testssl,$root/usr/share/testssl,g" "$root/usr/bin/testssl"
  starts python-dkim nmap testssl
}

# Real receivers; Postfix is there already. They conflict as packages, so each has a root of its own.
receivers() {
  [ -n "$debian" ] || return 0
  unpack exim exim4-daemon-light
  unpack opensmtpd opensmtpd
}

debian_tools() {
  local bin=$cache/tools/bin debian
  debian=$(command -v apt-get || true)
  mkdir -p "$bin"
  once clients clients
  once inspectors inspectors
  once receivers receivers
}

(
  flock 9
  go_tool "$gofumpt"
  go_tool "$staticcheck"
  debian_tools
) 9> "$(mkdir -p "$cache" && echo "$cache/.lock")"
