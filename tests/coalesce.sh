#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Interrupt moderation: what ethtool -C sets, for the interface or for single queues, is what ethtool shows and what the
# device has, also after -L, -G and a reset; what can't be is refused and changes nothing. adaptive-rx follows the traffic.
# On a device without the feature only the refusals. What the device has is read from the test device (qemu-test/device).
. "$(dirname "$0")/lib.sh"

negotiated 53 && all=yes
negotiated 52 && single=yes
max=$(max_pairs) first=$(pairs)
on_testdev && see=yes

plan 11
at_exit configure
at_exit 'ethtool -C $NETIF adaptive-rx off; ethtool -C $NETIF rx-usecs 0 rx-frames 0 tx-usecs 0 tx-frames 1; set_pairs $first'
mark_log
reach

# "20/8 30/16 off": delay and packets for receiving and for sending, adaptive-rx; of the interface or of one pair.
fields() {
	awk '$1 == "Adaptive" { a = $3 } $1 == "rx-usecs:" { ru = $2 } $1 == "rx-frames:" { rf = $2 }
		$1 == "tx-usecs:" { tu = $2 } $1 == "tx-frames:" { tf = $2 } END { print ru "/" rf, tu "/" tf, a }'
}
shown() { ethtool -c "$NETIF" | fields; }
shown_pair() { ethtool --per-queue "$NETIF" queue_mask "$(printf '%#x' $((1 << $1)))" --show-coalesce | fields; }
# Of single queues ethtool says what is refused, but ends as if it weren't.
set_pair() {
	local q=$1 err
	shift
	err=$(ethtool --per-queue "$NETIF" queue_mask "$(printf '%#x' $((1 << q)))" --coalesce "$@" 2>&1 >/dev/null)
	[ -z "$err" ] || { echo "$err" >&2; return 1; }
}
set_all() { ethtool -C "$NETIF" "$@"; }
# "20/8" of rx0, tx0, …, at the device.
device() { echo "$(dev stat "$1.max_usecs")/$(dev stat "$1.max_packets")"; }
expect() { # WHEN SHOWN
	local got
	got=$(shown)
	[ "$got" = "$2" ] || bad "$1: shown $got, not $2"
}
expect_pair() { # WHEN PAIR SHOWN
	local got
	[ "$single" ] || return 0
	got=$(shown_pair "$2")
	[ "$got" = "$3" ] || bad "$1: pair $2 shown $got, not $3"
}
expect_device() { # WHEN QUEUE VALUES
	local got
	[ "$see" ] || return 0
	got=$(device "$2")
	[ "$got" = "$3" ] || bad "$1: the device has $got for $2, not $3"
}
expect_all() { # WHEN RX TX
	local q n
	n=$(pairs)
	for ((q = 0; q < n; q++)); do
		expect_pair "$1" $q "$2 $3 off"
		expect_device "$1" rx$q "$2"
		expect_device "$1" tx$q "$3"
	done
}
refused() { # WHAT…
	local before after
	before=$(shown)
	"$@" 2>/dev/null && bad "$*: accepted"
	after=$(shown)
	[ "$before" = "$after" ] || bad "$*: now $after, before $before"
}

begin
if [ "$all$single" ]; then
	expect "at first" "0/0 0/1 off"
	expect_device "at first" rx0 0/0
	[ "$see" ] && [ "$(device tx0)" != 0/0 ] && [ "$(device tx0)" != 0/1 ] && bad "at first: the device has $(device tx0) for tx0"
else
	expect "at first" "0/1 0/1 off"
	for v in "rx-usecs 10" "tx-usecs 10" "rx-frames 2" "rx-frames 0" "tx-frames 2" "tx-frames 0" "adaptive-rx on"; do
		# shellcheck disable=SC2086
		refused set_all $v
		# shellcheck disable=SC2086
		refused set_pair 0 $v
	done
fi
verdict "what there is at first"

