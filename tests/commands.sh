#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Commands of the control queue, on the test device (qemu-test/device): they are framed so that old and odd devices
# understand them too, whatever length these report; what a device refuses or misses leaves no trace that a reset
# would bring back; and what it missed while it owed an answer it is told once that has come.
. "$(dirname "$0")/lib.sh"

on_testdev || skip_all "not on the test device"
max=$(max_pairs)
timeout=/sys/module/virtio_net_mq/parameters/ctrl_timeout_ms
pci=$(readlink -f "/sys/bus/virtio/devices/$VDEV/..")
have_vlans() { modprobe 8021q 2>/dev/null || [ -d /proc/net/vlan ]; }

plan 12
at_exit 'set_pairs $max; ethtool -C $NETIF rx-usecs 0'
at_exit 'dev release; dev refuse; dev ctrl any; dev ctrl-used honest; echo 10000 >$timeout'
# How long is waited for an answer that doesn't come. The device answers at once.
patience() { ours && echo "$1" >$timeout; return 0; }

rebind() {
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/unbind" || bad "$1: unbind"
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/bind" || bad "$1: bind"
	configure || bad "$1: the interface doesn't come up"
	[ "$(dev stat pairs)" = "$(pairs)" ] || bad "$1: $(pairs) pairs, the device has $(dev stat pairs)"
}
# Commands that the device didn't carry out.
refused() { echo $(($(dev stat commands) - $(dev stat commands_ok))); }
some_pairs() {
	local n
	for n in 1 "$max"; do
		set_pairs "$n" || bad "$1: $n pairs were refused"
		[ "$(dev stat pairs)" = "$n" ] || bad "$1: $n pairs wanted, the device has $(dev stat pairs)"
	done
}
# In the order of their numbers.
vlans() { dev stat vlans | tr -d '[],' | tr ' ' '\n' | sort -n | xargs; }
multicast_is() { [ "$(dev stat multicast)" = "$1" ]; }
# What else there is to say to a device.
all_sorts() {
	local n
	n=$(dev stat multicast)
	ip maddr add 33:33:00:00:12:34 dev "$NETIF" || bad "$1: no group"
	wait_for 10 multicast_is $((n + 1)) || bad "$1: the device has $(dev stat multicast) groups, not $((n + 1))"
	ip maddr del 33:33:00:00:12:34 dev "$NETIF"
	wait_for 10 multicast_is "$n" || bad "$1: the device has $(dev stat multicast) groups, not $n"
	if have_vlans; then
		ip link add link "$NETIF" name v7 type vlan id 7 || bad "$1: no VLAN"
		[[ " $(vlans) " == *" 7 "* ]] || bad "$1: the device has VLANs $(vlans), not 7"
		ip link del v7
		[[ " $(vlans) " == *" 7 "* ]] && bad "$1: the device has VLANs $(vlans), with 7"
	fi
	ip link set "$NETIF" promisc on && ip link set "$NETIF" promisc off || bad "$1: promisc"
	ethtool -C "$NETIF" rx-usecs 9 && ethtool -C "$NETIF" rx-usecs 0 || bad "$1: -C"
	ethtool -K "$NETIF" rx-gro-hw off && ethtool -K "$NETIF" rx-gro-hw on || bad "$1: -K"
	ethtool -S "$NETIF" >/dev/null || bad "$1: -S"
}

# --- descriptors ------------------------------------------------------------------------------------------------------

patience 10000
begin
dev ctrl legacy
rebind legacy
some_pairs legacy
all_sorts legacy
dev announce
gone() { [ "$(dev stat status)" = 1 ]; }
wait_for 10 gone || bad "the announcement isn't acknowledged"
[ "$(refused)" = 0 ] || bad "$(refused) of $(dev stat commands) commands were refused"
[ "$(dev violations | head -1)" = 0 ] || bad "rules broken: $(dev violations)"
reach || bad "no answer to ping"
verdict "framed as devices want it that know no other way"

