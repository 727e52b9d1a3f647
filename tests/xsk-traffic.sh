#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# AF_XDP, in copy mode and with zero copy: each frame is received once and whole, sent once, in order, and completed once and in order;
# with and without need_wakeup, by poll, by busy polling, with chunks of all sorts, by several sockets; what isn't for a socket goes on.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

N=${N:-1000}
mark_log
plan $(($(modes | wc -w) * 12))
reach
attach to_socket || skip_all "$(said)"
watch_stack

# receives WHAT ARGUMENTS: all frames, by sockets on all queues.
receives() {
	local what=$1
	shift
	xsk_start "$mode" "$@" -q "$queues" receive "$NETIF" || { bad "$what: $(xsk_said)"; return; }
	mode_is "$(named "$kind")"
	frames "$N" 100
	xsk_end
	all_of "$what: received" "${SOCKET[received]}" "$N"
	socket_sound "$what"
	nothing_said
}
# sends WHAT SIZE ARGUMENTS: all frames, by one socket on the last queue.
sends() {
	local what=$1 size=$2
	shift 2
	catch "$size"
	xsk_start "$mode" "$@" -q "$last" -n "$N" -s "$size" -t 10 -d 02:76:6e:6d:00:02 send "$NETIF" || { bad "$what: $(xsk_said)"; caught 0; return; }
	xsk_wait
	caught "$N"
	all_of "$what: completed" "${SOCKET[completed]}" "$N"
	socket_sound "$what"
	all_of "$what: at the host" "${GOT[back]}" "$N"
	[ "${GOT[twice]} ${GOT[wrong]} ${GOT[disorder]}" = "0 0 0" ] ||
		bad "$what: ${GOT[twice]} twice, ${GOT[wrong]} with other contents, ${GOT[disorder]} not in order"
	[ "${GOT[least]} ${GOT[most]}" = "$size $size" ] || bad "$what: sizes from ${GOT[least]} to ${GOT[most]}, not $size"
	nothing_said
}
# sends_back WHAT SIZE ARGUMENTS
sends_back() {
	local what=$1 size=$2
	shift 2
	xsk_start "$mode" "$@" echo "$NETIF" || { bad "$what: $(xsk_said)"; return; }
	echoes "$N" "$size" "$what"
	reach || bad "$what: no answer to ping meanwhile"
	xsk_end
	socket_sound "$what"
	nothing_said
}

