#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# XDP in the driver: what a program lets pass arrives with its metadata, its VLAN and a good checksum, what it drops doesn't, what it
# sends back or elsewhere gets there unharmed, whatever it has put before or behind, and each packet is counted once. (MANY in the
# environment: how many packets.)
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

MANY=${MANY:-300}
MRG_RXBUF=15
# The counters that both drivers have.
counters() { stat_sum "rx[0-9]+_$1"; }
moved() { echo $(($(counters "$1") - ${WAS[$1]:-0})); }
declare -A WAS=()
remember() { local c; for c in packets xdp_packets xdp_tx xdp_redirects xdp_drops; do WAS[$c]=$(counters $c); done; }
# counted COUNTER NUMBER
counted() { local n; n=$(moved "$1"); [ "$n" -ge "$2" ] && [ "$n" -le $(($2 + ${3:-0})) ] || bad "$1 moved by $n, not $2"; }

# Of IPv4's UDP, TCP and ICMP, and of IPv6's, all that the kernel has counted.
wrong_checksums() {
	{
		awk '/^(Tcp|Udp|Icmp):/ { if (names[$1] == "") { names[$1] = $0; next }
			split(names[$1], name); for (i in name) if (name[i] == "InCsumErrors") print $i }' /proc/net/snmp
		awk '/InCsumErrors/ { print $2 }' /proc/net/snmp6
	} | awk '{ n += $1 } END { print n + 0 }'
}

mark_log
plan 16
reach

begin
pairs_before=$(pairs)
attach pass || bad "$(said)"
[ "$(attached)" ] || bad "no program is there"
ours && [ "$(pairs)" != "$pairs_before" ] && bad "$(pairs) pairs instead of $pairs_before"
[ "$(queue_dirs rx)" = "$(queue_dirs tx)" ] || ! ours || bad "$(queue_dirs rx) receive queues, $(queue_dirs tx) transmit queues"
nothing_said
verdict "a program is attached"

watch_stack
begin
for size in 60 200 1514; do
	remember
	frames "$MANY" $size
	all_of "$size bytes: judged" "${COUNT[judged]}" "$MANY"
	all_of "$size bytes: in the stack" "${COUNT[seen]}" "$MANY"
	all_of "$size bytes: with their queue" "${COUNT[queued]}" "$MANY"
	# Others may come meanwhile.
	counted xdp_packets "$MANY" 50
	counted packets "$MANY" 50
	# The in-tree driver loses the device's hash.
	! ours || [ "$(feature receive-hashing)" != on ] || all_of "$size bytes: with their hash" "${COUNT[hashed]}" "$MANY"
done
if have_peer_service; then
	for via in "$PEER" $PEER6; do out=$(download 1000000 $RANDOM "$via") || bad "$via: $out"; done
fi
nothing_said
verdict "PASS"

begin
was=$(wrong_checksums)
frames "$MANY" 300
if have_peer_service; then
	for via in "$PEER" $PEER6; do out=$(download 4000000 $RANDOM "$via") || bad "$via: $out"; done
fi
is=$(wrong_checksums)
[ "$was" = "$is" ] || bad "$((is - was)) wrong checksums"
verdict "checksums are good after PASS"

begin
modprobe 8021q 2>/dev/null
ip link add link "$NETIF" name vnmvlan type vlan id 5 || bad "there is no VLAN"
at_exit 'ip link del vnmvlan'
ip link set vnmvlan up
frames "$MANY" 100 vlan=5
all_of judged "${COUNT[judged]}" "$MANY"
all_of "in the stack" "${COUNT[seen]}" "$MANY"
all_of "with their VLAN" "${COUNT[vlan]}" "$MANY"
ip link del vnmvlan
verdict "a VLAN passes"

begin
attach meta || bad "$(said)"
frames "$MANY" 100
all_of "in the stack" "${COUNT[seen]}" "$MANY"
all_of "with metadata" "${COUNT[meta]}" "$MANY"
nothing_said
verdict "metadata"