# Such a device has no filter: what it makes of the tables' commands doesn't count.
begin
mark_log
dev ctrl three
rebind three
some_pairs three
dev announce
wait_for 10 gone || bad "the announcement isn't acknowledged"
ethtool -K "$NETIF" rx-gro-hw off && ethtool -K "$NETIF" rx-gro-hw on || bad "-K was refused"
log_since | grep 'not answered' >"$WORK/late" && bad "$(head -1 "$WORK/late")"
reach || bad "no answer to ping"
dev ctrl any
# Commands of which it sees a part look wrong to it.
dev violations clear
rebind any
verdict "a device that reads three descriptors finds what it wants in them"

# --- lengths ----------------------------------------------------------------------------------------------------------

begin
for len in 0 1 all 4294967295; do
	dev ctrl-used $len
	rebind "used $len"
	some_pairs "used $len"
	all_sorts "used $len"
	[ "$(refused)" = 0 ] || bad "used $len: $(refused) of $(dev stat commands) commands were refused"
done
reach || bad "no answer to ping"
dev ctrl-used honest
rebind honest
verdict "an answer counts whatever its length is said to be"

# --- VLANs ------------------------------------------------------------------------------------------------------------

vlans_are() { [ "$(vlans)" = "$1" ]; }
reset() {
	echo 1 >"$pci/reset" || bad "no reset"
	wait_for 10 carrier || bad "no carrier after the reset"
}
usecs() { [ "$(dev stat rx0.max_usecs)" = "$(ethtool -c "$NETIF" | awk '$1 == "rx-usecs:" { print $2 }')" ]; }
lines() { log_since | grep -cE "$1"; }
# The in-tree driver has no callbacks for a reset of the PCI function.
ready=
ours && have_vlans && negotiated 19 && [ -e "$pci/reset" ] && ready=yes

begin
if [ $ready ]; then
	for v in 7 8 9; do ip link add link "$NETIF" name v$v type vlan id $v || bad "no VLAN $v"; done
	vlans_are "0 7 8 9" || bad "the device has VLANs $(vlans) at first"
	dev refuse 2 1
	ip link del v7
	vlans_are "0 7 8 9" || bad "the device was to refuse, and has VLANs $(vlans)"
	dev refuse
	reset
	vlans_are "0 8 9" || bad "after a refusal and a reset the device has VLANs $(vlans), not 0 8 9"
	patience 200
	dev hold
	ip link del v8
	patience 10000
	dev release
	reset
	vlans_are "0 9" || bad "after no answer and a reset the device has VLANs $(vlans), not 0 9"
	ip link del v9
	verdict "a VLAN that goes is forgotten, whatever becomes of the command"
else
	skip "a VLAN that goes is forgotten, whatever becomes of the command" "not this driver, no VLANs or no reset of the device"
fi

begin
if [ $ready ]; then
	for v in {101..140}; do ip link add link "$NETIF" name v$v type vlan id $v || bad "no VLAN $v"; done
	want="0 $(echo {101..140})"
	vlans_are "$want" || bad "the device has VLANs $(vlans) at first"
	mark_log
	dev refuse 2
	reset
	vlans_are "" || bad "the device was to refuse, and has VLANs $(vlans)"
	n=$(lines 'VLAN')
	[ "$n" -le 2 ] || bad "$n lines in the log about VLANs that were refused"
	log_since | grep -q '41 VLANs' || bad "not told how many: $(log_since | grep VLAN | head -1)"
	dev refuse
	reset
	vlans_are "$want" || bad "after another reset the device has VLANs $(vlans)"
	verdict "VLANs that a reset can't bring back are counted"
else
	skip "VLANs that a reset can't bring back are counted" "not this driver, no VLANs or no reset of the device"
fi

