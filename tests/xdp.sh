#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the stack switches off by itself: forwarding, a bridge and generic XDP want no packets that the device has merged. Where
# the device can't be told, or doesn't do it, all of them work, and the kernel has nothing to complain of.
. "$(dirname "$0")/lib.sh"

TSO4=7 TSO6=8 CTRL_OFFLOADS=2
PROGRAM=$HERE/xdp.bpf.o
first=$(feature rx-gro-hw)
switch_back() { [[ $first == *fixed* ]] || ethtool -K "$NETIF" rx-gro-hw "$first"; }
at_exit switch_back
at_exit 'ip link set dev "$NETIF" xdp off'
mark_log
plan 8
reach
# The test device answers pings only.
contents=
on_testdev || { have_peer_service && contents=yes; }

# nothing_said: since the last mark, by the kernel.
nothing_said() { [ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"; mark_log; }
# Large packets arrive, if the device merges some.
traffic() {
	reach || bad "$1: no answer to ping"
	reach6 || bad "$1: no answer to ping over IPv6"
	[ "$contents" ] || return 0
	local via out
	for via in "$PEER" $PEER6; do
		out=$(download 1000000 $RANDOM "$via") || bad "$1: $via: $out"
	done
}

begin
want="off [fixed]"
if negotiated $TSO4 || negotiated $TSO6; then negotiated $CTRL_OFFLOADS && want=on; fi
ours && [ "$first" != "$want" ] && bad "it is $first"
verdict "rx-gro-hw: $want"

begin
for how in "-4 net.ipv4.ip_forward" "-6 net.ipv6.conf.all.forwarding" "-4 net.ipv4.conf.$NETIF.forwarding"; do
	key=/proc/sys/$(tr . / <<<"${how#* }")
	was=$(<"$key")
	echo 1 >"$key" || bad "${how#* } can't be set"
	nothing_said
	echo "$was" >"$key"
done
traffic "afterwards"
verdict "forwarding can be switched on"

begin
ip link add vnmbr type bridge || bad "there is no bridge"
ip link set "$NETIF" master vnmbr || bad "the interface can't be a bridge's"
nothing_said
ip link set "$NETIF" nomaster
ip link del vnmbr
traffic "afterwards"
verdict "a bridge"

if [ ! -e "$PROGRAM" ]; then
	for t in "generic XDP" "XDP, whichever there is" "generic XDP on a VLAN" "forwarding under generic XDP" "a device that refuses"; do
		skip "$t" "xdp.bpf.c wasn't compiled"
	done
	finish
fi

for mode in xdpgeneric xdp; do
	begin
	if ip link set dev "$NETIF" $mode obj "$PROGRAM" sec xdp 2>"$WORK/err"; then
		ip -o link show dev "$NETIF" | grep -q xdp || bad "no program is there"
		[ "$(feature rx-gro-hw | cut -c 1-3)" = off ] || bad "rx-gro-hw is $(feature rx-gro-hw)"
		nothing_said
		traffic "with the program"
		ip link set dev "$NETIF" $mode off || bad "it can't be taken off"
		switch_back
		traffic "without it"
	elif ours; then
		bad "$(cat "$WORK/err")"
	fi
	nothing_said
	verdict "$([ $mode = xdp ] && echo "XDP, whichever there is" || echo "generic XDP")"
done

begin
modprobe 8021q 2>/dev/null
ip link add link "$NETIF" name vnmvlan type vlan id 7 || bad "there is no VLAN"
ip link set vnmvlan up
ip link set dev vnmvlan xdpgeneric obj "$PROGRAM" sec xdp 2>"$WORK/err" || bad "$(cat "$WORK/err")"
nothing_said
ip link del vnmvlan
traffic "afterwards"
verdict "generic XDP on a VLAN"

# A namespace behind this machine, which the host reaches through it.
if ! have_hostctl || on_testdev || ! hostctl host run="ip route replace 198.18.9.0/24 via $DUT_IP" >/dev/null; then
	skip "forwarding under generic XDP" "the host can't be asked, or isn't the other side"
else
	begin
	at_exit 'hostctl host run="ip route del 198.18.9.0/24"'
	at_exit 'ip netns del vnmns'
	at_exit "echo $(</proc/sys/net/ipv4/ip_forward) >/proc/sys/net/ipv4/ip_forward"
	ip netns add vnmns && ip link add vnm0 type veth peer name vnm1 netns vnmns || bad "there is no veth"
	ip addr add 198.18.9.1/24 dev vnm0
	ip link set vnm0 up
	ip -n vnmns addr add 198.18.9.2/24 dev vnm1
	ip -n vnmns link set vnm1 up
	ip -n vnmns route add default via 198.18.9.1
	echo 1 >/proc/sys/net/ipv4/ip_forward
	ip link set dev "$NETIF" xdpgeneric obj "$PROGRAM" sec xdp || bad "no program"
	for state in off on; do
		[[ $first == *fixed* ]] || ethtool -K "$NETIF" rx-gro-hw $state
		ip netns exec vnmns iperf3 -c "$PEER" -p 5203 -R -n 4M >"$WORK/iperf" 2>&1 || bad "rx-gro-hw $state, in: $(tail -1 "$WORK/iperf")"
		ip netns exec vnmns iperf3 -c "$PEER" -p 5203 -n 4M >"$WORK/iperf" 2>&1 || bad "rx-gro-hw $state, out: $(tail -1 "$WORK/iperf")"
	done
	ip link set dev "$NETIF" xdpgeneric off
	nothing_said
	verdict "forwarding under generic XDP"
fi

if ! on_testdev || ! negotiated $CTRL_OFFLOADS; then
	skip "a device that refuses" "not on the test device, or it doesn't offer it"
else
	begin
	said() { log_since | grep -c 'goes on merging'; }
	switch_back
	mark_log
	dev refuse 5 || bad "the device can't be told"
	for _ in 1 2; do
		ip link set dev "$NETIF" xdpgeneric obj "$PROGRAM" sec xdp 2>"$WORK/err" || bad "$(cat "$WORK/err")"
		[ "$(feature rx-gro-hw)" = off ] || bad "rx-gro-hw is $(feature rx-gro-hw)"
		traffic "with the program"
		ethtool -K "$NETIF" rx-gro-hw on >/dev/null 2>&1 && bad "rx-gro-hw on was taken"
		[ "$(feature rx-gro-hw)" = off ] || [ "$(feature rx-gro-hw)" = "off [requested on]" ] || bad "rx-gro-hw is $(feature rx-gro-hw)"
		ip link set dev "$NETIF" xdpgeneric off
		ethtool -K "$NETIF" rx-gro-hw off
	done
	[ "$(said)" = 1 ] || bad "said $(said) times"
	# Checksums stay (0x2).
	[ "$(dev stat offloads)" != 0x2 ] || bad "the device has done it"
	# Asked again after a reset, when the device does it.
	dev refuse
	reset=$(readlink -f "/sys/class/net/$NETIF/device")/../reset
	[ -e "$reset" ] && { echo 1 >"$reset" || bad "no reset"; }
	configure || bad "the interface doesn't come up"
	[ ! -e "$reset" ] || [ "$(dev stat offloads)" = 0x2 ] || bad "after a reset the device has offloads $(dev stat offloads)"
	ethtool -K "$NETIF" rx-gro-hw on || bad "rx-gro-hw on was refused"
	[ "$(dev stat offloads)" != 0x2 ] || bad "rx-gro-hw is on, the device has offloads $(dev stat offloads)"
	ethtool -K "$NETIF" rx-gro-hw off || bad "rx-gro-hw off was refused"
	[ "$(dev stat offloads)" = 0x2 ] || bad "rx-gro-hw is off, the device has offloads $(dev stat offloads)"
	nothing_said
	verdict "a device that refuses"
fi
finish
