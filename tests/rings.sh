#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# ethtool -G: ring sizes change one queue after the other, under traffic and with the interface down; what can't be is
# refused and changes nothing.
. "$(dirname "$0")/lib.sh"

ours || skip_all "the driver is $DRV, not virtio_net_mq"
rings() { echo "$(ring RX 2)/$(ring TX 2)"; }
rx0=$(ring RX 2) tx0=$(ring TX 2) rxmax=$(ring RX 1) txmax=$(ring TX 1)
negotiated 40 || skip_all "the device can't reset single queues"
plan 8
at_exit configure
at_exit 'ethtool -G $NETIF rx $rx0 tx $tx0'
mark_log

begin
ethtool -G "$NETIF" rx "$((rx0 / 2))" || bad "rx $((rx0 / 2)) refused"
[ "$(rings)" = "$((rx0 / 2))/$tx0" ] || bad "set rx $((rx0 / 2)): now $(rings)"
for s in 64/128 128/64 "$rxmax/$txmax"; do
	ethtool -G "$NETIF" rx "${s%/*}" tx "${s#*/}" || bad "$s refused"
	[ "$(rings)" = "$s" ] || bad "set $s: now $(rings)"
	reach || bad "$s: no answer to ping"
done
verdict "sizes are set and traffic goes on"

begin
before=$(rings)
for s in "rx 100" "tx 100" "rx 16" "tx 16" "rx $((rxmax * 2))" "tx $((txmax * 2))"; do
	# shellcheck disable=SC2086
	ethtool -G "$NETIF" $s 2>/dev/null && bad "$s was accepted"
	[ "$(rings)" = "$before" ] || bad "$s: now $(rings), before $before"
done
verdict "no power of two, too small, too large: refused, nothing changes"

begin
lasts=$((5 + 5 * SLOW))
traffic() { iperf_start -p 5204 --bidir -t $lasts; since=$SECONDS; sleep 1; }
traffic
for s in 64/64 256/128 128/256 64/256 256/64; do
	# A slow machine takes its time for each: more traffic before this is over.
	if [ $((SECONDS - since)) -ge $((lasts / 2 + 1)) ]; then
		iperf_ok || bad "iperf3, before $s: $(iperf_last)"
		traffic
	fi
	ethtool -G "$NETIF" rx "${s%/*}" tx "${s#*/}" || bad "$s refused under traffic"
	[ "$(rings)" = "$s" ] || bad "set $s under traffic: now $(rings)"
	iperf_running || bad "$s: the traffic ended early"
	sleep 0.5
done
iperf_ok || bad "iperf3: $(iperf_last)"
verdict "sizes are set under traffic both ways, no connection breaks"

# What is sent meanwhile waits: all that the stack has given to the queues was sent by the device, and nothing was dropped.
begin
given() { tc -s qdisc show dev "$NETIF" | awk '/^qdisc mq / { mq = 1 } mq && /^ Sent/ { print $4; exit }'; }
drops() { stat_sum 'tx[0-9]+_drops'; }
packets() { stat_sum 'tx[0-9]+_packets'; }
all_sent() { nothing_inflight && [ $(($(packets) - sent0)) = $(($(given) - given0)) ]; }
wait_for 10 nothing_inflight || bad "$(inflight) bytes are still under way"
given0=$(given) sent0=$(packets) dropped=$(drops)
senders=()
for c in $(online_cpus); do
	taskset -c "$c" bash -c "exec 7>/dev/udp/$PEER/9; while :; do echo $c >&7; done" 2>/dev/null &
	senders+=($!)
done
for s in 128 256 64 256 128; do
	sent=$(packets)
	more() { [ $(($(packets) - sent)) -gt 100 ]; }
	wait_for 20 more || bad "before tx $s: $(($(packets) - sent)) packets are sent"
	ethtool -G "$NETIF" tx $s || bad "tx $s refused"
done
kill "${senders[@]}"
wait "${senders[@]}" 2>/dev/null
[ "$(drops)" = "$dropped" ] || bad "$(($(drops) - dropped)) packets were dropped"
wait_for 10 all_sent || bad "the queues got $(($(given) - given0)) packets, of which $(($(packets) - sent0)) were sent"
note "$(($(packets) - sent0)) packets were sent"
verdict "what is sent meanwhile isn't lost"

begin
ip link set "$NETIF" down
ethtool -G "$NETIF" rx 128 tx 128 || bad "refused while down"
configure && reach || bad "no answer to ping"
[ "$(rings)" = 128/128 ] || bad "now $(rings)"
verdict "sizes are set while the interface is down"

begin
n=$(pairs)
set_pairs 1 && set_pairs "$(max_pairs)" && reach || bad "no answer to ping after -L"
set_pairs "$n"
[ "$(rings)" = 128/128 ] || bad "after -L: $(rings)"
verdict "sizes outlive a change of the number of queues"

# With half of a small ring used by small packets a large one doesn't fit into the rest; the device waits for more buffers then.
begin
n=$(pairs)
set_pairs 1
for size in 64 32; do
	ethtool -G "$NETIF" rx $size 2>/dev/null || continue
	for ((i = 301; i <= 331; i += 6)); do
		reach || bad "$size entries, $i: no answer to ping"
		# Buffers are as small as the packets were of late.
		timeout 30 ping -q -f -c $i -w 20 "$PEER" >/dev/null || bad "$size entries, $i: no answer to ping"
		timeout 30 iperf3 -c "$PEER" -p 5204 -R -P 2 -t 1 -i 0 --connect-timeout 5000 >"$WORK/iperf" 2>&1 ||
			bad "$size entries, after $i small packets: iperf3 -R: $(tail -1 "$WORK/iperf")"
		[ ${#_bad[@]} -lt 3 ] || break 2
	done
done
ethtool -G "$NETIF" rx 128
set_pairs "$n"
verdict "large packets into small rings"

begin
[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
verdict "no complaint in the kernel log"
finish