# Class 4, MQ. What the stack sends on, and by which CPU, is as it was; the counts of the device and the driver are, too.
begin
if [ "$max" -gt 1 ]; then
	set_pairs "$max" || bad "$max pairs were refused"
	cpus=$(for ((q = 0; q < max; q++)); do xps_cpus $q; done)
	dev refuse 4
	ethtool -L "$NETIF" combined 1 2>/dev/null && bad "fewer pairs were taken though the device refused them"
	[ "$(pairs)" = "$max" ] || bad "$(pairs) pairs after fewer were refused"
	for d in tx rx; do
		[ "$(queue_dirs $d)" = "$max" ] || bad "the stack has $(queue_dirs $d) $d queues after fewer were refused"
	done
	[ "$(for ((q = 0; q < max; q++)); do xps_cpus $q; done)" = "$cpus" ] || bad "queues have other CPUs after fewer were refused"
	dev refuse
	[ "$(dev stat pairs)" = "$max" ] || bad "the device has $(dev stat pairs) pairs"
	reach || bad "no answer to ping"
	# The other way: those that were prepared go again.
	set_pairs 1 || bad "one pair was refused"
	dev refuse 4
	ethtool -L "$NETIF" combined "$max" 2>/dev/null && bad "more pairs were taken though the device refused them"
	[ "$(pairs)" = 1 ] || bad "$(pairs) pairs after more were refused"
	for d in tx rx; do
		[ "$(queue_dirs $d)" = 1 ] || bad "the stack has $(queue_dirs $d) $d queues after more were refused"
	done
	reach || bad "no answer to ping after more were refused"
	dev refuse
	set_pairs "$max" || bad "$max pairs were refused"
	reach || bad "no answer to ping"
	verdict "a device that refuses fewer pairs, or more, keeps those it has, and so does the stack"
else
	skip "a device that refuses fewer pairs, or more, keeps those it has, and so does the stack" "there is one pair"
fi

# Class 1: its address, which the user has set.
begin
old=$(mac)
if [ $ready ]; then
	ip link set "$NETIF" address 02:00:00:00:51:02 || bad "the address was refused"
	mark_log
	dev refuse 1 1
	reset
	[ "$(lines 'address not restored')" = 1 ] || bad "$(lines 'address not restored') lines in the log about the address"
	dev refuse
	reset
	reach || bad "no answer to ping after another reset"
	[ "$(lines 'address not restored')" = 1 ] || bad "the address wasn't restored by another reset"
	ip link set "$NETIF" address "$old" || bad "the address can't be set back"
	reach || bad "no answer to ping"
	verdict "an address that a reset can't bring back is told, and comes with the next one"
else
	skip "an address that a reset can't bring back is told, and comes with the next one" "not this driver, or no reset of the device"
fi

# --- late answers -----------------------------------------------------------------------------------------------------

# The reset's first command is not answered, so none of the others is sent.
begin
if [ $ready ]; then
	set_pairs "$max" || bad "$max pairs were refused"
	want_groups=$(dev stat multicast)
	ethtool -C "$NETIF" rx-usecs 33 || bad "-C was refused"
	patience 200
	mark_log
	dev hold
	reset
	n=$(lines "$VDEV|$NETIF")
	[ "$n" -le 15 ] || bad "$n lines in the log of a reset without answers"
	[ "$(pairs)" = 1 ] || bad "$(pairs) pairs without an answer"
	vlans_are "" || bad "the device was to do nothing, and has VLANs $(vlans)"
	patience 10000
	dev release
	wait_for 60 vlans_are "$want" || bad "the device has VLANs $(vlans)"
	wait_for 60 multicast_is "$want_groups" || bad "the device has $(dev stat multicast) groups, not $want_groups"
	one_pair() { [ "$(dev stat pairs)" = 1 ]; }
	wait_for 60 one_pair || bad "the device has $(dev stat pairs) pairs, not 1"
	wait_for 60 usecs || bad "the device has rx-usecs $(dev stat rx0.max_usecs), shown is $(ethtool -c "$NETIF" | grep rx-usecs:)"
	reach || bad "no answer to ping"
	set_pairs "$max" || bad "$max pairs were refused"
	verdict "what a reset couldn't set is set once the device answers"
else
	skip "what a reset couldn't set is set once the device answers" "not this driver, no VLANs or no reset of the device"
fi
for v in {101..140}; do ip link del v$v 2>/dev/null; done

