#!/usr/bin/env bash
# Fetches what checks and tests need into .cache/: pinned Go tools into .cache/bin, and
# smtp-source, smtp-sink (Debian's postfix package) and swaks into .cache/tools/bin.
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

missing_packages() { # OPTION...: the packages that smtp-source and swaks need and this machine lacks
  apt-get "$@" install -s --reinstall --no-install-recommends postfix swaks 2>/dev/null | awk '$1 == "Inst" {print $2}'
}

fetch_packages() { # unpacks them into .cache/tools/root
  local opts=() packages
  packages=$(missing_packages) || packages=
  mkdir -p "$apt_dir"/lists/partial "$apt_dir"/cache/archives/partial "$apt_dir"/debs
  (
    cd "$apt_dir/debs"
    rm -f ./*.deb
    # shellcheck disable=SC2086
    [ -n "$packages" ] && apt-get -qq -o APT::Sandbox::User= download $packages >/dev/null 2>&1
  ) || {
    echo "tools: fetching the package lists" >&2
    opts=("${own_apt[@]}")
    apt-get -qq "${opts[@]}" update >&2
    packages=$(missing_packages "${opts[@]}")
    # shellcheck disable=SC2086
    (cd "$apt_dir/debs" && rm -f ./*.deb && apt-get -qq "${opts[@]}" download $packages >&2)
  }
  rm -rf "$cache/tools/root"
  mkdir -p "$cache/tools/root"
  local deb
  for deb in "$apt_dir"/debs/*.deb; do dpkg-deb -x "$deb" "$cache/tools/root"; done
}

wrap() { # NAME PATH: a wrapper that finds the unpacked libraries
  local root=$cache/tools/root lib
  lib=$root/usr/lib/postfix:$(find "$root" -type d -path '*/lib/*-linux-gnu' -printf '%p:')
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s$LD_LIBRARY_PATH" PERL5LIB="%s" exec "%s" "$@"\n' \
    "$lib" "$root/usr/share/perl5" "$root/$2" > "$cache/tools/bin/$1"
  chmod +x "$cache/tools/bin/$1"
}

debian_tools() {
  local bin=$cache/tools/bin t
  [ -x "$bin/smtp-source" ] && [ -x "$bin/smtp-sink" ] && [ -x "$bin/swaks" ] && [ -e "$bin/.done" ] && return
  mkdir -p "$bin"
  echo "tools: smtp-source, smtp-sink and swaks" >&2
  if ! command -v apt-get > /dev/null; then # not Debian: what is installed must do
    for t in smtp-source smtp-sink swaks; do
      ln -sf "$(PATH=$PATH:/usr/sbin command -v "$t" || { echo "tools: $t is missing: install postfix and swaks" >&2; exit 1; })" "$bin/$t"
    done
  else
    fetch_packages
    wrap smtp-source usr/sbin/smtp-source
    wrap smtp-sink usr/sbin/smtp-sink
    wrap swaks usr/bin/swaks
  fi
  # Each prints its usage or version when all of its libraries are found.
  for t in smtp-source smtp-sink swaks; do
    if "$bin/$t" --version 2>&1 | grep -qE 'error while loading|not found|Can.t locate'; then
      echo "tools: $t does not start:" >&2
      "$bin/$t" --version >&2 || exit 1
      exit 1
    fi
  done
  touch "$bin/.done"
}

(
  flock 9
  go_tool "$gofumpt"
  go_tool "$staticcheck"
  debian_tools
) 9> "$(mkdir -p "$cache" && echo "$cache/.lock")"
