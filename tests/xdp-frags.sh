#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# XDP and large MTUs: programs for packets of several buffers judge them all, programs for packets of one are refused, either as they
# are attached or as the MTU is set, and the message says how large it may be.
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

MANY=${MANY:-300}
MRG_RXBUF=15
mark_log
plan 12
reach
at_exit 'ip link set dev "$NETIF" mtu 1500'
most=$(ip -d link show dev "$NETIF" | grep -oP 'maxmtu \K[0-9]+')
[ "$most" -ge 9000 ] || skip_all "the MTU is $most at most"
# A packet that a page holds is in one piece.
page=$(page_size)
in_one_piece() { [ "$page" -ge 16384 ]; }

begin
ip link set dev "$NETIF" mtu 9000
if in_one_piece; then
	attach pass || bad "a program for one buffer was refused with an MTU of 9000, which fits into a page of $page: $(said)"
	hostctl host run="ip link set dev $TAP mtu 9000; ip link set dev br0 mtu 9000" >/dev/null
	frames 64 9014
	all_of judged "${COUNT[judged]}" 64
	detach
else
	attach pass && bad "a program for one buffer was taken with an MTU of 9000"
	grep -qi mtu "$WORK/said" || bad "the message has nothing of the MTU: $(said)"
	! ours || grep -qE '[0-9]{4}' "$WORK/said" || bad "the message doesn't say which MTU would do: $(said)"
	note "$(said)"
	[ -z "$(attached)" ] || bad "a program is there"
	# As large as it may be, by the message.
	limit=$(grep -oE '[0-9]{4}' "$WORK/said" | grep -v 9000 | head -1)
	if ours && [ "$limit" ]; then
		ip link set dev "$NETIF" mtu "$limit"
		attach pass || bad "not even with an MTU of $limit: $(said)"
		detach
		ip link set dev "$NETIF" mtu $((limit + 1))
		attach pass && bad "with an MTU of $((limit + 1)) as well"
	fi
fi
nothing_said
verdict "a program for one buffer is refused with a large MTU"
# What C writes into the log as well.
mark_log

begin
ip link set dev "$NETIF" mtu 1500
attach pass || bad "$(said)"
if ours && ! in_one_piece; then
	ip link set dev "$NETIF" mtu 9000 2>"$WORK/said" && bad "an MTU of 9000 was taken with a program for one buffer"
	note "$(said)"
	# What the core says has no number in it; where one looks for the largest MTU is the limit.
	now=$(ip -d link show dev "$NETIF" | grep -oP 'maxmtu \K[0-9]+')
	[ "$now" -lt 9000 ] || bad "the largest MTU is $now"
	[ "$(mtu)" = 1500 ] || bad "the MTU is $(mtu)"
	ip link set dev "$NETIF" mtu 3000 || bad "nor one of 3000"
	hostctl host run="ip link set dev $TAP mtu 3000" >/dev/null
	frames 64 3014
	all_of judged "${COUNT[judged]}" 64
	# Some that no page holds come all the same: what is left of their buffers is no packet.
	hostctl host run="ip link set dev $TAP mtu 9000" >/dev/null
	dropped=$(stat_sum 'rx[0-9]+_(drops|xdp_drops)') size=$(stat_sum 'rx[0-9]+_xdp_drop_size')
	frames 64 9014
	all_of "9014 bytes: judged" "${COUNT[judged]}" 0
	all_of "9014 bytes: too large" $(($(stat_sum 'rx[0-9]+_xdp_drop_size') - size)) 64
	all_of "9014 bytes: dropped" $(($(stat_sum 'rx[0-9]+_(drops|xdp_drops)') - dropped)) 64
	frames 64 3014
	all_of "behind them: judged" "${COUNT[judged]}" 64
fi
detach
ip link set dev "$NETIF" mtu 9000 || bad "not without it either"
nothing_said
verdict "a large MTU is refused with a program for one buffer"

hostctl host run="ip link set dev $TAP mtu 9000; ip link set dev br0 mtu 9000" >/dev/null
if ! negotiated $MRG_RXBUF; then
	attach pass_frags && bad "taken without mergeable buffers"
	for what in PASS checksums DROP TX buffers REDIRECT head header tail swap; do skip "$what" "no mergeable buffers"; done
	finish
fi

begin
attach pass_frags || bad "$(said)"
watch_stack
for size in 60 1514 3600 9014; do
	frames "$MANY" $size
	all_of "$size bytes: judged" "${COUNT[judged]}" "$MANY"
	all_of "$size bytes: in the stack" "${COUNT[seen]}" "$MANY"
done
answered 20 -i 0.02 -s 8900 -M do "$PEER" || bad "pings of 8900 bytes are lost"
if have_peer_service; then
	for via in "$PEER" $PEER6; do out=$(download 4000000 $RANDOM "$via") || bad "$via: $out"; done
fi
nothing_said
verdict "PASS"

