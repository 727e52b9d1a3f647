#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The drivers of samples/: each is loaded, does what it is for, and is unloaded. SAMPLES is the directory with their modules.
. "$(dirname "$0")/lib.sh"

[ "${SAMPLES:-}" ] || skip_all "SAMPLES is not set"
plan 1
at_exit 'rmmod rust_dummy'

# counter INTERFACE NAME
counter() { cat "/sys/class/net/$1/statistics/$2"; }

# --- dummy: counts and drops ---

begin
insmod "$SAMPLES/rust_dummy.ko" || bad "insmod: $?"
ip link set rsdummy0 up && ip addr add 198.51.100.1/24 dev rsdummy0 || bad "not up"
ip neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev rsdummy0
before=$(counter rsdummy0 tx_packets) bytes=$(counter rsdummy0 tx_bytes)
ping -q -c 10 -i 0.01 -s 100 -W 1 198.51.100.2 >/dev/null && bad "somebody answered"
sent=$(($(counter rsdummy0 tx_packets) - before)) bytes=$(($(counter rsdummy0 tx_bytes) - bytes))
[ $sent -ge 10 ] || bad "$sent packets were counted"
# 142: with the headers of Ethernet, IP and ICMP.
[ $bytes -ge 1420 ] || bad "$bytes bytes were counted"
[ "$(counter rsdummy0 rx_packets)" = 0 ] || bad "something was received"
ip link set rsdummy0 address 02:00:00:00:00:01 || bad "the address can't be changed"
ip link set rsdummy0 mtu 1000 || bad "the MTU can't be changed"
ip link set rsdummy0 mtu 1501 2>/dev/null && bad "an MTU of 1501 was taken"
ethtool rsdummy0 >/dev/null || bad "ethtool: $?"
ethtool -g rsdummy0 >/dev/null 2>&1 && bad "it has rings"
ip link set rsdummy0 down || bad "not down"
rmmod rust_dummy || bad "rmmod: $?"
[ -e /sys/class/net/rsdummy0 ] && bad "it is still there"
verdict "dummy: counts what it drops"

finish
