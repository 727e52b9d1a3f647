#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A transmit ring that the device doesn't empty for a while: its queue is stopped once, while the largest packet still fits, and
# woken once, when the device goes on; also if the kernel's messages (netconsole) looked for room in between. Needs the test device,
# whose queues can be left alone.
. "$(dirname "$0")/lib.sh"

# Pieces of the largest packet: its header, its linear part and 17 fragments.
LARGEST=19 PAYLOAD=10 SENDERS=2
max=$(max_pairs)
[ "$max" -gt 1 ] || skip_all "one queue pair"
on_testdev || skip_all "not on the test device"
plan 5
set_pairs "$max"
mark_log
q=$((max - 1)) bql=/sys/class/net/$NETIF/queues/tx-$((max - 1))/byte_queue_limits
least=$(<"$bql/limit_min")
at_exit 'echo $least >$bql/limit_min'
at_exit 'dev serve'
# The stack's limit of bytes under way must not stop the queue first.
echo 1000000 >"$bql/limit_min"
from_queue() { wait_for 20 from_cpu "$(cpu_of $q)" -c 3 -i 0.01 -W 5 "$PEER"; }
size=$(ring TX 2)
count() { stat "tx${q}_$1"; }
sent_all() { [ $(($(count packets) - packets)) -ge "$1" ]; }
idle() { [ "$(<"$bql/inflight")" = 0 ]; }

# fill: SENDERS sockets on the queue's CPU that send until they have no more room, and what the queue's counters were before that.
fill() {
	from_queue || bad "no answer to ping"
	wait_for 10 idle || bad "the queue is busy: $(<"$bql/inflight") bytes"
	stop=$(count stop) wake=$(count wake) packets=$(count packets) late=$(count tx_timeouts)
	dev serve $q >/dev/null || bad "the device can't be told"
	senders=()
	for ((i = 0; i < SENDERS; i++)); do
		taskset -c "$(cpu_of $q)" bash -c "exec 7>/dev/udp/$PEER/$((9100 + i)); while :; do printf %${PAYLOAD}s >&7; done" &
		senders+=($!)
	done
	stopped() { [ "$(count stop)" -gt "$stop" ]; }
	wait_for 20 stopped || bad "the queue isn't stopped: $(<"$bql/inflight") bytes are under way"
	# It isn't the last sender's turn any more.
	nap 0.5
	full=$(($(<"$bql/inflight") / (14 + 20 + 8 + PAYLOAD))) stops=$(($(count stop) - stop))
	kill "${senders[@]}"
	wait "${senders[@]}" 2>/dev/null
	waiting=$(tc -s qdisc show dev "$NETIF" | awk -v q=":$(printf %x $((q + 1)))" '$4 == "parent" { own = $5 == q } own && /backlog/ { print $3 + 0; exit }')
}

# On a busy machine the stack's watchdog may come first; then it is tried again.
begin
for try in {1..6}; do
	_bad=()
	fill
	before=$(count tx_timeouts)
	dev serve >/dev/null || bad "the device can't be told"
	wait_for 30 sent_all $((full + ${waiting:-0})) || bad "of $full packets in the ring and ${waiting:-no} behind it $(($(count packets) - packets)) were sent"
	from_queue || bad "no answer to ping afterwards"
	wakes=$(($(count wake) - wake)) timeouts=$(($(count tx_timeouts) - before))
	[ "$before" = "$late" ] && break
done
verdict "what waited is sent when the device goes on"

begin
[ "$full" -ge $((size - 2 * LARGEST)) ] || bad "only $full packets are in a ring of $size as the queue is stopped"
[ "$full" -le $((size - LARGEST + 1)) ] || bad "$full packets are in a ring of $size: the largest one needs $LARGEST slots"
[ "$stops" = 1 ] || bad "the queue was stopped $stops times while the device did nothing"
verdict "the queue is stopped once, with room for the largest packet"

begin
[ "$wakes" -ge 1 ] || bad "the queue wasn't woken"
[ "$timeouts" = 0 ] || bad "only the stack's watchdog helped"
verdict "the queue is woken by what the device has sent"

# netpoll calls the polls itself, with a budget of 0, as long as the queue is stopped: nothing comes after such a poll, so the
# interrupt has to. All messages go to the one queue there is, and nothing is received that could help.
tracing=/sys/kernel/tracing
name="... also if netpoll looked at the ring meanwhile"
if ! have_netconsole; then
	skip "$name" "this kernel has no netconsole that takes targets at run time"
else
	begin
	[ -e $tracing/events ] || mount -t tracefs tracefs $tracing
	echo "$least" >"$bql/limit_min"
	set_pairs 1
	at_exit 'set_pairs $max'
	q=0 bql=/sys/class/net/$NETIF/queues/tx-0/byte_queue_limits
	echo 1000000 >"$bql/limit_min"
	reach || bad "no answer to ping"
	netconsole_to "$PEER" || bad "netconsole doesn't take all of it"
	at_exit 'echo 0 >$tracing/events/napi/napi_poll/enable'
	looked() { grep "for device $NETIF" $tracing/trace | grep -q 'budget 0$'; }
	for try in {1..6}; do
		_bad=()
		fill
		echo >$tracing/trace
		echo 1 >$tracing/events/napi/napi_poll/enable
		echo "<4>vnm: a message for a full ring" >/dev/kmsg
		wait_for 10 looked || bad "netpoll doesn't look at the ring"
		# It goes on for a moment.
		nap 0.5
		echo 0 >$tracing/events/napi/napi_poll/enable
		before=$(count tx_timeouts)
		dev serve >/dev/null || bad "the device can't be told"
		wait_for 30 idle || bad "$(<"$bql/inflight") bytes are still under way"
		[ "$(count tx_timeouts)" = "$before" ] || bad "only the stack's watchdog helped"
		[ "$before" = "$late" ] && break
	done
	from_queue || bad "no answer to ping afterwards"
	verdict "$name"
fi

begin
# On a slow machine the watchdog may have come before the device went on.
problems() { log_problems | grep -v 'NETDEV WATCHDOG'; }
[ -z "$(problems)" ] || bad "$(problems | head -3)"
verdict "no complaint of the kernel"
finish
