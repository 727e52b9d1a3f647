#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The device is QEMU's, its queues are served by another process (vhost-user). As many pairs as that has can be used, and it
# knows which. Under traffic, the process ends and another one comes: meanwhile there is no carrier, then it is there again
# by itself, with the same number of pairs and all settings, and connections go on.
. "$(dirname "$0")/lib.sh"

ROUNDS=${ROUNDS:-3}
on_testdev || skip_all "no process of the host's serves the queues"
[ "$TESTDEV" ] && [ "$(hostctl device "run=stat rx0.enabled")" = 1 ] || skip_all "no process of the host's serves the queues"
max=$(max_pairs)
cpus=$(online_cpus)
plan $((7 + ROUNDS))
mark_log
at_exit 'hostctl testdev run=start'

dev() { hostctl device "run=stat $1"; }
# enabled N: that pairs 0 to N - 1 are in use and the others aren't.
enabled() {
	local i want
	for ((i = 0; i < QUEUES; i++)); do
		want=$((i < $1))
		[ "$(dev rx$i.enabled)$(dev tx$i.enabled)" = $want$want ] || { echo "pair $i"; return 1; }
	done
}
serve() { hostctl testdev run=start && wait_for 10 carrier; }

begin
[ "$max" = "$QUEUES" ] || bad "$max pairs, the process has $QUEUES"
verdict "there are as many pairs as the process has"

begin
for n in 1 "$max" 2 "$max"; do
	[ "$n" -le "$max" ] || continue
	set_pairs "$n" || bad "$n pairs were refused"
	wait_for 5 enabled "$n" >/dev/null || bad "with $n pairs the process has others in use: $(enabled "$n")"
	reach || bad "no answer to ping with $n pairs"
done
verdict "the process knows how many pairs are in use"

begin
for ((i = 0; i < max; i++)); do before[i]=$(dev tx$i.packets); done
for cpu in $cpus; do
	taskset -c "$cpu" ping -q -c 3 -i 0.2 "$PEER" >/dev/null || bad "no answer to CPU $cpu"
done
n=0
for ((i = 0; i < max; i++)); do [ "$(dev tx$i.packets)" -gt "${before[i]}" ] && n=$((n + 1)); done
want=$(wc -w <<<"$cpus")
[ "$n" -ge $((want < max ? want : max)) ] || bad "packets on $n pairs, from $want CPUs"
verdict "packets on each pair"

# Settings that have to be there afterwards: the control queue is QEMU's, and stays.
ip link add link "$NETIF" name v9 type vlan id 9
ip link set "$NETIF" mtu 1400
at_exit "ip link del v9; ip link set $NETIF mtu 1500"

for ((round = 1; round <= ROUNDS; round++)); do
	begin
	iperf_start -t 12 -P 2 $([ $((round % 2)) = 0 ] && echo -R)
	sleep 2
	hostctl testdev run=kill || bad "the process doesn't end"
	wait_for 10 no_carrier || bad "there still is a carrier without the process"
	case $round in
	2)
		# Nobody is there to serve the queues; commands are QEMU's.
		set_pairs 2 || bad "2 pairs were refused meanwhile"
		;;
	3)
		ip link set "$NETIF" down
		ip link set "$NETIF" up
		sleep 1
		;;
	esac
	serve || bad "no carrier with the new process"
	reach || bad "no answer to ping"
	iperf_ok || bad "the connection ended: $(tail -1 "$IPERF_LOG")"
	n=$(pairs)
	wait_for 5 enabled "$n" >/dev/null || bad "with $n pairs the new process has others in use: $(enabled "$n")"
	set_pairs "$max" || bad "$max pairs were refused"
	verdict "the process ends and another one comes ($round)"
done

# Buffers used of which the driver is never told. With the link, it looks by itself.
# unheard: pings from all CPUs, of whose answers nothing is heard.
unheard() {
	local cpu
	hostctl device run="case irq-none" >/dev/null || bad "the process knows no case irq-none"
	for cpu in $cpus; do
		taskset -c "$cpu" ping -q -i 0.01 -c 40 -w 1 "$PEER" >/dev/null
	done
}
begin
unheard
had=$(pongs)
sleep 1
[ "$(pongs)" = "$had" ] || bad "the process interrupts after all"
hostctl qmp set_link name=nic0 up=false >/dev/null || bad "the host can't switch the link off"
wait_for 10 no_carrier || bad "there still is a carrier"
hostctl qmp set_link name=nic0 up=true >/dev/null || bad "the host can't switch the link on"
wait_for 10 carrier || bad "no carrier"
more() { [ "$(pongs)" -gt "$had" ]; }
wait_for 10 more || bad "answers that had come aren't found"
hostctl device run=honest >/dev/null
reach || bad "no answer to ping"
verdict "queues whose interrupts were lost are looked at with the link"

# The same and the process ends: who comes next has to make up for it.
begin
unheard
hostctl testdev run=kill || bad "the process doesn't end"
wait_for 10 no_carrier || bad "there still is a carrier without the process"
serve || bad "no carrier with the new process"
for cpu in $cpus; do
	taskset -c "$cpu" ping -q -c 3 -i 0.2 -w 10 "$PEER" >/dev/null || bad "no answer to CPU $cpu"
done
verdict "interrupts that the process owed"

begin
[ "$(mtu)" = 1400 ] || bad "the MTU is $(mtu)"
rx_filter vlan-table | grep -qw 9 || bad "VLAN 9 is no longer let through: $(rx_filter vlan-table)"
reach || bad "no answer to ping"
verdict "settings are as before"

begin
log_problems >"$WORK/splat"
[ ! -s "$WORK/splat" ] || bad "the kernel complains: $(head -3 "$WORK/splat")"
verdict "the kernel has nothing to complain of"
finish
