#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The driver on the test device (qemu-test/device), which is honest here and checks what the driver does: traffic on each
# pair, changes of their number, link and announcements. The rules that the device sees broken are a result of the guest.
. "$(dirname "$0")/lib.sh"

on_testdev || skip_all "not on the test device"
plan 10

no_violations() { dev violations >"$WORK/v"; [ "$(head -1 "$WORK/v")" = 0 ]; }
checked() { stat_sum 'rx[0-9]+_csum_unnecessary'; }
udp_in() { awk '/^Udp:/ && ++n == 2 { print $2 + $3 }' /proc/net/snmp; }

begin
reach || bad "no answer to ping"
reach6 || bad "no answer to ping over IPv6"
answered 50 -i 0.01 -s 1400 "$PEER" || bad "not each of 50 pings is answered"
verdict "the device answers"

# Each pair receives what the device sends on it.
begin
max=$(max_pairs)
for ((n = 1; n <= max; n++)); do
	set_pairs "$n" || bad "$n pairs were refused"
	[ "$(dev stat pairs)" = "$n" ] || bad "$n pairs wanted, the device has $(dev stat pairs)"
	for ((i = 0; i < n; i++)); do
		had=$(udp_in) checked=$(checked)
		dev gen 20 500 $i 9999 || bad "the device can't send"
		more() { [ $(($(udp_in) - had)) -ge 20 ]; }
		wait_for 10 more || bad "pair $i of $n: $(($(udp_in) - had)) of 20 datagrams arrived"
		# The device says of each that its checksum is right.
		! negotiated 1 || ! ours || [ $(($(checked) - checked)) -ge 20 ] ||
			bad "pair $i of $n: $(($(checked) - checked)) of 20 are counted as checked by the device"
	done
	reach || bad "$n pairs: no answer to ping"
done
verdict "each pair receives"

# While the number of pairs changes, nothing is sent on a queue that is not in use: the device looks.
begin
ping -f -q -w 20 "$PEER" >/dev/null 2>&1 &
for ((turn = 0; turn < 10; turn++)); do
	for ((n = 1; n <= max; n++)); do
		set_pairs $((turn % 2 ? n : max + 1 - n)) || bad "refused"
	done
done
kill $! 2>/dev/null
no_violations || bad "rules broken: $(cat "$WORK/v")"
set_pairs "$max"
verdict "-L under traffic keeps to the rules"

begin
for turn in 1 2; do
	dev link down || bad "link down"
	wait_for 10 no_carrier || bad "the carrier is there with the link down"
	dev link up || bad "link up"
	wait_for 10 carrier || bad "no carrier with the link up"
done
reach || bad "no answer to ping"
verdict "the carrier follows"

# Its link goes, and it says no more that it wants to know of packets (as QEMU with a packed ring, which throws them away then).
begin
for went in seen unseen; do
	dev lose || bad "the device can't be told"
	if [ $went = seen ]; then
		dev link down && wait_for 10 no_carrier || bad "the carrier is there with the link down"
	fi
	dev link up && wait_for 10 carrier || bad "no carrier with the link up"
	for c in $(online_cpus); do
		from_cpu "$c" -c 3 -i 0.05 -W 5 "$PEER" || {
			note "$(ethtool -S "$NETIF" | grep -E ' [rt]x[0-9]+_(packets|kicks|callbacks|tx_timeouts): ' | tr -s ' \n' ' ')"
			bad "$went: no answer to CPU $c; $(from_cpu "$c" -c 3 -W 5 "$PEER" && echo another time there is one)"
		}
	done
done
verdict "the device is notified after its link came, wanted or not"

begin
for turn in 1 2 3; do
	had=$(dev stat announced)
	dev announce || bad "announce"
	acked() { [ "$(dev stat announced)" -gt "$had" ]; }
	wait_for 10 acked || bad "turn $turn: no acknowledgement"
done
# An interface that is down can announce nothing, so that has to wait.
ip link set "$NETIF" down
had=$(dev stat announced)
dev announce || bad "announce"
nap 1
acked && bad "acknowledged by an interface that is down"
configure || bad "the interface doesn't come up"
wait_for 10 acked || bad "asked for while the interface was down: no acknowledgement"
# Nobody is told that the device asks, but after a reset the driver looks. (Acknowledging takes the bit away.)
reset=$(readlink -f "/sys/class/net/$NETIF/device")/../reset
if ours && [ -e "$reset" ]; then
	asks() { [ "$(dev stat status)" = 3 ]; }
	dev set status 3 || bad "the device can't be told"
	nap 1
	asks || bad "acknowledged before anybody was told: status $(dev stat status)"
	echo 1 >"$reset" || bad "no reset"
	wait_for 20 eval '! asks' || bad "asked for before a reset: no acknowledgement after it"
fi
reach || bad "no answer to ping"
verdict "announcements are acknowledged"

