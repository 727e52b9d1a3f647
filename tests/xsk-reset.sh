#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The ring is replaced (ethtool -G) while the device has a socket's frames and sends none: the socket gets all of them back, and
# needn't send another one for that.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

RING_RESET=40
negotiated $RING_RESET || skip_all "the device can't reset single queues"
plan 2
mark_log
size=$(ring TX 2)
at_exit 'ethtool -G "$NETIF" tx $size'
attach to_socket || skip_all "$(said)"

begin
# Larger than what is copied, and then completed at once.
for tx in 64 128; do
	xsk_start -z -w -n 24 -s 1400 -t 20 send "$NETIF" || { bad "not bound: $(xsk_said)"; break; }
	mode_is "zero copy"
	nap 0.3
	ethtool -G "$NETIF" tx $tx || bad "tx $tx was refused"
	xsk_wait
	all_of "tx $tx: sent" "${SOCKET[sent]}" 24
	all_of "tx $tx: completed" "${SOCKET[completed]}" 24
	socket_sound "tx $tx"
done
verdict "frames that a ring had are completed"

begin
nothing_said
verdict "no complaint in the kernel log"
finish
