#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# AF_XDP and packets of several descriptors: received whole, sent whole, each once, with every descriptor completed in order; sockets
# that don't take such packets lose those that are too long for one chunk, and nothing else.
. "$(dirname "$0")/lib.sh"
at_exit 'ip link set dev "$NETIF" mtu 1500'
ip link set dev "$NETIF" mtu 1500
. "$HERE/xsk/lib.sh"

N=${N:-300}
mark_log
plan $(($(modes | wc -w) * 5))
reach
attach to_socket_frags || skip_all "$(said)"
watch_stack
ip link set dev "$NETIF" mtu 9000 || skip_all "the MTU can't be 9000"

# What the program passes in several buffers is one packet to the stack.
long_answers() { ping -c 3 -i 0.2 -W 5 -s 8000 -p a55a3c "$PEER" >"$WORK/ping" && ! grep -qE 'wrong|truncated' "$WORK/ping"; }
# back_whole SIZE ARGUMENTS
back_whole() {
	local size=$1
	shift
	xsk_start "$mode" -w -g -q "$queues" "$@" echo "$NETIF" || { bad "$size bytes: $(xsk_said)"; return; }
	mode_is "$(named "$kind")"
	echoes "$N" "$size" "$size bytes"
	reach || bad "$size bytes: no answer to ping meanwhile"
	long_answers || bad "$size bytes: the stack gets no long packet whole: $(tail -3 "$WORK/ping")"
	xsk_end
	socket_sound "$size bytes"
	most=${SOCKET[parts]}
	nothing_said
}

for kind in $(modes); do
	mode=$(option "$kind") queues=$(all_queues) last=$(($(pairs) - 1))

	# The in-tree driver has one descriptor for each packet with zero copy.
	if [ "$kind" = zero ] && ! ours; then
		for what in "frames come back whole" "frames are sent whole" "sizes between" "a program sends back what is in one chunk" "sockets that take one descriptor"; do
			skip "$kind: $what" "the in-tree driver doesn't have it"
		done
		continue
	fi

	begin
	back_whole 9014
	[ "$most" -gt 1 ] || bad "never more than $most descriptors"
	# As many as there are chunks for.
	N=96 back_whole 9014 -f 2048
	[ "$most" -gt 4 ] || bad "never more than $most descriptors of 2048 bytes"
	verdict "$kind: frames come back whole"

	begin
	for size in 60 1514 4096 4097 8192 9014; do
		catch "$size"
		xsk_start "$mode" -w -g -q "$last" -n "$N" -s "$size" -t 10 -d 02:76:6e:6d:00:02 send "$NETIF" || { bad "$size bytes: $(xsk_said)"; caught 0; continue; }
		xsk_wait
		caught "$N"
		parts=$(((size + 4095) / 4096))
		all_of "$size bytes: completed" "${SOCKET[completed]}" $((N * parts))
		socket_sound "$size bytes"
		all_of "$size bytes: at the host" "${GOT[back]}" "$N"
		[ "${GOT[twice]} ${GOT[wrong]} ${GOT[disorder]}" = "0 0 0" ] ||
			bad "$size bytes: ${GOT[twice]} twice, ${GOT[wrong]} with other contents, ${GOT[disorder]} not in order"
		[ "${GOT[least]} ${GOT[most]}" = "$size $size" ] || bad "$size bytes: sizes from ${GOT[least]} to ${GOT[most]}"
		nothing_said
	done
	verdict "$kind: frames are sent whole"

	begin
	for size in 60 1514 1800 3500 3840 3841 4096 5000 7700; do N=96 back_whole $size; done
	verdict "$kind: sizes between"

	# From zero copy by way of a copy, which is of one chunk.
	begin
	xsk_start "$mode" -w -g -q "$queues" receive "$NETIF" || bad "$(xsk_said)"
	attach tx_frags || bad "$(said)"
	frames 96 200 back=96
	came_back 96 200
	if [ "$kind" = zero ]; then
		dropped=$(stat_sum 'rx[0-9]+_xdp_drops')
		frames 96 9014
		all_of "long ones came back" "${GOT[back]}" 0
		all_of "long ones are dropped" $(($(stat_sum 'rx[0-9]+_xdp_drops') - dropped)) 96
	else
		frames 96 9014 back=96
		came_back 96 9014
	fi
	reach || bad "no answer to ping"
	xsk_end
	attach to_socket_frags || bad "$(said)"
	nothing_said
	verdict "$kind: a program sends back what is in one chunk"

	# Who didn't ask for it gets what one chunk holds.
	begin
	# Where the MTU is too long for it, the kernel refuses it with zero copy.
	ip link set dev "$NETIF" mtu 1500
	if xsk_start "$mode" -w -q "$queues" echo "$NETIF"; then
		ip link set dev "$NETIF" mtu 9000 2>"$WORK/err" || bad "mtu 9000: $(cat "$WORK/err")"
		dropped=$(stat_sum 'rx[0-9]+_xdp_drop_size')
		frames 64 9014
		all_of "long ones came back" "${GOT[back]}" 0
		dropped=$(($(stat_sum 'rx[0-9]+_xdp_drop_size') - dropped))
		[ "$kind" = copy ] || [ $dropped -gt 0 ] || bad "long ones aren't counted"
		echoes 200 1514 "short ones"
		reach || bad "no answer to ping"
		xsk_end
		socket_sound "short ones"
	else
		bad "$(xsk_said)"
	fi
	ip link set dev "$NETIF" mtu 9000
	nothing_said
	verdict "$kind: sockets that take one descriptor"
done
finish
