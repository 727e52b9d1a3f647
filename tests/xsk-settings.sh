#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A socket stays bound, and is at work, whatever else changes: numbers of queues and of descriptors, offloads, the link, down and up, the
# program, a reset, suspend; and it may be bound while the interface is down. (The in-tree driver refuses some of it, and forgets the
# sockets as it suspends.)
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

N=320
mark_log
plan $(($(modes | wc -w) * 9))
reach
first_pairs=$(pairs)
at_exit 'set_pairs $first_pairs'
attach to_socket || skip_all "$(said)"

# works WHEN: frames for all queues come back, the stack has its own.
works() {
	echoes "$N" 100 "$1"
	reach || bad "$1: no answer to ping"
	nothing_said
}
# begins ARGUMENTS, ends: a socket on each queue, and everything it has done was in order. What was on its way as the device was reset
# is lost.
begins() {
	xsk_start "$mode" -w -q "$(all_queues)" "$@" echo "$NETIF" || bad "$(xsk_said)"
	mode_is "$(named "$kind")"
}
ends() {
	xsk_end
	socket_sound "$1"
	echoes_nothing "$1"
}
# Without a socket frames are the stack's.
echoes_nothing() {
	frames 32 100
	[ "${GOT[back]}" = 0 ] || bad "$1: ${GOT[back]} came back without a socket"
}

for kind in $(modes); do
	mode=$(option "$kind")

	begin
	begins
	works "at first"
	was=$(ring RX 2)
	for n in 128 64 "$was"; do
		for way in rx tx; do
			if ethtool -G "$NETIF" $way "$n" 2>"$WORK/err"; then
				works "-G $way $n"
			elif ours && ! grep -qi "not supported" "$WORK/err"; then
				bad "-G $way $n: $(cat "$WORK/err")"
			fi
		done
	done
	ends "-G"
	verdict "$kind: ethtool -G"

	begin
	if [ "$(max_pairs)" = 1 ]; then
		skip "$kind: ethtool -L" "one queue pair"
	else
		set_pairs "$(max_pairs)"
		begins
		works "all pairs"
		# The kernel itself refuses to take the queue of a socket away.
		if set_pairs 1 2>"$WORK/err"; then
			bad "the queue of a socket is taken away"
			set_pairs "$(max_pairs)" || bad "no more pairs again"
		fi
		works "all pairs again"
		ends "-L"
		# One on the first queue doesn't mind.
		begin_on=0
		xsk_start "$mode" -w -q $begin_on echo "$NETIF" || bad "$(xsk_said)"
		for n in 1 "$(max_pairs)" 1; do
			if ! set_pairs "$n" 2>"$WORK/err" && ours; then bad "-L $n: $(cat "$WORK/err")"; fi
		done
		[ "$(pairs)" != 1 ] || works "one pair, one socket"
		set_pairs "$first_pairs"
		ends "-L with one socket"
		verdict "$kind: ethtool -L"
	fi

	begin
	begins
	for how in "gro off" "gro on" "tso off" "tso on" "tx-checksum-ip-generic off" "tx-checksum-ip-generic on" "rx-gro-hw off" "rx-gro-hw on"; do
		# shellcheck disable=SC2086  # several words
		ethtool -K "$NETIF" $how >/dev/null 2>"$WORK/err" || ! ours || [[ $how == rx-gro-hw* ]] || bad "-K $how: $(cat "$WORK/err")"
	done
	works "-K"
	ends "-K"
	verdict "$kind: ethtool -K"

	begin
	begins
	for _ in 1 2 3; do
		ip link set "$NETIF" down
		configure || bad "it doesn't come up"
		works "down and up"
	done
	ends "down and up"
	ip link set "$NETIF" down
	if xsk_start "$mode" -w -q "$(all_queues)" echo "$NETIF"; then
		configure || bad "it doesn't come up"
		works "bound while it was down"
		ends "bound while it was down"
	elif ours || [ $kind = copy ]; then
		bad "not bound while it is down: $(xsk_said)"
	fi
	configure || bad "it doesn't come up"
	begins
	ip link set "$NETIF" down
	xsk_end
	configure || bad "it doesn't come up"
	begins
	works "let go of while it was down"
	ends "let go of while it was down"
	verdict "$kind: down and up"

	begin
	begins
	for _ in 1 2; do
		link_down || bad "there is still a carrier"
		link_up || bad "no carrier"
		works "the link was down"
	done
	ends "the link"
	verdict "$kind: the link"

	begin
	begins
	for _ in 1 2 3; do
		detach || bad "$(said)"
		echoes_nothing "without a program"
		attach drop || bad "$(said)"
		attach to_socket || bad "$(said)"
		works "another program"
	done
	ends "programs"
	verdict "$kind: programs come and go"

	begin
	reset=$(readlink -f "/sys/class/net/$NETIF/device")/../reset
	if ! ours || [ ! -e "$reset" ]; then
		skip "$kind: a reset" "the driver can't, or the device"
	else
		begins
		works "before"
		for _ in 1 2; do
			echo 1 >"$reset" || bad "no reset"
			configure || bad "it doesn't come up"
			works "after a reset"
		done
		ends "a reset"
		verdict "$kind: a reset"
	fi

	begin
	if [ "$S3" != yes ] || ! ours; then
		skip "$kind: suspend" "the machine isn't made for it, or the driver forgets the program and sockets"
	else
		begins
		works "before"
		hostctl wake after=4 >/dev/null
		echo deep >/sys/power/mem_sleep
		echo mem >/sys/power/state || bad "no suspend"
		configure || bad "it doesn't come up"
		works "after suspend"
		ends "suspend"
		verdict "$kind: suspend"
	fi

	begin
	dir=$(readlink -f "/sys/class/net/$NETIF/device/driver")
	for _ in 1 2 3; do
		begins
		echo "$VDEV" >"$dir/unbind" || bad "unbinding fails"
		xsk_kill
		echo "$VDEV" >"$dir/bind" || bad "binding fails"
		configure || { bad "no interface"; break; }
		attach to_socket || bad "$(said)"
		begins
		works "bound again"
		ends "bound again"
	done
	nothing_said
	verdict "$kind: the driver is unbound"
done
finish
