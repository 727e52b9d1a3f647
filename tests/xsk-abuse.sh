#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# AF_XDP's sockets of processes that break the rules, while packets of several buffers come without copies: chunks that are given to receive
# in twice, and ends of chunks, where the kernel describes a packet, that are written over all the time. That does harm to nobody else: the
# kernel says nothing, and an honest socket gets each frame afterwards.
. "$(dirname "$0")/lib.sh"
at_exit 'ip link set dev "$NETIF" mtu 1500'
ip link set dev "$NETIF" mtu 1500
. "$HERE/xsk/lib.sh"

N=${N:-300}
GUEST_CSUM=1 CTRL_GUEST_OFFLOADS=2
ours || skip_all "the in-tree driver has no zero copy for such packets"
[ "$ZC" = yes ] || skip_all "no zero copy with this device"
mark_log
plan 3
reach
attach to_socket_frags || skip_all "$(said)"
ip link set dev "$NETIF" mtu 9000 || skip_all "the MTU can't be 9000"
# Else the host does them.
negotiated $GUEST_CSUM && ! negotiated $CTRL_GUEST_OFFLOADS && note "checksums are left to do"

dropped() { stat_sum 'rx[0-9]+_drop_nomem'; }

# abused HOW: frames in few and in many chunks, then an honest socket.
abused() {
	local chunk before
	for chunk in 4096 2048; do
		before=$(dropped)
		xsk_start -z -w -g -q "$(all_queues)" -f $chunk -x "$1" receive "$NETIF" || { bad "$1: $(xsk_said)"; return; }
		mode_is "zero copy"
		frames "$N" 9014 partial=1
		reach || bad "$chunk bytes: no answer to ping meanwhile"
		xsk_end
		note "$1, $chunk bytes: $(($(dropped) - before)) dropped, $(tail -1 "$WORK/xsk")"
		[ "$1" = ends ] || [ "$(dropped)" -gt "$before" ] || bad "$chunk bytes: no packet had a chunk twice"
		nothing_said
	done
	xsk_start -z -w -g -q "$(all_queues)" echo "$NETIF" || { bad "afterwards: $(xsk_said)"; return; }
	echoes 96 9014 "afterwards"
	echoes 96 9014 "afterwards, checksums left to do" partial=1
	echoes 96 60 "afterwards, short ones"
	xsk_end
	socket_sound "afterwards"
	nothing_said
}

begin
abused twice
verdict "chunks are given twice running"

begin
abused again
verdict "chunks are given once more behind the next one"

begin
abused ends
verdict "ends of chunks are written over"
finish
