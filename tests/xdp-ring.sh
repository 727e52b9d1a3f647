#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A transmit ring that the device doesn't empty, filled by frames that a program sends back: some of it stays for the stack, the
# frames that there is no room for are dropped and counted, and the ring is whole when the device goes on. Needs the test device.
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

# Pieces of the stack's largest packet, and what a turn sends: less than a receive ring holds.
LARGEST=19 TURN=192 PORT=7200
on_testdev || skip_all "not on the test device"
plan 6
mark_log
size=$(ring TX 2)
at_exit 'dev honest'
from_queue() { wait_for 20 from_cpu "$(cpu_of "$q")" -c 3 -i 0.01 -W 5 "$PEER"; }
# Frames that the program has sent back, and those of them that there was no room for.
back() { stat "rx${q}_xdp_tx"; }
refused() { stat "tx${q}_xdp_tx_drops"; }
# What the receive queue has dropped without a cause. (The program drops nothing, but the device sends some that none can judge.)
unexplained() {
	ethtool -S "$NETIF" | awk -v all="rx${q}_xdp_drops:" -v causes="^rx${q}_xdp_drop_(merged|size|ring):$" \
		'$1 == all { n += $2 } $1 ~ causes { n -= $2 } END { print n + 0 }'
}
idle() { [ "$(<"$bql/inflight")" = 0 ]; }

begin
attach tx || bad "no program: $(said)"
# Where the device steers by a hash, its frames come to a queue of its own choice.
dev gen 1 18 0 $PORT >/dev/null || bad "the device can't be told"
arrived() { q=$(ethtool -S "$NETIF" | sed -nE 's/^ *rx([0-9]+)_xdp_tx: [1-9].*/\1/p'); [ "$q" ]; }
wait_for 10 arrived || bad "the frame didn't come: $(ethtool -S "$NETIF" | grep xdp | tr -d '\n')"
bql=/sys/class/net/$NETIF/queues/tx-$q/byte_queue_limits
from_queue || bad "no answer to ping"
wait_for 10 idle || bad "the queue is busy"
# fill TURN BYTES: the device lets go of nothing while so many frames in each turn, of so many bytes of contents, are sent back.
# The watchdog has a stuck ring reset after some seconds, which is all that a busy machine may need for this: then once more.
timeouts() { stat "tx${q}_tx_timeouts"; }
_fill() {
	local n turn=$1
	dev honest >/dev/null
	wait_for 20 idle || bad "the queue is busy"
	before=$(timeouts) back0=$(back) refused0=$(refused)
	dev case tx-never >/dev/null || bad "the device can't be told"
	for ((n = turn; n < size + 2 * turn; n += turn)); do
		dev gen $turn "$2" 0 $PORT >/dev/null || bad "the device can't be told"
		judged() { [ $(($(back) - back0)) -ge "$n" ] || [ "$(timeouts)" != "$before" ]; }
		wait_for 10 judged || bad "of $n frames $(($(back) - back0)) were sent back"
	done
	in_ring=$(($(back) - back0 - $(refused) + refused0)) full=$(($(refused) - refused0)) differ=$(unexplained)
	[ "$(timeouts)" = "$before" ]
}
fill() {
	local tries was=("${_bad[@]}")
	for tries in 1 2 3; do
		_bad=("${was[@]}")
		_fill "$@" && break
		note "the watchdog came before the ring was full, $tries"
		wait_for 20 from_queue || bad "no answer to ping"
	done
}
# leaves_room LEAST: as many frames as that are in the ring, and the stack's largest packet has room behind them.
leaves_room() {
	[ $in_ring -ge "$1" ] || bad "only $in_ring frames have room in a ring of $size"
	[ $in_ring -le $((size - LARGEST)) ] || bad "$in_ring frames are in a ring of $size: the largest packet needs $LARGEST slots"
}
fill $TURN 18
leaves_room $((size / 2))
verdict "frames that are sent back leave room for the stack"

counted() {
	[ $full -gt 0 ] || bad "none is counted: $(ethtool -S "$NETIF" | grep xdp | tr -d '\n')"
	# The in-tree driver counts them where they were to be sent, only.
	! ours || [ "$differ" = 0 ] || bad "drops and their causes differ by $differ: $(ethtool -S "$NETIF" | grep "rx${q}_xdp" | tr -d '\n')"
}
begin
counted
verdict "frames without room are counted"

begin
stop=$(stat "tx${q}_stop")
taskset -c "$(cpu_of "$q")" bash -c "exec 7>/dev/udp/$PEER/9000; echo x >&7"
[ "$(<"$bql/inflight")" -gt 0 ] || [ "$(timeouts)" != "$before" ] || bad "the stack's packet isn't in the ring"
# It may be the last one that has room.
[ $(($(stat "tx${q}_stop") - stop)) -le 1 ] || bad "the queue was stopped $(($(stat "tx${q}_stop") - stop)) times"
dev honest
wait_for 20 idle || bad "the packet isn't given back: $(<"$bql/inflight") bytes"
from_queue || bad "no answer to ping"
verdict "the stack's packet has room behind them"

# Of several buffers, each of which may take a slot.
begin
attach tx_frags || bad "no program: $(said)"
fill $((TURN / 4)) 4000
leaves_room $((size / 8))
counted
dev honest
wait_for 20 idle || bad "the frames aren't given back: $(<"$bql/inflight") bytes"
from_queue || bad "no answer to ping"
verdict "frames in pieces leave room and are counted, too"

# More than one poll takes: what is redirected in a poll that goes on is handed over as well.
begin
put cpus $(($(nproc) - 1)) 512 0 && put bytes 0 $(($(nproc) - 1)) || bad "no entry of the cpumap"
attach to_cpu || bad "no program: $(said)"
watch_stack
# They gather until a timer polls.
dir=/sys/class/net/$NETIF
at_exit 'echo 0 >$dir/napi_defer_hard_irqs; echo 0 >$dir/gro_flush_timeout'
echo 50000000 >"$dir/gro_flush_timeout" && echo 1000 >"$dir/napi_defer_hard_irqs" || bad "interrupts can't be deferred"
# Each poll is the only one of its softirq then: nobody else hands over what it leaves.
budget=/proc/sys/net/core/netdev_budget
at_exit "echo $(<$budget) >$budget"
echo 1 >$budget || bad "the softirq's budget stays"
from_queue || bad "no answer to ping"
forget
dev gen $TURN 18 0 $PORT >/dev/null || bad "the device can't be told"
in_stack() { counts; [ "${COUNT[seen]}" = $TURN ]; }
wait_for 10 in_stack || bad "of $TURN redirected frames ${COUNT[seen]} came to the stack"
from_queue || bad "no answer to ping"
verdict "more frames than a poll takes are redirected"

begin
detach || bad "the program doesn't go: $(said)"
from_queue || bad "no answer to ping without it"
# On a slow machine the stack's packet may wait for so long that the watchdog comes.
problems() { log_problems | grep -v 'NETDEV WATCHDOG'; }
[ -z "$(problems)" ] || bad "$(problems | head -3)"
dev violations >"$WORK/v"
[ "$(head -1 "$WORK/v")" = 0 ] || bad "rules broken: $(cat "$WORK/v")"
verdict "no complaint of the kernel or the device"
finish