rest="values are set
values that can't be are refused
what the device refuses isn't in force
single queues have values of their own
values for all replace those
pairs that come into use have their values
values outlive a reset of the ring
values outlive a reset of the device
adaptive-rx follows the traffic"
if [ ! "$all$single" ]; then
	while IFS= read -r t; do skip "$t" "the device can't hold interrupts back"; done <<<"$rest"
	begin
	[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
	verdict "no complaint in the kernel log"
	finish
fi

begin
set_pairs "$max"
set_all rx-usecs 20 rx-frames 8 || bad "refused for receiving"
expect "receiving" "20/8 0/1 off"
set_all tx-usecs 30 tx-frames 16 || bad "refused for sending"
expect "both" "20/8 30/16 off"
expect_all "both" 20/8 30/16
reach || bad "no answer to ping"
set_all rx-usecs 0 tx-frames 1 || bad "refused to go back"
expect_all "back" 0/8 30/1
verdict "values are set"

begin
set_all rx-usecs 20 rx-frames 8 tx-usecs 30 tx-frames 16
if ours; then
	for v in rx-usecs tx-usecs; do refused set_all $v 1000001; done
	for v in rx-frames tx-frames; do refused set_all $v 32769; done
	# One half is good, the other isn't.
	refused set_all rx-usecs 5 tx-usecs 4000000000
	refused set_all tx-usecs 5 rx-frames 4000000000
	[ "$single" ] && refused set_pair 0 tx-usecs 1000001
fi
refused set_all tx-frames-irq 5
refused set_all adaptive-tx on
refused set_pair "$max" rx-usecs 5
[ "$single" ] || refused set_all adaptive-rx on
# On, with a value that isn't in force.
refused set_all adaptive-rx on rx-usecs 77
expect_all "after refusals" 20/8 30/16
verdict "values that can't be are refused"

begin
if ours && [ "$see" ]; then
	# Class 6: all of it, then those of receiving for all queues or for single ones, so that half of it is refused.
	dev refuse 6
	refused set_all rx-usecs 50
	refused set_all tx-usecs 51 rx-frames 3
	[ "$single" ] && refused set_pair 0 rx-usecs 52 tx-frames 2
	expect_all "refused by the device" 20/8 30/16
	if [ "$all" ]; then
		dev refuse 6 1
		refused set_all rx-usecs 53 tx-usecs 54
		expect_all "half of it refused by the device" 20/8 30/16
	fi
	if [ "$single" ]; then
		# Of a single queue's, what is for sending comes second; what has been taken for receiving is taken back.
		commands=$(dev stat commands)
		dev refuse 6 2 2
		refused set_pair 0 rx-usecs 55 tx-usecs 56
		[ "$(dev stat commands)" -ge $((commands + 3)) ] || bad "$(($(dev stat commands) - commands)) commands, not 3"
		expect_all "half of a pair's refused by the device" 20/8 30/16
	fi
	dev refuse
	set_all rx-usecs 23 || bad "refused afterwards"
	expect_all "afterwards" 23/8 30/16
	set_all rx-usecs 20
	reach || bad "no answer to ping"
	verdict "what the device refuses isn't in force"
else
	skip "what the device refuses isn't in force" "not this driver, or not on the test device"
fi

begin
if [ "$single" ] && [ "$max" -gt 1 ]; then
	set_pair 1 rx-usecs 40 tx-frames 4 || bad "refused"
	expect_pair "one pair" 1 "40/8 30/4 off"
	expect_pair "one pair" 0 "20/8 30/16 off"
	expect "one pair" "20/8 30/16 off"
	expect_device "one pair" rx1 40/8
	expect_device "one pair" tx1 30/4
	expect_device "one pair" rx0 20/8
	expect_device "one pair" tx0 30/16
	verdict "single queues have values of their own"
	begin
	set_all rx-usecs 21 || bad "refused"
	expect_all "for all" 21/8 30/16
	verdict "values for all replace those"
elif [ "$single" ]; then
	skip "single queues have values of their own" "one pair"
	skip "values for all replace those" "one pair"
else
	refused set_pair 0 rx-usecs 40
	[ "$(shown_pair 0)" = "20/8 30/16 off" ] || bad "pair 0 shown $(shown_pair 0)"
	expect_all "after refusal" 20/8 30/16
	verdict "single queues have no values of their own"
	skip "values for all replace those" "the device has no values for single queues"
fi

begin
if [ "$max" -gt 1 ]; then
	set_pairs 1
	set_all rx-usecs 22 || bad "refused with one pair"
	[ "$single" ] && { set_pair 1 tx-usecs 33 || bad "refused for a pair that is not in use"; }
	set_pairs "$max"
	expect "more pairs" "22/8 30/16 off"
	for ((q = 0; q < max; q++)); do
		tx=30/16
		[ "$single" ] && [ $q = 1 ] && tx=33/16
		expect_pair "more pairs" $q "22/8 $tx off"
		expect_device "more pairs" rx$q 22/8
		expect_device "more pairs" tx$q $tx
	done
	reach || bad "no answer to ping"
	verdict "pairs that come into use have their values"
else
	skip "pairs that come into use have their values" "one pair"
fi

begin
rx=$(ring RX 2) tx=$(ring TX 2)
set_all rx-usecs 23
[ "$single" ] && set_pair 0 tx-usecs 34
if negotiated 40; then
	ethtool -G "$NETIF" rx $((rx / 2)) tx $((tx / 2)) || bad "-G refused"
	expect_pair "after -G" 0 "23/8 34/16 off"
	expect_device "after -G" rx0 23/8
	[ "$single" ] && expect_device "after -G" tx0 34/16
	ethtool -G "$NETIF" rx "$rx" tx "$tx"
	expect_device "after -G back" rx0 23/8
	ip link set "$NETIF" down
	ethtool -G "$NETIF" rx $((rx / 2)) || bad "-G refused on an interface that is down"
	ethtool -G "$NETIF" rx "$rx"
	expect_device "after -G while down" rx0 23/8
	configure
	reach || bad "no answer to ping"
	verdict "values outlive a reset of the ring"
else
	skip "values outlive a reset of the ring" "the device can't reset single queues"
fi

begin
if [ -w /sys/power/pm_test ] && grep -q freeze /sys/power/state; then
	echo 1 >/sys/module/suspend/parameters/pm_test_delay 2>/dev/null
	echo devices >/sys/power/pm_test
	at_exit 'echo none >/sys/power/pm_test'
	echo freeze >/sys/power/state || bad "no suspend"
	echo none >/sys/power/pm_test
	wait_for 10 carrier || bad "no carrier"
	expect "after suspend" "23/8 30/16 off"
	expect_pair "after suspend" 0 "23/8 $([ "$single" ] && echo 34 || echo 30)/16 off"
	expect_device "after suspend" rx0 23/8
	expect_device "after suspend" tx0 "$([ "$single" ] && echo 34 || echo 30)/16"
	[ "$max" -gt 1 ] && expect_device "after suspend" tx1 30/16
	reach || bad "no answer to ping"
	verdict "values outlive a reset of the device"
else
	skip "values outlive a reset of the device" "the kernel has no /sys/power/pm_test"
fi

begin
if [ "$single" ]; then
	set_pairs 1
	set_all rx-usecs 50 rx-frames 9
	for turn in 1 2; do
		set_all adaptive-rx on || bad "turn $turn: refused"
		expect "turn $turn: on" "50/9 30/16 on"
		# Interrupts enough for a decision; the first one is never for the present values.
		moved() {
			ping -q -c 40 -i 0.01 "$PEER" >/dev/null
			[ "$(shown_pair 0)" != "50/9 30/16 on" ]
		}
		wait_for 60 moved || bad "turn $turn: the traffic changes nothing: $(shown_pair 0)"
		# While it goes on changing nobody knows which; but the device has what is shown.
		same() { local a; a=$(shown_pair 0); [ ! "$see" ] || [ "${a%% *}" = "$(device rx0)" ]; }
		wait_for 10 same || bad "turn $turn: shown $(shown_pair 0), the device has $(device rx0) for rx0"
		note "turn $turn: $(shown_pair 0)"
		ours && case $(shown_pair 0) in
		*/256\ 30/16\ on) ;;
		*) bad "turn $turn: not one of the kernel's profiles: $(shown_pair 0)" ;;
		esac
		# The other direction is the user's, and takes no part in it.
		set_pair 0 tx-usecs 35 || bad "turn $turn: tx-usecs refused"
		expect_device "turn $turn: tx-usecs" tx0 35/16
		ours && { set_pair 0 rx-usecs 51 2>/dev/null && bad "turn $turn: rx-usecs accepted"; }
		# Down and up in between: it goes on.
		ip link set "$NETIF" down
		configure
		reach || bad "turn $turn: no answer to ping"
		set_all adaptive-rx off || bad "turn $turn: can't be switched off"
		expect "turn $turn: off" "50/9 30/16 off"
		expect_all "turn $turn: off" 50/9 30/16
	done
	if ours && [ "$see" ] && [ "$max" -gt 1 ]; then
		# The device takes no more values: those that it has stay, for the traffic's decisions and for pairs that come into use.
		mark_log
		set_all adaptive-rx on || bad "refused before the device refuses"
		dev refuse 6
		refused_once() {
			ping -q -c 40 -i 0.01 "$PEER" >/dev/null
			log_since | grep -q 'adaptive moderation refused'
		}
		wait_for 60 refused_once || bad "the log has nothing of what the device refuses to the traffic"
		[ "$(shown_pair 0)" = "50/9 30/16 on" ] || bad "the device refuses, and shown is $(shown_pair 0)"
		expect_device "refused to the traffic" rx0 50/9
		set_pairs "$max" || bad "-L $max refused"
		log_since | grep -q 'interrupt moderation not restored' || bad "the log has nothing of what the device refuses to new pairs"
		reach || bad "no answer to ping"
		dev refuse
		set_pairs 1 || bad "-L 1 refused"
		set_all adaptive-rx off || bad "can't be switched off"
		expect_all "the device refuses no more" 50/9 30/16
	fi
	if ours && [ "$see" ]; then
		# The device takes its time to answer who switches it off: what the traffic has decided meanwhile comes too late.
		set_all adaptive-rx on || bad "refused before the device is slow"
		wait_for 60 moved || bad "the traffic changes nothing: $(shown_pair 0)"
		nap 1
		dev hold
		set_all adaptive-rx off &
		off=$!
		nap 0.5
		kill -0 $off 2>/dev/null || bad "switched off without an answer of the device"
		ping -q -f -w 3 "$PEER" >/dev/null
		dev release
		wait $off || bad "a slow device: can't be switched off"
		nap 0.5
		expect_all "switched off by a slow device" 50/9 30/16
	fi
	# With everything else at once.
	set_all adaptive-rx on
	ping -f -q -w 60 "$PEER" >/dev/null 2>&1 &
	ping=$!
	for turn in 1 2 3 4 5; do
		set_pairs "$max" || bad "-L $max refused"
		set_all tx-usecs $((turn * 10)) || bad "tx-usecs refused"
		set_pairs 1 || bad "-L 1 refused"
		ip link set "$NETIF" down
		configure
	done
	kill $ping 2>/dev/null
	wait $ping 2>/dev/null
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/unbind" || bad "unbind"
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/bind" || bad "bind"
	configure || bad "the interface doesn't come up"
	expect "bound anew" "0/0 0/1 off"
	reach || bad "no answer to ping"
	verdict "adaptive-rx follows the traffic"
else
	refused set_all adaptive-rx on
	verdict "adaptive-rx is refused, as the device has no values for single queues"
fi

begin
[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
verdict "no complaint in the kernel log"
finish
