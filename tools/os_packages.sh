#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Install the operating system's packages that the demo and the tests need, by apt-get or dnf, as root or by sudo.
# Says which; does nothing, and asks no package server, if all are there.
. "$(dirname "$0")/lib.sh"

# program that must be there | package for apt-get | package for dnf
NEEDS='
git             git                     git-core
make            make                    make
flock           util-linux              util-linux
nsenter         util-linux              util-linux
mount           mount                   util-linux
ip              iproute2                iproute
ssh             openssh-client          openssh-clients
ssh-keygen      openssh-client          openssh-clients
systemd-nspawn  systemd-container       systemd-container
mmdebstrap      mmdebstrap              mmdebstrap
'

# What only the tests want: tools/os_packages.sh test
if [ "${1:-}" = test ]; then
  NEEDS+='nft             nftables                nftables
'
fi

# What only a lab of virtual machines wants: tools/os_packages.sh qemu
if [ "${1:-}" = qemu ]; then
  NEEDS+='mke2fs              e2fsprogs          e2fsprogs
qemu-img            qemu-utils         qemu-img
qemu-system-x86_64  qemu-system-x86    qemu-system-x86-core
zstd                zstd               zstd
'
fi

missing=()
column=
if command -v apt-get >/dev/null; then
  column=2
elif command -v dnf >/dev/null; then
  column=3
fi

want() { # program, package
  local package
  for package in "${missing[@]}"; do
    [ "$package" != "$2" ] || return 0
  done
  missing+=("$2")
}

# Administrators' programs are often outside an ordinary user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
while read -r program apt dnf; do
  [ -n "$program" ] || continue
  command -v "$program" >/dev/null && continue
  case $column in
    2) want "$program" "$apt" ;;
    3) want "$program" "$dnf" ;;
    *) want "$program" "$program" ;;
  esac
done <<<"$NEEDS"
# The lab's hosts are Debian: a Debian machine has its archive's keys, others need them as a package.
if [ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then
  case $column in
    2) want keyring debian-archive-keyring ;;
    *) want keyring debian-keyring ;;
  esac
fi
if ! find_python >/dev/null; then
  case $column in
    2) want python python3-venv ;;
    3) want python python3.12 ;;
    *) want python 'Python 3.11 to 3.13 with venv' ;;
  esac
fi

[ ${#missing[@]} -gt 0 ] || exit 0
say "operating system packages to install: ${missing[*]}"
case $column in
  2)
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    ;;
  3) as_root dnf install -y -q "${missing[@]}" ;;
  *) die "neither apt-get nor dnf here: install these yourself: ${missing[*]}" ;;
esac
find_python >/dev/null || die "this system has no Python 3.11 to 3.13 with the venv module; install one and set RAILYARD_PYTHON to it"