# The host leaves them to do. Where the device may leave them as well the driver does them, and the stack, which sends the frames back,
# must not do it again.
begin
tc filter add dev "$NETIF" ingress pref 1 protocol ip flower ip_proto udp dst_port 7200 action mirred egress redirect dev "$NETIF" ||
	bad "frames aren't sent back"
for size in 60 1514 9014; do
	frames 64 $size back=64 partial=1
	all_of "$size bytes: judged" "${COUNT[judged]}" 64
	came_back 64 $size
	all_of "$size bytes: with a checksum that is left to do" "${GOT[partial]}" 0
done
tc filter del dev "$NETIF" ingress pref 1
nothing_said
verdict "checksums are done once"

begin
attach drop_frags || bad "$(said)"
for size in 3600 9014; do
	frames $((MANY * 2)) $size
	all_of "$size bytes: judged" "${COUNT[judged]}" $((MANY * 2))
	all_of "$size bytes: in the stack" "${COUNT[seen]}" 0
done
nothing_said
verdict "DROP"

begin
attach tx_frags || bad "$(said)"
for size in 60 1514 3600 5000 9014; do
	frames "$MANY" $size back="$MANY"
	all_of "$size bytes: judged" "${COUNT[judged]}" "$MANY"
	came_back "$MANY" $size
done
nothing_said
verdict "TX"

# Buffers that were posted for large packets, without a program, have no room before the data, nor behind it.
begin
detach || bad "$(said)"
sizes() { sort -n /sys/class/net/"$NETIF"/queues/rx-*/virtio_net/mergeable_rx_buffer_size | tail -1; }
for ((i = 0; i < 5; i++)); do frames "$MANY" 9014; done
note "the largest buffers have $(sizes) bytes"
[ "$(sizes)" -gt 3000 ] || bad "buffers of $(sizes) bytes have room for a program"
attach tx_frags || bad "$(said)"
for size in 9014 1514 60; do
	frames 32 $size back=32
	all_of "$size bytes: judged" "${COUNT[judged]}" 32
	came_back 32 $size
done
nothing_said
verdict "TX from buffers of before the program"

begin
put ports 0 "$(<"/sys/class/net/$NETIF/ifindex")"
attach to_self_frags || bad "$(said)"
for size in 60 9014; do
	frames "$MANY" $size back="$MANY"
	came_back "$MANY" $size
done
if [ "$(nproc)" -gt 1 ]; then
	put cpus 1 512 0
	put bytes 0 1
	attach to_cpu_frags || bad "$(said)"
	frames "$MANY" 9014
	wait_for 5 eval 'counts; [ ${COUNT[seen]} = "$MANY" ]' || bad "another CPU: ${COUNT[seen]} of $MANY in the stack"
fi
nothing_said
verdict "REDIRECT"

begin
put bytes 0 64
attach head_grow_frags || bad "$(said)"
frames 128 8000 back=128
came_back 128 8064
put bytes 0 14
attach head_shrink_frags || bad "$(said)"
frames 128 8000 back=128
came_back 128 7986
nothing_said
verdict "adjust_head"

# All of a page's headroom but what the frame itself takes: none is left for the header, which has no place elsewhere either, as what
# is behind the first piece names the others.
if ours; then
	begin
	put bytes 0 216
	attach head_grow_frags || bad "$(said)"
	# With such packets buffers become pages.
	for ((i = 0; i < 3; i++)); do frames 128 8000; done
	refused() { stat_sum 'tx[0-9]+_xdp_tx_drops'; }
	had=$(refused)
	frames 64 8000
	all_of "judged" "${COUNT[judged]}" 64
	all_of "not to be grown" "${COUNT[failed]}" 0
	counted() { [ $(($(refused) - had)) = 64 ]; }
	wait_for 5 counted || bad "$(($(refused) - had)) of 64 frames without room for a header are counted as dropped"
	reach || bad "no answer to ping"
	nothing_said
	verdict "no room for a header"
else
	skip "no room for a header" "the in-tree driver's buffers have other room"
fi

begin
for by in 100 1000; do
	put bytes 0 $by
	attach tail_shrink_frags || bad "$(said)"
	frames 128 8000 back=128
	came_back 128 $((8000 - by))
done
if ours; then
	put bytes 0 16
	attach tail_grow_frags || bad "$(said)"
	frames 128 8000 back=128
	# The last buffer may have no room left, or none that the driver vouches for.
	note "growing: ${GOT[back]} of 128, ${COUNT[failed]} refused"
	all_of "grown or refused" $((GOT[back] + COUNT[failed])) 128
fi
nothing_said
verdict "adjust_tail"

begin
attach pass_frags || bad "$(said)"
in_one_piece || ! attach pass || bad "a program for one buffer in place of it"
[ "$(attached)" ] || bad "then there is none"
frames 64 9014
all_of "in the stack" "${COUNT[seen]}" 64
detach || bad "$(said)"
frames 64 9014
all_of "in the stack" "${COUNT[seen]}" 64
mark_log
verdict "not in place of one for several"
finish