begin
attach drop || bad "$(said)"
for size in 60 1514; do
	remember
	dropped=$(if_stat rx_dropped)
	frames $((MANY * 4)) $size
	all_of "$size bytes: judged" "${COUNT[judged]}" $((MANY * 4))
	all_of "$size bytes: in the stack" "${COUNT[seen]}" 0
	counted xdp_drops $((MANY * 4))
	counted packets $((MANY * 4)) 50
	! ours || [ "$(if_stat rx_dropped)" = "$dropped" ] || bad "$(($(if_stat rx_dropped) - dropped)) in rx_dropped"
done
reach || bad "no answer to ping"
nothing_said
verdict "DROP"

begin
for program in aborted unknown; do
	echo 1 >/sys/kernel/tracing/events/xdp/xdp_exception/enable
	echo >/sys/kernel/tracing/trace
	remember
	attach $program || bad "$(said)"
	frames 64 100
	all_of "$program: judged" "${COUNT[judged]}" 64
	all_of "$program: in the stack" "${COUNT[seen]}" 0
	counted xdp_drops 64
	n=$(grep -c 'xdp_exception:' /sys/kernel/tracing/trace)
	all_of "$program: exceptions" "$n" 64
done
echo 0 >/sys/kernel/tracing/events/xdp/xdp_exception/enable
reach || bad "no answer to ping"
verdict "ABORTED and an unknown verdict"
# What the core says of an unknown one.
mark_log

begin
attach tx || bad "$(said)"
for size in 60 200 1514; do
	remember
	frames "$MANY" $size back="$MANY"
	all_of "$size bytes: judged" "${COUNT[judged]}" "$MANY"
	came_back "$MANY" $size
	counted xdp_tx "$MANY"
	counted packets "$MANY" 50
done
# The device lets those of VLANs in that it was told of.
ip link set dev "$NETIF" promisc on
frames 64 100 vlan=5 back=64
came_back 64 96
all_of tagged "${GOT[tagged]}" 64
ip link set dev "$NETIF" promisc off
reach || bad "no answer to ping"
nothing_said
verdict "TX"

begin
for by in 16 64 128; do
	put bytes 0 $by
	attach head_grow || bad "$(said)"
	frames 128 200 back=128
	all_of "$by: failed" "${COUNT[failed]}" 0
	came_back 128 $((200 + by))
	[ "${GOT[place]}" = $((14 + 28 + by)) ] || bad "$by: the contents begin at ${GOT[place]}"
done
# Ethernet and IP.
put bytes 0 14
attach head_shrink || bad "$(said)"
frames 128 200 back=128
came_back 128 186
put bytes 0 1000
attach head_grow
frames 64 200
all_of "1000: failed" "${COUNT[failed]}" 64
nothing_said
verdict "adjust_head"

begin
put bytes 0 100
attach tail_shrink || bad "$(said)"
frames 128 300 back=128
came_back 128 200
for by in 8 64; do
	put bytes 0 $by
	attach tail_grow || bad "$(said)"
	frames 128 300 back=128
	all_of "$by: failed" "${COUNT[failed]}" 0
	came_back 128 $((300 + by))
done
put bytes 0 1023
attach tail_shrink
frames 64 300
all_of "1023: failed" "${COUNT[failed]}" 64
nothing_said
verdict "adjust_tail"

begin
index=$(<"/sys/class/net/$NETIF/ifindex")
put ports 0 "$index" || bad "no entry of the devmap"
attach to_self || bad "$(said)"
for size in 60 1514; do
	remember
	sent=$(if_stat tx_packets)
	frames "$MANY" $size back="$MANY"
	came_back "$MANY" $size
	counted xdp_redirects "$MANY"
	[ $(($(if_stat tx_packets) - sent)) -ge "$MANY" ] || bad "$(($(if_stat tx_packets) - sent)) sent"
done
reach || bad "no answer to ping"
nothing_said
verdict "REDIRECT to a device"

begin
attach to_nowhere || bad "$(said)"
frames 64 100
all_of judged "${COUNT[judged]}" 64
all_of "in the stack" "${COUNT[seen]}" 0
reach || bad "no answer to ping"
nothing_said
verdict "REDIRECT to nowhere"

