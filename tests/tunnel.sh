#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Segmentation inside of UDP tunnels (VXLAN) is left to the device when sending, and received in one piece, over IPv4 and
# IPv6, inside and outside, with and without checksum of the outer header. The other end of the tunnel is in the peer NIC's
# namespace. Contents are verified; that large packets really travel is seen by the bytes per packet of the interface. And what
# comes out of a tunnel and leaves by the interface stays whole for who has a capture of all of it.
. "$(dirname "$0")/lib.sh"

[ "$PEER_NS" ] || skip_all "there is no second NIC in a namespace"
have socat || skip_all "socat is missing"
modprobe vxlan 2>/dev/null || [ -d /sys/module/vxlan ] || skip_all "there is no VXLAN"

GUEST=65 GUEST_CSUM=66 HOST=67 HOST_CSUM=68
negotiated $HOST || negotiated $GUEST || skip_all "the device doesn't offer tunnels"
MB=${MB:-1}
in_ns() { ip netns exec "$PEER_NS" "$@"; }
peer_if=$(in_ns ip -4 -o addr show | awk -v a="$PEER_NS_IP" '$4 ~ "^" a "/" { print $2; exit }')
peer6=${PEER_NS_IP6:-2001:db8::3}

at_exit 'ip link del vx0'
at_exit 'in_ns ip link del vx0'
at_exit 'ethtool -K "$NETIF" tx-udp_tnl-segmentation on tx-udp_tnl-csum-segmentation on rx-gro-hw on'
plan 13
reach "$PEER_NS_IP"

note "bits 65 to 68 (guest, guest csum, host, host csum): $(cut -c 66-69 "/sys/bus/virtio/devices/$VDEV/features")"
begin
want=off
negotiated $HOST && want=on
[ "$(feature tx-udp_tnl-segmentation)" = $want ] || bad "tx-udp_tnl-segmentation is $(feature tx-udp_tnl-segmentation)"
want=off
negotiated $HOST_CSUM && want=on
[ "$(feature tx-udp_tnl-csum-segmentation)" = $want ] || bad "tx-udp_tnl-csum-segmentation is $(feature tx-udp_tnl-csum-segmentation)"
verdict "flags follow the device's features"

# tunnel FAMILY CHECKSUM-OPTION: vx0 here and in the namespace, 198.18.0.x and fd00::x inside.
tunnel() {
	local here=$DUT_IP there=$PEER_NS_IP v=$2
	[ "$1" = 4 ] || { here=$DUT_IP6 there=$peer6 v=${2/udpcsum/udp6zerocsumtx}; }
	# With IPv6 it is the absence of a checksum that is asked for, on both ends.
	case $v in
	udp6zerocsumtx) v="noudp6zerocsumtx" ;;
	noudp6zerocsumtx) v="udp6zerocsumtx udp6zerocsumrx" ;;
	esac
	ip link del vx0 2>/dev/null
	in_ns ip link del vx0 2>/dev/null
	# shellcheck disable=SC2086
	ip link add vx0 type vxlan id 7 dev "$NETIF" local "$here" remote "$there" dstport 4789 $v &&
		in_ns ip link add vx0 type vxlan id 7 dev "$peer_if" local "$there" remote "$here" dstport 4789 $v || return 1
	echo 0 >/proc/sys/net/ipv6/conf/vx0/accept_dad
	in_ns sh -c 'echo 0 >/proc/sys/net/ipv6/conf/vx0/accept_dad'
	ip addr add 198.18.0.1/24 dev vx0
	ip -6 addr add fd00::1/64 dev vx0 nodad
	in_ns ip addr add 198.18.0.2/24 dev vx0
	in_ns ip -6 addr add fd00::2/64 dev vx0 nodad
	ip link set vx0 up
	in_ns ip link set vx0 up
	reach 198.18.0.2 && reach fd00::2
}

blob "$WORK/blob" $((MB << 20)) >"$WORK/sum"
sum=$(cat "$WORK/sum")
n=$(wc -c <"$WORK/blob")

# send ADDRESS: through the tunnel; what the other end received. get ADDRESS: the other way.
send() {
	local pid
	in_ns timeout 60 socat -u -t 60 "TCP6-LISTEN:7001,reuseaddr,ipv6-v6only=0" "CREATE:$WORK/got" & pid=$!
	wait_for 10 listening "$PEER_NS" && socat -u -t 60 -b 65536 "FILE:$WORK/blob" "TCP:$1:7001"
	wait $pid
	check
}
get() {
	local pid
	timeout 60 socat -u -t 60 "TCP6-LISTEN:7001,reuseaddr,ipv6-v6only=0" "CREATE:$WORK/got" & pid=$!
	wait_for 10 listening && in_ns socat -u -t 60 -b 65536 "FILE:$WORK/blob" "TCP:$1:7001"
	wait $pid
	check
}
listening() { if [ "$1" ]; then in_ns ss -ltn; else ss -ltn; fi | grep -q :7001; }
check() { [ "$(sha256sum "$WORK/got" | cut -d' ' -f1)" = "$sum" ] || bad "wrong contents: $(wc -c <"$WORK/got") of $n bytes"; rm -f "$WORK/got"; }