# The core tries five times to set the filter, within 15 s.
begin
if ours; then
	n=$(dev stat multicast)
	ethtool -C "$NETIF" rx-usecs 0 || bad "-C was refused"
	patience 200
	mark_log
	dev hold
	ethtool -C "$NETIF" rx-usecs 44 2>/dev/null && bad "-C was taken by a device that doesn't answer"
	ip maddr add 33:33:00:00:56:78 dev "$NETIF" || bad "no group"
	given_up() { log_since | grep -q 'rx_mode retry limit reached'; }
	wait_for 60 given_up || bad "the core doesn't give up: $(log_since | grep rx_mode | tail -1)"
	patience 10000
	dev release
	wait_for 60 multicast_is $((n + 1)) || bad "the device has $(dev stat multicast) groups, not $((n + 1))"
	wait_for 60 usecs || bad "the device has rx-usecs $(dev stat rx0.max_usecs), shown is $(ethtool -c "$NETIF" | grep rx-usecs:)"
	ip maddr del 33:33:00:00:56:78 dev "$NETIF"
	wait_for 10 multicast_is "$n" || bad "the device has $(dev stat multicast) groups, not $n"
	reach || bad "no answer to ping"
	verdict "a receive filter that the core gave up is set once the device answers"
else
	skip "a receive filter that the core gave up is set once the device answers" "not this driver"
fi

# Nobody knows then how many it has: it is reset.
begin
if ours && [ "$max" -gt 1 ]; then
	set_pairs 1 || bad "one pair was refused"
	patience 200
	dev hold
	ethtool -L "$NETIF" combined "$max" 2>/dev/null && bad "more pairs were taken by a device that doesn't answer"
	# While the device is reset there is nothing to read.
	one_pair() { [ "$(pairs)" = 1 ]; }
	wait_for 10 one_pair || bad "$(pairs) pairs without an answer"
	patience 10000
	dev release
	wait_for 60 reach || bad "no answer to ping"
	both_have() { [ "$(pairs)/$(dev stat pairs)" = "$1/$1" ]; }
	wait_for 60 both_have 1 || bad "$(pairs) pairs, the device has $(dev stat pairs)"
	set_pairs "$max" || bad "$max pairs were refused"
	both_have "$max" || bad "$(pairs) pairs, the device has $(dev stat pairs), not $max"
	reach || bad "no answer to ping with $max pairs"
	verdict "a device that doesn't answer to more pairs is reset, and has as many as before"
else
	skip "a device that doesn't answer to more pairs is reset, and has as many as before" "not this driver, or one pair"
fi

# It answers what it owes, and then nothing again, just as it is told all settings; then it answers, but refuses the number of pairs.
# That it is held in the right moment takes several tries: before it has answered is too early, when it has heard all is too late.
name="a device that stops to answer as it is told all settings is told once more"
told_again() { [ "$(lines 'answers again')" -ge "$1" ]; }
silent_again() { [ "$(lines 'not answered')" -ge 2 ]; }
begin
if ours; then
	set_pairs "$max" || bad "$max pairs were refused"
	patience 200
	for ((tries = 0; tries < 6; tries++)); do
		mark_log
		dev hold
		ethtool -C "$NETIF" rx-usecs $((55 + tries)) 2>/dev/null && bad "-C was taken by a device that doesn't answer"
		dev release
		dev hold
		wait_for 5 told_again 1 && wait_for 3 silent_again && break
		dev release
		wait_for 20 told_again 1 || bad "it isn't told what it may have missed"
		wait_for 20 reach
	done
	[ "$(lines "$VDEV|$NETIF")" -le 10 ] || bad "$(lines "$VDEV|$NETIF") lines in the log"
	patience 10000
	if [ $tries = 6 ]; then
		skip "$name" "it was never silent in the right moment"
	else
		[ "$max" = 1 ] || dev refuse 4
		dev release
		wait_for 60 told_again 2 || bad "it isn't told once more"
		wait_for 60 usecs || bad "the device has rx-usecs $(dev stat rx0.max_usecs), shown is $(ethtool -c "$NETIF" | grep rx-usecs:)"
		dev refuse
		[ "$max" = 1 ] || [ "$(lines 'queue pairs refused')" -ge 1 ] || bad "that it refuses $max pairs isn't told"
		[ "$(pairs)/$(dev stat pairs)" = "$max/$max" ] || bad "$(pairs) pairs, the device has $(dev stat pairs), not $max"
		ethtool -C "$NETIF" rx-usecs 0 || bad "-C was refused"
		reach || bad "no answer to ping"
		verdict "$name"
	fi
else
	skip "$name" "not this driver"
fi

begin
[ "$(dev violations | head -1)" = 0 ] || bad "rules broken: $(dev violations)"
[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
verdict "the device sees no rule broken, the kernel has nothing to complain of"
finish