# What the driver changes by itself: after a suspend the device refuses what it had agreed to.
begin
if ! [ -w /sys/power/pm_test ] || ! grep -qw freeze /sys/power/state; then
	skip "who listens is told what a refusal changes" "the kernel has no /sys/power/pm_test"
elif ! negotiated 53 || ! ours; then
	skip "who listens is told what a refusal changes" "no interrupt moderation to refuse, or the driver $DRV"
else
	suspend() {
		echo 1 >/sys/module/suspend/parameters/pm_test_delay
		echo devices >/sys/power/pm_test
		echo freeze >/sys/power/state || bad "no suspend"
		echo none >/sys/power/pm_test
		wait_for 10 carrier || bad "no carrier after the suspend"
	}
	at_exit 'echo none >/sys/power/pm_test; dev refuse'
	set_pairs "$max"
	ethtool -C "$NETIF" rx-usecs 20 || bad "rx-usecs 20 was refused"
	listen() {
		: >"$WORK/heard"
		# On a terminal, or it keeps what it hears to itself for long.
		socat -u "EXEC:ethtool --monitor,pty,raw,stderr" "OPEN:$WORK/heard,append" 2>>"$WORK/heard" &
		LISTEN=$!
		wait_for 10 grep -q listening "$WORK/heard" || bad "nobody listens: $(head -3 "$WORK/heard")"
	}
	heard() { grep -qE "$1" "$WORK/heard"; }
	listen
	dev refuse 4
	suspend
	dev refuse
	[ "$(pairs)" = 1 ] || bad "$(pairs) pairs, though the device refuses"
	wait_for 10 heard "^Channel parameters for $NETIF" || bad "nobody is told of the number of pairs: $(head -3 "$WORK/heard")"
	heard "^Coalesce parameters" && bad "told of interrupt moderation, which is as it was"
	kill $LISTEN
	set_pairs "$max" || bad "$max pairs were refused afterwards"
	listen
	dev refuse 6
	suspend
	dev refuse
	wait_for 10 heard "^Coalesce parameters for $NETIF" || bad "nobody is told of interrupt moderation: $(head -3 "$WORK/heard")"
	heard "^Channel parameters" && bad "told of the number of pairs, which is as it was"
	kill $LISTEN
	ethtool -C "$NETIF" rx-usecs 0 2>/dev/null
	reach || bad "no answer to ping"
	verdict "who listens is told what a refusal changes"
fi

begin
for turn in 1 2 3; do
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/unbind" || bad "turn $turn: unbind"
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/bind" || bad "turn $turn: bind"
	configure || bad "turn $turn: the interface doesn't come up"
	reach || bad "turn $turn: no answer to ping"
done
verdict "unbind and bind"

# A backend that serves fewer queues than it announces. One reset may help, more only disturb the others.
begin
if ! ours; then
	skip "pairs that nobody serves" "the driver $DRV resets nothing"
elif [ "$max" -lt 4 ]; then
	skip "pairs that nobody serves" "the device has $max pairs"
else
	mark_log
	set_pairs "$max"
	dev serve 2 || bad "the device doesn't know that"
	floods=()
	for ((i = 0; i < 4; i++)); do
		# Full rings are noticed only.
		for _ in 1 2 3 4; do
			taskset -c "$i" bash -c 'while :; do echo "$SECONDS" >/dev/udp/'"$PEER"'/7; done' 2>/dev/null &
			floods+=($!)
		done
	done
	message() { log_since | grep -q 'not served by the host'; }
	wait_for 60 message || bad "the log doesn't name the cause: $(log_since | tail -3)"
	began=$(stat_sum 'tx[0-9]+_tx_timeouts')
	more() { [ "$(stat_sum 'tx[0-9]+_tx_timeouts')" -ge $((began + 4)) ]; }
	wait_for 60 more || bad "only $(stat_sum 'tx[0-9]+_tx_timeouts') timeouts"
	resets=$(log_since | grep -c 'stuck; resetting')
	[ "$resets" = 1 ] || bad "$resets resets: $(log_since | grep -E 'stuck|WATCHDOG' | tail -5 | tr '\n' ';')"
	carrier || bad "no carrier"
	for i in 0 1; do
		wait_for 10 taskset -c $i ping -q -c 1 -W 1 "$PEER" >/dev/null || bad "CPU $i: no answer to ping meanwhile"
	done
	# The cure.
	set_pairs 2 || bad "2 pairs were refused"
	kill "${floods[@]}" 2>/dev/null
	reach || bad "no answer to ping with 2 pairs"
	set_pairs "$max" || bad "$max pairs were refused"
	dev serve || bad "the device doesn't know that"
	for ((i = 0; i < 4; i++)); do
		wait_for 30 taskset -c "$i" ping -q -c 1 -W 1 "$PEER" >/dev/null || bad "CPU $i: no answer to ping afterwards"
	done
	verdict "pairs that nobody serves: one reset, and a message"
fi

begin
no_violations || bad "rules broken: $(cat "$WORK/v")"
verdict "the device sees no rule broken"
finish