begin
if [ "$(nproc)" -gt 1 ]; then
	cpu=$(($(nproc) - 1))
	put cpus $cpu 512 0 || bad "no entry of the cpumap"
	put bytes 0 $cpu
	attach to_cpu || bad "$(said)"
	for size in 60 1514; do
		frames "$MANY" $size
		all_of judged "${COUNT[judged]}" "$MANY"
		wait_for 5 eval 'counts; [ ${COUNT[seen]} = "$MANY" ]' || bad "${COUNT[seen]} of $MANY in the stack"
	done
	reach || bad "no answer to ping"
	nothing_said
	verdict "REDIRECT to a CPU"
else
	skip "REDIRECT to a CPU" "there is one only"
fi

host_received() { hostctl host run="cat /proc/net/dev" | awk '/br0:/ { print $3 }'; }
# A namespace that is reached by redirection only, both ways.
begin
if ! ours && ! negotiated $MRG_RXBUF; then
	# skb_gro_receive writes to the page behind: it takes the end of the packet's buffer to be where the driver says (7.2).
	skip "redirection between devices" "the in-tree driver's small buffers break the kernel there"
elif ! ip netns add vnmns || ! ip link add vnm0 type veth peer name vnm1 netns vnmns; then
	skip "redirection between devices" "there is no veth"
else
	at_exit 'ip link del vnm0'
	at_exit 'ip netns del vnmns'
	ip -n vnmns addr add 192.0.2.50/24 dev vnm1
	ip netns exec vnmns ethtool -K vnm1 tx off gro on >/dev/null
	ip link set vnm0 up
	ip -n vnmns link set vnm1 up
	put ports 1 "$(</sys/class/net/vnm0/ifindex)" || bad "no entry of the devmap"
	if ours; then
		# Sending needs no program on the device.
		detach
	else
		attach inwards || bad "$(said)"
	fi
	attach outwards vnm0 || bad "$(said)"
	address=$(ip -n vnmns -o link show vnm1 | grep -oP 'link/ether \K\S+')
	hostctl host run="ip neigh replace 192.0.2.50 lladdr $address dev br0 nud permanent" >/dev/null
	at_exit 'hostctl host run="ip neigh del 192.0.2.50 dev br0"'
	before=$(host_received)
	ip netns exec vnmns ping -q -c 5 -i 0.2 -W 1 "$PEER" >/dev/null
	[ "$(host_received)" -gt "$before" ] || bad "nothing left by the device"
	ip link set dev "$NETIF" promisc on
	attach inwards || bad "$(said)"
	ip netns exec vnmns ping -q -c 50 -i 0.02 -W 2 "$PEER" >"$WORK/ping" || bad "$(tail -2 "$WORK/ping")"
	ip netns exec vnmns iperf3 -c "$PEER" -p 5204 -n 4M >"$WORK/iperf" 2>&1 || bad "out: $(tail -1 "$WORK/iperf")"
	ip netns exec vnmns iperf3 -c "$PEER" -p 5204 -n 4M -R >"$WORK/iperf" 2>&1 || bad "in: $(tail -1 "$WORK/iperf")"
	ip link set dev "$NETIF" promisc off
	detach vnm0
	nothing_said
	verdict "redirection between devices"
fi

begin
# The verdicts of one device under load: nothing is lost on the way back, the stack still gets through.
attach tx || bad "$(said)"
full=$(stat_sum 'tx[0-9]+_xdp_tx_drops')
iperf_start -p 5202 -t 8
frames 3000 60 back=3000
all_of judged "${COUNT[judged]}" 3000
# The queue that the stack fills may be full as a frame is to go back: C drops it, and so may we, but counted.
full=$(($(stat_sum 'tx[0-9]+_xdp_tx_drops') - full))
[ $((GOT[back] + full)) -ge 3000 ] || bad "${GOT[back]} came back, $full counted as dropped"
iperf_ok || bad "$(iperf_last)"
nothing_said
verdict "TX beside the stack's own packets"

begin
detach || bad "$(said)"
[ "$(attached)" ] && bad "it is still there"
frames "$MANY" 100
all_of judged "${COUNT[judged]}" 0
all_of "in the stack" "${COUNT[seen]}" "$MANY"
all_of "with their queue" "${COUNT[queued]}" "$MANY"
reach || bad "no answer to ping"
nothing_said
verdict "and without a program again"
finish
