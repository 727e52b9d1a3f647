#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A program that is bound to the device gets the hash that the device reports of a packet, whatever it has done to the packet's head,
# and the stack gets the same one; without reports, or with receive-hashing off, there is none. (The in-tree driver reads it from
# where the head is by then.)
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

BOUND=$HERE/xdp/hash.bpf.o
HASH_REPORT=57
declare -A HASHES=([frames]=0 [without]=1 [failed]=2 [changed]=3 [type]=4)
# Over addresses and ports of UDP over IPv4 (enum xdp_rss_hash_type).
UDPV4=$((1 | 8 | 32))

mark_log
load_bound() { bpftool prog loadall "$BOUND" "$PINNED/hash" type xdp xdpmeta_dev "$NETIF" pinmaps "$PINNED/hashes" >"$WORK/load" 2>&1; }
hashes() { bpftool -j map dump pinned "$PINNED/hashes/hashes" | grep -oE '"formatted":\{"key":[0-9]+,"value":[0-9]+' | grep -oE '[0-9]+$'; }
place() { mapfile -t _places < <(hashes); echo "${_places[${HASHES[$1]}]}"; }
# is WHAT NUMBER
is() { all_of "$1" "$(place "$1")" "$2"; }

bound() {
	load_bound && ip -force link set dev "$NETIF" xdpdrv pinned "$PINNED/hash/hash" && return
	bad "not loaded or attached: $(tail -25 "$WORK/load")"
	verdict "a program that asks for the hash"
	finish
}

if ! negotiated $HASH_REPORT; then
	plan 1
	reach
	begin
	bound
	frames 100 100
	is frames 100
	# A device with steering by hash alone has the in-tree driver take the packet's bytes for one.
	! ours || is failed 100
	nothing_said
	verdict "no hash for programs without HASH_REPORT"
	finish
fi

plan 3
reach
begin
bound
watch_stack
frames 200 100
is frames 200
is without 0
is failed 0
is type $UDPV4
if ours; then
	is changed 0
	all_of "like the stack's" "${COUNT[same_hash]}" 200
else
	note "another hash later: $(place changed); like the stack's: ${COUNT[same_hash]} of 200"
fi
frames 100 1000
is frames 300
! ours || is changed 0
! ours || all_of "like the stack's" "${COUNT[same_hash]}" 100
nothing_said
verdict "the hash, whatever becomes of the head"

begin
was=$(feature receive-hashing)
at_exit 'ethtool -K "$NETIF" receive-hashing $was'
ethtool -K "$NETIF" receive-hashing off || bad "receive-hashing can't be switched off"
frames 100 100
is frames 400
is without 100
is failed 0
ethtool -K "$NETIF" receive-hashing on
frames 100 100
is frames 500
is without 100
nothing_said
verdict "none with receive-hashing off"

# With a program that is bound to the device, it can be unbound and bound again.
begin
dir=$(readlink -f "/sys/class/net/$NETIF/device/driver")
if ! ours; then
	skip "unbound with the program" "the in-tree driver isn't what is tested"
else
	echo "$VDEV" >"$dir/unbind" || bad "unbinding fails"
	echo "$VDEV" >"$dir/bind" || bad "binding fails"
	configure || bad "no interface"
	! attach drop || detach
	rm -rf "$PINNED/hash" "$PINNED/hashes"
	bound
	frames 100 100
	is frames 100
	is without 0
	is changed 0
	reach || bad "no answer to ping"
	nothing_said
	verdict "unbound with the program"
fi
finish
