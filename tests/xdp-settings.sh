#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# With a program attached everything else may change: numbers of queues and of descriptors, RSS's table, offloads, the MTU, the link,
# down and up, a reset, suspend. The program stays, and judges each packet afterwards. (The in-tree driver refuses some of it, and
# forgets the program as it suspends.)
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

TSO4=7 TSO6=8 CTRL_OFFLOADS=2
mark_log
plan 13
reach
first_pairs=$(pairs)
first_gro=$(feature rx-gro-hw)
at_exit 'set_pairs $first_pairs'
at_exit 'ip link set dev "$NETIF" mtu 1500'
offloads_known() { negotiated $CTRL_OFFLOADS && { negotiated $TSO4 || negotiated $TSO6; }; }

# works WHEN: the program of before still judges, sends back, and the stack gets the rest.
works() {
	[ "$(attached)" = "$id" ] || bad "$1: the program isn't $id but '$(attached)'"
	frames 160 100 back=160
	all_of "$1: judged" "${COUNT[judged]}" 160
	all_of "$1: came back" "${GOT[back]}" 160
	reach || bad "$1: no answer to ping"
	nothing_said
}
attach tx || skip_all "$(said)"
id=$(attached)

begin
works "at first"
ours && [ "$(pairs)" != "$first_pairs" ] && bad "$(pairs) pairs instead of $first_pairs"
verdict "a program is at work"

begin
if [ "$(max_pairs)" = 1 ]; then
	skip "ethtool -L" "one queue pair"
else
	for n in 1 "$(max_pairs)" 2 "$first_pairs"; do
		if set_pairs "$n" 2>"$WORK/err"; then works "-L $n"; elif ours; then bad "-L $n: $(cat "$WORK/err")"; fi
	done
	verdict "ethtool -L"
fi

begin
was=$(ring RX 2)
for n in 128 64 "$was"; do
	if ethtool -G "$NETIF" rx "$n" 2>"$WORK/err"; then
		works "-G rx $n"
	elif ours && ! grep -qi "not supported" "$WORK/err"; then
		bad "-G rx $n: $(cat "$WORK/err")"
	fi
done
verdict "ethtool -G"

begin
if [ "$(indir)" ]; then
	for how in "equal 1" "default"; do
		# shellcheck disable=SC2086  # several words
		ethtool -X "$NETIF" $how 2>"$WORK/err" || bad "-X $how: $(cat "$WORK/err")"
		works "-X $how"
	done
	verdict "ethtool -X"
else
	skip "ethtool -X" "no table"
fi

begin
for how in "gro off" "gro on" "tso off" "tso on" "tx-checksum-ip-generic off" "tx-checksum-ip-generic on"; do
	# shellcheck disable=SC2086  # several words
	ethtool -K "$NETIF" $how >/dev/null 2>"$WORK/err" || bad "-K $how: $(cat "$WORK/err")"
done
works "-K"
verdict "ethtool -K"

begin
if ! offloads_known; then
	skip "rx-gro-hw" "$first_gro"
else
	# It is off while there is a program. What the user has asked for last holds once it is gone.
	for state in off on; do
		for want in on $state; do
			if ethtool -K "$NETIF" rx-gro-hw $want >/dev/null 2>"$WORK/err"; then works "rx-gro-hw $want"; fi
			shown=off
			[ $want = off ] || shown="off [requested on]"
			! ours || [ "$(feature rx-gro-hw)" = "$shown" ] || bad "with the program rx-gro-hw is $(feature rx-gro-hw), not $shown"
		done
		detach || bad "$(said)"
		! ours || [ "$(feature rx-gro-hw)" = $state ] || bad "without the program rx-gro-hw is $(feature rx-gro-hw), not $state"
		if have_peer_service; then out=$(download 1000000 $RANDOM) || bad "$out"; fi
		attach tx || bad "$(said)"
		works "attached again"
	done
	verdict "rx-gro-hw"
fi

begin
ip link set "$NETIF" down
[ "$(attached)" = "$id" ] || bad "down: the program isn't $id but '$(attached)'"
configure || bad "it doesn't come up"
works "down and up"
ip link set "$NETIF" down
attach drop || bad "down: $(said)"
attach tx || bad "down: $(said)"
configure || bad "it doesn't come up"
works "swapped while it was down"
ip link set "$NETIF" down
detach || bad "down: $(said)"
attach tx || bad "down: $(said)"
configure || bad "it doesn't come up"
works "attached while it was down"
verdict "down and up"

begin
for _ in 1 2; do
	link_down || bad "there is still a carrier"
	link_up || bad "no carrier"
done
works "the link was down"
verdict "the link"

begin
for n in 1280 1500; do
	ip link set dev "$NETIF" mtu $n 2>"$WORK/err" || bad "mtu $n: $(cat "$WORK/err")"
	works "mtu $n"
done
verdict "the MTU"

begin
reset=$(readlink -f "/sys/class/net/$NETIF/device")/../reset
if ! ours || [ ! -e "$reset" ]; then
	skip "a reset" "the driver can't, or the device"
else
	echo 1 >"$reset" || bad "no reset"
	configure || bad "it doesn't come up"
	works "after a reset"
	verdict "a reset"
fi

begin
if [ "$S3" != yes ] || ! ours; then
	skip "suspend" "the machine isn't made for it, or the driver loses the program"
else
	# At once, that is, as soon as it sleeps.
	hostctl wake after=0 >/dev/null
	echo deep >/sys/power/mem_sleep
	echo mem >/sys/power/state || bad "no suspend"
	configure || bad "it doesn't come up"
	works "after suspend"
	verdict "suspend"
fi

begin
modprobe 8021q 2>/dev/null
ip link add link "$NETIF" name vnmvlan type vlan id 5 || bad "there is no VLAN"
ip link set "$NETIF" promisc on
ip link set "$NETIF" address 52:54:00:12:34:66 2>"$WORK/err" || bad "address: $(cat "$WORK/err")"
hostctl host run="ip neigh flush dev br0" >/dev/null
works "another address"
ip link set "$NETIF" address "${DUT_MAC:-52:54:00:12:34:56}"
hostctl host run="ip neigh flush dev br0" >/dev/null
ip link set "$NETIF" promisc off
ip link del vnmvlan
works "the filter has changed"
verdict "the receive filter"

begin
dir=$(readlink -f "/sys/class/net/$NETIF/device/driver")
for _ in 1 2 3; do
	echo "$VDEV" >"$dir/unbind" || bad "unbinding fails"
	echo "$VDEV" >"$dir/bind" || bad "binding fails"
	configure || { bad "no interface"; break; }
	[ -z "$(attached)" ] || bad "a program is there"
	attach tx || bad "$(said)"
	id=$(attached)
	works "bound again"
done
verdict "unbound with a program"
finish
