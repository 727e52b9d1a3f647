#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The number of queue pairs (ethtool -L) takes every value from 1 to the most, up and down; what makes no sense is refused
# and changes nothing; and neither changing it nor CPUs that come and go disturb the traffic: TCP goes on, no datagram
# is lost.
. "$(dirname "$0")/lib.sh"

max=$(max_pairs) first=$(pairs)
at_exit 'set_pairs $first'
at_exit all_cpus_online
plan 11
# With receive packet steering anywhere the kernel complains of packets from queues above their number.
at_exit 'echo 0 >/sys/class/net/lo/queues/rx-0/rps_cpus'
echo 1 >/sys/class/net/lo/queues/rx-0/rps_cpus
mark_log

begin
[ "$max" = "${QUEUES:-$max}" ] || bad "ethtool -l says at most $max, the device has $QUEUES"
[ "$max" -ge 1 ] || bad "at most $max"
verdict "the most is what the device has"

try() {
	local out
	if ! out=$(set_pairs "$1" 2>&1); then
		bad "combined $1: $out"
		return
	fi
	[ "$(pairs)" = "$1" ] || bad "set $1, reads back $(pairs)"
	[ "$(queue_dirs tx)/$(queue_dirs rx)" = "$1/$1" ] || bad "set $1, sysfs has $(queue_dirs tx) TX and $(queue_dirs rx) RX queues"
	answered 2 -i 0.05 -W 5 "$PEER" || bad "no answer to ping with $1"
}

set_pairs 1
begin
for ((n = 1; n <= max; n++)); do try $n; done
verdict "each number, upwards"
begin
for ((n = max; n >= 1; n--)); do try $n; done
verdict "each number, downwards"
begin
try "$max"
try 1
try "$max"
verdict "from one to all and back in one step"

begin
set_pairs 1
ip link set "$NETIF" down
ethtool -L "$NETIF" combined "$max" 2>"$WORK/err" || [ "$max" = 1 ] || bad "refused while down: $(cat "$WORK/err")"
ip link set "$NETIF" up
[ "$(pairs)" = "$max" ] || bad "set $max while down, has $(pairs) when up"
[ "$(queue_dirs tx)" = "$max" ] || bad "set $max while down, sysfs has $(queue_dirs tx)"
reach || bad "no answer to ping"
verdict "changed while the interface is down"

now=$max
[ "$max" -gt 1 ] && now=$((max - 1))
set_pairs $now
begin
for what in "combined 0" "combined $((max + 1))" "combined 65535" "rx 1" "tx 1" "other 1" "rx 1 tx 1 combined 0" "rx 1 combined $now"; do
	# shellcheck disable=SC2086
	ethtool -L "$NETIF" $what 2>/dev/null && bad "$what was taken"
	[ "$(pairs)" = $now ] || bad "$what: there are $(pairs) instead of $now now"
	[ "$(queue_dirs tx)" = $now ] || bad "$what: sysfs has $(queue_dirs tx) TX queues instead of $now"
done
reach || bad "no answer to ping"
verdict "what makes no sense is refused"

if [ "$max" = 1 ]; then
	for t in "TCP while the number changes" "TCP while CPUs go and come" "both at once" "no packet lost" "no error counted"; do
		skip "$t" "one queue pair only"
	done
	finish
fi

# Up and down through all numbers for that many seconds; at least once.
cycle() {
	local n end=$((SECONDS + $1)) turns=0
	while :; do
		for n in $(seq 1 "$max") $(seq $((max - 1)) -1 1); do
			[ $SECONDS -ge $end ] && [ $turns -gt 0 ] && return
			set_pairs "$n" 2>>"$WORK/err" || bad "combined $n failed: $(tail -1 "$WORK/err")"
		done
		turns=$((turns + 1))
	done
}
cpus_cycle() {
	local c end=$((SECONDS + $1)) turns=0
	while [ $SECONDS -lt $end ] || [ $turns = 0 ]; do
		for c in $(removable_cpus); do
			cpu_online "$c" 0 || bad "CPU $c doesn't go offline"
			sleep 0.2
			cpu_online "$c" 1 || bad "CPU $c doesn't come back"
		done
		turns=$((turns + 1))
	done
}