# Bytes per packet of the interface in direction D while something is transferred.
per_packet() { # D COMMAND…
	local d=$1 p b
	shift
	p=$(if_stat "${d}_packets") b=$(if_stat "${d}_bytes")
	"$@"
	p=$(($(if_stat "${d}_packets") - p)) b=$(($(if_stat "${d}_bytes") - b))
	PER_PACKET=$((p > 0 ? b / p : 0))
}
# More on average than the interface's frames may have.
large() { [ "$PER_PACKET" -gt $(($(mtu) + 18)) ]; }

for outer in 4 6; do
	for csum in noudpcsum udpcsum; do
		begin
		tunnel $outer $csum || bad "the tunnel doesn't work"
		flag=tx-udp_tnl-segmentation bit=$HOST rx=$GUEST
		[ $csum = udpcsum ] && flag=tx-udp_tnl-csum-segmentation bit=$HOST_CSUM rx=$GUEST_CSUM
		seen=
		for via in 198.18.0.2 '[fd00::2]'; do
			per_packet tx send "$via"
			seen+=" $PER_PACKET"
			if negotiated $bit; then large || bad "$via: $PER_PACKET bytes per packet sent"; fi
			ethtool -K "$NETIF" $flag off 2>/dev/null
			per_packet tx send "$via"
			seen+=" $PER_PACKET"
			large && bad "$via, $flag off: $PER_PACKET bytes per packet"
			ethtool -K "$NETIF" $flag on 2>/dev/null
		done
		note "bytes per packet sent, on and off, inner IPv4 and IPv6:$seen"
		verdict "sending, outer IPv$outer, $csum"
		begin
		seen=
		for via in 198.18.0.1 '[fd00::1]'; do
			per_packet rx get "$via"
			seen+=" $PER_PACKET"
			if negotiated $rx; then large || bad "$via: $PER_PACKET bytes per packet received"; fi
		done
		note "bytes per packet received, inner IPv4 and IPv6:$seen"
		verdict "receiving, outer IPv$outer, $csum"
	done
done

if ! negotiated 2 || ! negotiated $GUEST; then
	skip "rx-gro-hw off: received in small packets" "the device's receive offloads can't be changed"
else
	begin
	ethtool -K "$NETIF" rx-gro-hw off || bad "rx-gro-hw off was refused"
	per_packet rx get 198.18.0.1
	note "bytes per packet received: $PER_PACKET"
	large && bad "$PER_PACKET bytes per packet"
	ethtool -K "$NETIF" rx-gro-hw on || bad "rx-gro-hw on was refused"
	per_packet rx get 198.18.0.1
	large || bad "on again: $PER_PACKET bytes per packet"
	verdict "rx-gro-hw: off, small packets; on, large ones"
fi

# What isn't left to the device for segmentation leaves with the checksum inside of the tunnel complete: seen on the host's
# side of the card, where those that are left to somebody else are still missing.
if ! have_hostctl; then
	skip "checksums of packets that the device doesn't segment" "the host can't be asked"
