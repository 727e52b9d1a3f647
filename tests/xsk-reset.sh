#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The ring is replaced (ethtool -G) while the device has a socket's frames and sends none: the socket gets all of them back, and
# needn't send another one for that. Nor for what the ring had no room for: the new one has.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

RING_RESET=40
negotiated $RING_RESET || skip_all "the device can't reset single queues"
plan 3
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
ethtool -G "$NETIF" tx 64 || bad "tx 64 was refused"
sent() { stat tx0_xdp_tx; }
before=$(sent)
xsk_start -z -w -o -n 100 -s 1400 -t 20 send "$NETIF" || bad "not bound: $(xsk_said)"
nap 0.3
fit=$(($(sent) - before))
[ $fit -gt 0 ] && [ $fit -lt 100 ] || ! ours || bad "$fit of 100 frames have room in a ring of 64"
ethtool -G "$NETIF" tx 128 || bad "tx 128 was refused"
# At once, not with the next packet that comes.
queued() { [ $(($(sent) - before)) -ge 100 ]; }
! ours || wait_for 1 queued || bad "$(($(sent) - before)) of 100 frames are in the ring a second later"
xsk_wait
all_of sent "${SOCKET[sent]}" 100
all_of completed "${SOCKET[completed]}" 100
socket_sound "those without room"
verdict "frames that it had no room for are sent then"

begin
nothing_said
verdict "no complaint in the kernel log"
finish