# Of all pairs: those that are not in use are not listed.
errors() { set_pairs "$max" 2>/dev/null; echo "$(($(if_stat rx_errors) + $(if_stat tx_errors) + $(stat_sum '(rx|tx)[0-9]+_drops')))"; }
errors0=$(errors)

set_pairs "$max"
begin
iperf_start --bidir -P 2 -t 10
sleep 1
cycle 7
iperf_ok || bad "iperf3: $(iperf_last)"
reach || bad "no answer to ping"
verdict "TCP both ways while the number changes"

set_pairs "$max"
if [ -z "$(removable_cpus)" ]; then
	skip "TCP both ways while CPUs go and come" "no CPU can go offline"
	skip "TCP both ways while both change" "no CPU can go offline"
else
	begin
	iperf_start --bidir -P 2 -t 8
	sleep 1
	cpus_cycle 5
	iperf_ok || bad "iperf3: $(iperf_last)"
	[ "$(pairs)" = "$max" ] || bad "$(pairs) pairs instead of $max afterwards"
	verdict "TCP both ways while CPUs go and come"

	begin
	iperf_start --bidir -P 2 -t 8
	sleep 1
	cycle 5 &
	c=$!
	cpus_cycle 5
	wait $c
	[ -s "$WORK/err" ] && bad "$(tail -1 "$WORK/err")"
	iperf_ok || bad "iperf3: $(iperf_last)"
	reach || bad "no answer to ping"
	verdict "TCP both ways while both change"
fi
all_cpus_online

# One sender on each CPU, so that each queue has its share. The neighbour's address is made permanent: looking it up anew has a queue
# of its own, which may drop. Each request reaches the peer, whose kernel counts them. Its answers may be lost before they are the
# driver's: its tap throws away what QEMU hasn't read yet of a queue that it detaches, and says nowhere how many, so the peer counts.
set_pairs "$max"
begin
lladdr=$(ip neigh show "$PEER" dev "$NETIF" | sed -n 's/.*lladdr \([^ ]*\).*/\1/p')
ip neigh replace "$PEER" lladdr "$lladdr" dev "$NETIF" nud permanent
at_exit 'ip neigh del $PEER dev $NETIF; ping -q -c 1 -W 1 $PEER'
counts=$(peer_request COUNT "${TAP:-tapA}")
[ "$counts" = counting ] || note "the peer doesn't count what its tap throws away, so no answer may be lost"
pids=() had=$(pongs)
for c in $(online_cpus); do
	taskset -c "$c" ping -q -c 400 -i 0.015 -W 10 "$PEER" >"$WORK/ping.$c" 2>&1 &
	pids+=($!)
done
cycle 5
wait "${pids[@]}"
sent=$((400 * ${#pids[@]}))
# The last answers may be later than a ping waits, which goes by how long answers have taken so far.
all_back() { [ $(($(pongs) - had)) -ge $sent ]; }
wait_for 10 all_back
unread=0 came=$sent
[ "$counts" != counting ] || read -r _ unread _ came < <(peer_request UNREAD "${TAP:-tapA}")
[ "${came:-0}" -ge $sent ] || bad "of $sent requests ${came:-none that is known of} came to the peer"
lost=$((sent - $(pongs) + had))
[ $lost -le "${unread:-0}" ] || bad "of $sent answers $lost are lost, of which the peer's tap threw away ${unread:-none}: $(grep -h transmitted "$WORK"/ping.* | tr '\n' ';')"
[ $lost -le 0 ] || note "$lost answers were thrown away by the peer's tap"
verdict "no packet lost while the number changes"

begin
[ "$(errors)" = "$errors0" ] || bad "errors and drops went from $errors0 to $(errors)"
[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
verdict "no error or drop counted, no complaint in the kernel log"
finish
