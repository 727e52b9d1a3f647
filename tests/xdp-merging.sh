#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device that merges packets and can't be told not to takes programs all the same: it is reset, doesn't get those features, and
# keeps all that was set; once the program has gone it merges again. (The in-tree driver refuses the program.)
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

[ "$MERGES" ] || skip_all "the device merges no packets, or can be told not to"
ours || skip_all "the in-tree driver refuses programs here"
OFFLOADS="1 7 8 9 10 54 55"
on_device() { local b n=0; for b in $OFFLOADS; do ! negotiated $b || n=$((n + 1)); done; echo $n; }
merged() { stat_sum 'rx[0-9]+_gso_packets'; }
dropped() { stat_sum 'rx[0-9]+_xdp_drop_merged'; }

mark_log
plan 7
reach
first_pairs=$(pairs)
full=$(on_device)

# received WANTED: a download arrives, in packets that the device has merged ("merged") or not ("plain").
received() {
	local before after out
	before=$(merged) after=$(dropped)
	have_peer_service || return
	out=$(download 4000000 $RANDOM) || bad "$1: $out"
	case $1 in
	merged) [ "$(merged)" -gt "$before" ] || bad "the device merges nothing" ;;
	plain)
		[ "$(merged)" = "$before" ] || bad "$(($(merged) - before)) merged packets"
		[ "$(dropped)" = "$after" ] || bad "$(($(dropped) - after)) merged packets were dropped"
		;;
	esac
}

begin
received merged
attach drop || bad "$(said)"
id=$(attached)
[ "$(on_device)" = 0 ] || bad "$(on_device) receive offloads are left"
received plain
frames 200 60
all_of judged "${COUNT[judged]}" 200
attach drop_too || bad "$(said)"
[ "$(attached)" != "$id" ] || bad "the program wasn't exchanged"
frames 200 1514
all_of judged "${COUNT[judged]}" 200
detach || bad "$(said)"
[ "$(on_device)" = "$full" ] || bad "$(on_device) of $full receive offloads are back"
received merged
resets=$(log_since | grep -c "resetting the device")
[ "$resets" = 2 ] || bad "$resets resets"
nothing_said
verdict "a program comes and goes"

begin
set_pairs 1 || bad "one pair is refused"
ip link set dev "$NETIF" mtu 1400
ip link set dev "$NETIF" promisc on
ethtool -K "$NETIF" tso off >/dev/null
same() { [ "$(pairs) $(mtu) $(feature tcp-segmentation-offload)" = "1 1400 off" ] || bad "$1: $(pairs) pairs, MTU $(mtu), tso $(feature tcp-segmentation-offload)"; }
attach tx || bad "$(said)"
same "with a program"
frames 160 100 back=160
came_back 160 100
detach || bad "$(said)"
same "without"
ethtool -K "$NETIF" tso on >/dev/null
ip link set dev "$NETIF" promisc off
ip link set dev "$NETIF" mtu 1500
set_pairs "$first_pairs"
reach || bad "no answer to ping"
nothing_said
verdict "settings stay"

begin
for state in down up; do
	[ $state = up ] || ip link set "$NETIF" down
	command ip -force link set dev "$NETIF" xdpdrv pinned "$PINNED/progs/tx" || bad "$state: no program"
	wait_for 10 eval '! merges' || bad "$state: it goes on merging"
	[ $state = up ] || configure || bad "it doesn't come up"
	frames 160 100 back=160
	all_of "$state: came back" "${GOT[back]}" 160
	[ $state = up ] || ip link set "$NETIF" down
	command ip link set dev "$NETIF" xdpdrv off || bad "$state: it stays"
	wait_for 10 merges || bad "$state: it doesn't merge again"
	[ $state = up ] || configure || bad "it doesn't come up"
	wait_for 10 carrier || bad "$state: no carrier"
	received merged
done
nothing_said
verdict "with the interface down, too"

begin
for ((i = 0; i < 20; i++)); do
	ip link set "$NETIF" down
	if [ $((i % 2)) = 0 ]; then
		command ip -force link set dev "$NETIF" xdpdrv pinned "$PINNED/progs/tx" || bad "turn $i: no program"
	else
		command ip link set dev "$NETIF" xdpdrv off || bad "turn $i: it stays"
	fi
	[ $((i % 3)) = 0 ] || sleep 0.0$((RANDOM % 5))
	ip link set "$NETIF" up 2>"$WORK/said" || bad "turn $i: $(said)"
	settled && wait_for 10 carrier || bad "turn $i: it isn't back"
	[ $((i % 2)) = 1 ] || { frames 32 100 back=32; all_of "turn $i: came back" "${GOT[back]}" 32; }
	[ ${#_bad[@]} = 0 ] || break
done
configure || bad "no address"
received merged
nothing_said
verdict "who brings it up meets no reset"

# Whoever comes and goes while the device is being reset.
begin
for ((i = 0; i < 20; i++)); do
	for n in drop tx ""; do
		if [ $n ]; then
			command ip -force link set dev "$NETIF" xdpdrv pinned "$PINNED/progs/$n" 2>"$WORK/said" || bad "$n: $(said)"
		else
			command ip link set dev "$NETIF" xdpdrv off 2>"$WORK/said" || bad "off: $(said)"
		fi
		[ $((i % 3)) = 0 ] || sleep 0.0$((RANDOM % 10))
	done
done
settled || bad "$(on_device) receive offloads, and no program"
[ "$(on_device)" = "$full" ] || bad "$(on_device) of $full receive offloads are back"
received merged
command ip link set dev "$NETIF" xdpdrv off
attach tx || bad "$(said)"
[ "$(on_device)" = 0 ] || bad "$(on_device) receive offloads are left"
frames 160 100 back=160
came_back 160 100
nothing_said
verdict "programs come and go during resets"

begin
id=$(attached)
reset=$(readlink -f "/sys/class/net/$NETIF/device")/../reset
if [ -e "$reset" ]; then
	echo 1 >"$reset" || bad "no reset"
	configure || bad "it doesn't come up"
fi
[ "$(attached)" = "$id" ] || bad "the program isn't $id but '$(attached)'"
[ "$(on_device)" = 0 ] || bad "$(on_device) receive offloads after a reset"
frames 160 100 back=160
came_back 160 100
received plain
nothing_said
verdict "another reset"

begin
dir=$(readlink -f "/sys/class/net/$NETIF/device/driver")
echo "$VDEV" >"$dir/unbind" || bad "unbinding fails"
echo "$VDEV" >"$dir/bind" || bad "binding fails"
configure || bad "no interface"
[ -z "$(attached)" ] || bad "a program is there"
[ "$(on_device)" = "$full" ] || bad "$(on_device) of $full receive offloads"
received merged
nothing_said
verdict "bound again"
finish
