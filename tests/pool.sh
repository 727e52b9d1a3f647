#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Packets that wait come back many at a time, and their pages are the pool's again: none is freed, for which another one
# would have to be allocated.
. "$(dirname "$0")/lib.sh"

plan 1
reach
name="memory of packets that waited in a socket"
PORT=7300
# Times that a page of this interface found no place in its pool.
without_place() { python3 "$HERE/pools.py" stats | awk -v i="$(cat "/sys/class/net/$NETIF/ifindex")" '$2 == i { n += $4 } END { print n + 0 }'; }

if ! have python3 || ! ours; then
	skip "$name" "there is no Python, or the driver is $DRV"
elif ! have_peer_service; then
	skip "$name" "qemu-test/peer.py doesn't run there, or socat is missing"
else
	begin
	coproc HOLD { exec python3 "$HERE/hold.py" $PORT; }
	holder=$HOLD_PID
	at_exit 'kill $holder 2>/dev/null'
	exec {from}<&"${HOLD[0]}" {to}>&"${HOLD[1]}"
	read -r -t $((20 * SLOW)) -u "$from" said
	[ "$said" = ready ] || bad "no socket"
	before=$(without_place)
	# No more at a time than fit into a ring.
	for ((n = 0; n < 15; n++)); do
		peer_request UDPSEND "$DUT_IP" $PORT 100 1400 >/dev/null || bad "the peer doesn't send"
	done
	nap 0.5
	echo >&"$to"
	read -r -t $((20 * SLOW)) -u "$from" n
	[ "${n:-0}" -ge 1000 ] || bad "only ${n:-none} of 1500 packets came"
	wait "$holder"
	[ "$(without_place)" = "$before" ] || bad "$(($(without_place) - before)) times a page of $n packets found no place in the pool"
	note "$n packets waited"
	verdict "$name"
fi
finish