for kind in $(modes); do
	mode=$(option "$kind") queues=$(all_queues) last=$(($(pairs) - 1))

	begin
	receives "with need_wakeup" -w
	receives "without"
	receives "by poll" -w -p
	verdict "$kind: each frame is received once and whole"

	begin
	for size in 60 64 128 1000 1514; do sends "$size bytes" $size -w; done
	sends "without need_wakeup" 60
	sends "by poll" 60 -w -p
	verdict "$kind: each frame is sent once, and completed once and in order"

	# It is copied, so its buffer needn't wait for the device. (So many have room in the ring, whatever the device does.)
	begin
	if ours && [ "$kind" = zero ]; then
		N=200 sends "one at a time" 60 -1
		all_of "completed as the system call returned" "${SOCKET[at_once]}" 200
		verdict "$kind: a small frame is completed at once"
	else
		skip "$kind: a small frame is completed at once" "only this driver, with zero copy"
	fi

	begin
	for size in 60 1514; do sends_back "$size bytes" $size -w -q "$queues"; done
	sends_back "without need_wakeup" 300 -q "$queues"
	verdict "$kind: each frame comes back"

	# The in-tree driver sends nothing for who polls busily, with zero copy.
	begin
	if ours || [ "$kind" = copy ]; then
		dir=/sys/class/net/$NETIF
		echo 2 >"$dir/napi_defer_hard_irqs"
		echo 200000 >"$dir/gro_flush_timeout"
		sends_back "busy polling" 60 -w -b -q "$queues"
		sends "busy polling" 60 -w -b
		echo 0 >"$dir/napi_defer_hard_irqs"
		echo 0 >"$dir/gro_flush_timeout"
		verdict "$kind: busy polling"
	else
		skip "$kind: busy polling" "the in-tree driver doesn't send then"
	fi

	begin
	sends_back "chunks of 2048 bytes" 1514 -w -f 2048 -q "$queues"
	sends_back "anywhere" 1514 -w -f 2048 -u -q "$queues"
	sends "chunks anywhere" 1514 -w -f 2048 -u
	verdict "$kind: small chunks, and such as lie anywhere"

	begin
	if ours || [ "$kind" = copy ]; then
		sends "checksums" 200 -w -C
		all_of "left to the device" "${GOT[partial]}" "$N"
		all_of "wrong" "${GOT[incomplete]}" 0
		sends "checksums that are there" 200 -w
		all_of "left to the device" "${GOT[partial]}" 0
		# The device isn't told to write behind a frame. (A copy of one isn't sent then.)
		if [ "$kind" = zero ]; then
			sends "checksums behind the frame" 200 -w -C -O
			all_of "left to the device" "${GOT[partial]}" 0
		fi
		verdict "$kind: the device computes checksums"
	else
		skip "$kind: the device computes checksums" "the in-tree driver doesn't have it with zero copy"
	fi

	begin
	if [ "$(pairs)" -gt 1 ]; then
		sends_back "one memory" 200 -w -S -q "$queues"
		verdict "$kind: sockets of several queues share a memory"
	else
		skip "$kind: sockets of several queues share a memory" "one queue pair"
	fi

	# What a program doesn't give to a socket goes where it always goes: from zero copy by way of a copy. The in-tree driver sends
	# nothing of the latter, for want of room in front of the copy.
	if ours || [ "$kind" = copy ]; then sends=1; else sends=; fi
	begin
	xsk_start "$mode" -w -q "$queues" receive "$NETIF" || bad "$(xsk_said)"
	for program in pass drop aborted ${sends:+tx to_self} meta to_socket; do
		attach $program || bad "$program: $(said)"
		back=
		case $program in
		tx | to_self) put ports 0 "$(<"/sys/class/net/$NETIF/ifindex")"; back=back=$N ;;
		esac
		# shellcheck disable=SC2086  # nothing, perhaps
		frames "$N" 200 $back
		case $program in
		pass | meta) all_of "$program: in the stack" "${COUNT[seen]}" "$N" ;;
		tx | to_self) came_back "$N" 200 ;;
		*) all_of "$program: in the stack" "${COUNT[seen]}" 0 ;;
		esac
		reach || bad "$program: no answer to ping"
	done
	if have_peer_service; then out=$(download 2000000 $RANDOM) || bad "$out"; fi
	if have_peer_service; then want=$(blob "$WORK/blob" 2000000); out=$(upload "$WORK/blob" "$want") || bad "$out"; fi
	xsk_end
	all_of "received" "${SOCKET[received]}" "$N"
	socket_sound "receiving"
	nothing_said
	verdict "$kind: other verdicts, and the stack beside it"

	begin
	for program in ${sends:+head_grow head_shrink tail_grow tail_shrink}; do
		put bytes 0 8
		# It has to wake the driver for its buffers.
		xsk_start "$mode" -w -q "$queues" receive "$NETIF" || bad "$(xsk_said)"
		attach $program || bad "$program: $(said)"
		frames 200 200 back=200
		all_of "$program: came back" "${GOT[back]}" 200
		[ "${GOT[twice]} ${GOT[wrong]}" = "0 0" ] || bad "$program: ${GOT[twice]} twice, ${GOT[wrong]} with other contents"
		case $program in *_grow) want=208 ;; *) want=192 ;; esac
		[ "${GOT[least]} ${GOT[most]}" = "$want $want" ] || bad "$program: sizes from ${GOT[least]} to ${GOT[most]}, not $want"
		xsk_end
	done
	attach to_socket
	nothing_said
	if [ "$sends" ]; then verdict "$kind: moved heads and tails"; else skip "$kind: moved heads and tails" "the in-tree driver doesn't send back"; fi

	# Nobody takes what comes: it is lost. With zero copy so is everything else, as there are no other buffers, but only until then.
	begin
	xsk_start "$mode" -w -q "$queues" hold "$NETIF" || bad "$(xsk_said)"
	frames $((N * 3)) 60
	[ "$kind" = zero ] || reach || bad "no answer to ping while nobody receives"
	xsk_end
	sends_back "afterwards" 60 -w -q "$queues"
	nothing_said
	verdict "$kind: a socket that nobody reads"

	begin
	detach
	xsk_start "$mode" -w -q "$queues" receive "$NETIF" || bad "$(xsk_said)"
	frames "$N" 100
	all_of "in the stack without a program" "${COUNT[seen]}" "$N"
	reach || bad "no answer to ping without a program"
	attach to_socket || bad "$(said)"
	frames "$N" 100
	xsk_end
	all_of "received" "${SOCKET[received]}" "$N"
	frames "$N" 100
	all_of "in the stack without a socket" "${COUNT[seen]}" "$N"
	nothing_said
	verdict "$kind: without a program, and without a socket"
done
finish