else
	begin
	seen=/tmp/tunnel.${GUEST:-guest}
	host() { hostctl host run="$1"; }
	count_seen() { host "grep -cE '$1' $seen; true"; }
	all_seen() { [ "$(count_seen "$1")" -ge "$2" ]; }
	none_wrong() { [ "$(count_seen incorrect)" = 0 ] || bad "$(count_seen incorrect) wrong ones: $(host "grep incorrect $seen | head -2")"; }
	tunnel 4 udpcsum || bad "the tunnel doesn't work"
	host "tcpdump -Z root -n -l -vv --immediate-mode -i tapA -Q in udp port 4789 >$seen 2>$seen.err & echo \$! >$seen.pid"
	at_exit 'host "kill \$(cat $seen.pid); rm -f $seen $seen.err $seen.pid"'
	listens() { host "grep -q listening $seen.err"; }
	wait_for 10 listens || bad "tcpdump: $(host "cat $seen.err")"
	# Nobody listens: a SYN, and a datagram. What they are in has a checksum, too.
	for via in 198.18.0.2 '[fd00::2]'; do
		socat -u "FILE:$WORK/sum" "TCP:$via:7009,connect-timeout=5" 2>/dev/null && bad "$via: somebody listens"
		socat -u "FILE:$WORK/sum" "UDP:$via:7010" 2>/dev/null
	done
	wait_for 10 all_seen '\.7009: Flags \[S\].*\(correct\)' 2 || bad "no two right SYNs were seen"
	wait_for 10 all_seen '\.7010: \[udp sum ok\]' 2 || bad "no two right datagrams were seen"
	none_wrong
	outer=$(host "grep -B2 -E '\.70(09|10): ' $seen | grep 'bad udp cksum' | head -2")
	[ -z "$outer" ] || bad "outside: $outer"
	# Large packets that are made small in software. What these are in may be the device's to complete, as of any packet.
	ethtool -K "$NETIF" tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off 2>/dev/null
	head -c 60000 "$WORK/blob" >"$WORK/part"
	for via in 198.18.0.2 '[fd00::2]'; do
		in_ns timeout 30 socat -u -t 30 "TCP6-LISTEN:7001,reuseaddr,ipv6-v6only=0" "CREATE:$WORK/got" & pid=$!
		wait_for 10 listening "$PEER_NS" && socat -u -t 30 -b 65536 "FILE:$WORK/part" "TCP:$via:7001"
		wait $pid
		cmp -s "$WORK/part" "$WORK/got" || bad "$via: wrong contents"
	done
	ethtool -K "$NETIF" tx-udp_tnl-segmentation on tx-udp_tnl-csum-segmentation on 2>/dev/null
	wait_for 10 all_seen '\.7001: Flags .*\(correct\).* length 1[0-9][0-9][0-9]$' 60 || bad "not all segments were seen, or right ones"
	none_wrong
	verdict "checksums of packets that the device doesn't segment"
fi

# The capture is of another interface, on which the tunnel's packets come, and shares their memory until it is read: headers of
# the tunnel are where a driver may write its own, were the room its own.
begin
at_exit 'ip link del vx1; ip link del veth7; ip netns del beyond'
beyond() { ip -n beyond "$@"; }
tunnelled() {
	ip netns add beyond && ip link add veth7 type veth peer name veth8 netns beyond &&
		ip addr add 198.19.0.1/24 dev veth7 && ip link set veth7 up &&
		beyond addr add 198.19.0.2/24 dev veth8 && beyond link set veth8 up &&
		ip link add vx1 type vxlan id 9 local 198.19.0.1 dev veth7 dstport 4790 && ip link set vx1 up &&
		beyond link add vx1 type vxlan id 9 local 198.19.0.2 remote 198.19.0.1 dev veth8 dstport 4790 && beyond link set vx1 up &&
		beyond addr add 198.19.1.2/24 dev vx1 && beyond neigh add 198.19.1.9 lladdr 02:00:00:00:00:09 dev vx1 &&
		tc qdisc add dev vx1 clsact && tc filter add dev vx1 ingress matchall action mirred egress redirect dev "$NETIF"
}
tunnelled || bad "the tunnel can't be set up"
# Who sends asks for the address of the other end at first.
ip netns exec beyond ping -q -c 1 198.19.0.1 >/dev/null
bytes() { od -An -v -tx1 "$WORK/capture" | tr -d ' \n'; }
left() { [ "$(if_stat tx_packets)" -gt "$sent" ]; }
captured() { grep -q whole "$WORK/capture"; }
for turn in 1 2 3 4 5; do
	rm -f "$WORK/capture"
	socat -u INTERFACE:veth7 "CREATE:$WORK/capture" & capture=$!
	at_exit "kill -KILL $capture"
	opened() { awk -v i="$(</sys/class/net/veth7/ifindex)" '$5 == i { n++ } END { exit !n }' /proc/net/packet; }
	wait_for 10 opened || bad "nothing is captured"
	kill -STOP $capture
	sent=$(if_stat tx_packets)
	ip netns exec beyond bash -c 'echo whole >/dev/udp/198.19.1.9/9'
	wait_for 10 left || bad "what comes out of the tunnel isn't sent"
	# It may have been something else.
	nap 0.2
	kill -CONT $capture
	wait_for 10 captured || bad "it isn't captured"
	kill $capture
	wait $capture 2>/dev/null
	# VXLAN's header and who the frame is for.
	[[ $(bytes) == *0800000000000900020000000009* ]] || bad "turn $turn: the capture is $(bytes)"
done
verdict "a capture of what is sent on isn't written over"

begin
if ours; then
	[ "$(stat_sum 'rx[0-9]+_drops')" = 0 ] || bad "$(ethtool -S "$NETIF" | grep -E 'rx.*drop' | grep -v ': 0$' | tr -s ' \n' ' ')"
	[ "$(stat_sum 'tx[0-9]+_drops')" = 0 ] || bad "$(stat_sum 'tx[0-9]+_drops') packets dropped on sending"
else
	[ "$(if_stat rx_frame_errors)" = 0 ] || bad "$(if_stat rx_frame_errors) frame errors"
fi
verdict "no packet was dropped"
finish
