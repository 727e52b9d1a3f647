#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The device breaks a ring that has a socket's buffers (test device). A receive ring that has few of them isn't polled for ever
# because it wants more; what a socket goes on to send on a transmit ring that takes nothing any more is counted as dropped.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

on_testdev || skip_all "not on the test device"
plan 3
mark_log
at_exit 'dev honest'
dir=$(readlink -f "/sys/class/net/$NETIF/device/driver")
reach

polls() { awk '$1 == "NET_RX:" { for (i = 2; i <= NF; i++) n += $i } END { print n }' /proc/softirqs; }
is_broken() { log_since | grep -qE "id [0-9]+ (out of range|is not a head)"; }
# The driver leaves a broken ring as it is; a new binding mends it.
mended() {
	dev honest
	xsk_kill
	echo "$VDEV" >"$dir/unbind" || bad "unbinding fails"
	echo "$VDEV" >"$dir/bind" || bad "binding fails"
	configure || bad "no interface"
	reach || bad "no answer to ping"
}

# A socket that doesn't ask for being woken: the driver looks for its chunks by itself.
begin
attach to_socket || bad "$(said)"
xsk_start -z -i 620 receive "$NETIF" || bad "not bound: $(xsk_said)"
mode_is "zero copy"
dev case rx-id-max >/dev/null || bad "the device can't be told"
dev gen 8 100 0 9999 || bad "the device can't send"
wait_for 10 is_broken || bad "the ring isn't broken"
nap 1
before=$(polls)
nap 2
after=$(polls)
[ $((after - before)) -lt 1000 ] || bad "$((after - before)) softirqs in two seconds for a ring that is broken"
mended
verdict "a broken receive ring rests"

begin
mark_log
attach to_socket || bad "$(said)"
xsk_start -z -w -n 100000 -t 3 send "$NETIF" || bad "not bound: $(xsk_said)"
dev case tx-id-max >/dev/null || bad "the device can't be told"
wait_for 10 is_broken || bad "the ring isn't broken"
dropped() { [ "$(stat_sum 'tx[0-9]+_xdp_tx_drops')" -gt 0 ]; }
wait_for 10 dropped || bad "nothing is counted as dropped"
mended
verdict "what a broken transmit ring doesn't take is counted"

begin
nothing_said
verdict "no complaint in the kernel log"
finish
