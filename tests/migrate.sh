#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The guest moves to another QEMU under traffic, live or through a file. Everything that was set is as it was, in the
# driver and in the device, and works; connections go on; and the new place is announced, again for each acknowledgement.
. "$(dirname "$0")/lib.sh"

[ "${MIGRATE:-}" ] && have_hostctl || skip_all "this guest can't be migrated"
have_peer_service || skip_all "the peer's services don't answer"

# ROUNDS: where to, in turn.
ROUNDS=${ROUNDS:-live}
GROUP=01:00:5e:11:22:33 OTHER=01:00:5e:44:55:66 MAC=02:00:00:00:be:ef UNICAST=02:00:00:00:00:99
VLAN=100 VLAN_IP=198.51.100.2
max=$(max_pairs) first=$(pairs) old_mac=$(mac) old_mtu=$(mtu)
negotiated 60 && rss=yes || rss=
host() { hostctl host run="$1"; }
try() { "$@" >"$WORK/try" 2>&1 || bad "$*: $(cat "$WORK/try")"; }

at_exit 'configure; host "rm -f $SEEN $SEEN.err $SEEN.pid"'
at_exit 'ip link del $NETIF.$VLAN; ip maddr del $GROUP dev $NETIF; bridge fdb del $UNICAST dev $NETIF self
	ip link set $NETIF mtu $old_mtu; ip link set $NETIF address $old_mac; ip link set $NETIF allmulticast off
	ethtool -K $NETIF tx-tcp6-segmentation on rx-gro-hw on
	[ "$rss" ] && { ethtool -X $NETIF hkey $KEY; ethtool -X $NETIF default; ethtool -N $NETIF rx-flow-hash udp6 sdfn; }
	set_pairs $first'
plan $((3 + 6 * $(wc -w <<<"$ROUNDS")))

# --- what is looked at ------------------------------------------------------------------------------------------------

# The driver's side: whatever can be set. Not the counters, nor what a neighbour's packet may change.
settings() {
	ip -d link show "$NETIF"
	ip -o addr show dev "$NETIF"
	ip -d link show "$NETIF.$VLAN"
	ip maddr show dev "$NETIF"
	bridge fdb show dev "$NETIF"
	ethtool -l "$NETIF"; ethtool -g "$NETIF"; ethtool -k "$NETIF"; ethtool -c "$NETIF"
	ethtool -x "$NETIF"
	local f
	for f in tcp4 udp4 tcp6 udp6; do ethtool -n "$NETIF" rx-flow-hash $f; done
	grep . "/sys/class/net/$NETIF/queues/"*/xps_cpus
	awk -v v="$VDEV-" 'index($NF, v) == 1 { sub(":", "", $1); print $1, $NF }' /proc/interrupts
} 2>&1
# The device's: its receive filter (tables have no order).
device() {
	local f
	for f in main-mac promiscuous multicast unicast broadcast-allowed vlan multicast-overflow unicast-overflow; do
		echo "$f $(rx_filter $f)"
	done
	for f in vlan-table multicast-table unicast-table; do
		echo "$f $(rx_filter $f | tr -d '[] ' | tr , '\n' | sort | tr '\n' ' ')"
	done
}
same() { # WHAT: as it was before
	"$1" >"$WORK/$1.now"
	diff "$WORK/$1" "$WORK/$1.now" >"$WORK/diff" || bad "$1: $(head -8 "$WORK/diff")"
}

# Frames of our own from the host; how many of each kind arrive. (The host's kernel may have no VLANs.)
FRAMES="to the group, another group, the own, a further, a foreign address, in the VLAN, in another VLAN"
frames() {
	local to
	dump "$WORK/frames" -p -e -i "$NETIF" 'ether proto 0x88b5 or ether proto 0x88b6 or (vlan and ether proto 0x88b5)'
	host "python3 -c '
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((\"br0\", 0))
for to, tag in zip(\"$GROUP $OTHER $MAC $UNICAST 02:00:00:00:00:55 $MAC $MAC\".split(), [0, 0, 0, 0, 0, $VLAN, $((VLAN + 1))]):
    for i in range(5):
        tagged = (b\"\\x81\\x00\" + tag.to_bytes(2)) if tag else b\"\"
        s.send(bytes.fromhex(to.replace(\":\", \"\") + \"020000000001\") + tagged + bytes.fromhex(\"88b5\") + bytes([i] * 64))
s.send(bytes.fromhex(\"$MAC\".replace(\":\", \"\") + \"02000000000188b6\") + bytes(64))
'" >"$WORK/frames.host" || bad "the host can't send: $(cat "$WORK/frames.host")"
	# The last one is of another type, and tells that they are through.
	wait_for 20 grep -q 0x88b6 "$WORK/frames" || bad "the last frame doesn't come"
	dump_end
	for to in $GROUP $OTHER "$MAC, ethertype Unknown (0x88b5)" $UNICAST 02:00:00:00:00:55 "$MAC, .*vlan $VLAN," "$MAC, .*vlan $((VLAN + 1)),"; do
		grep -c "> $to" "$WORK/frames"
	done | tr '\n' ' '
}
filter_works() { # WHEN
	local got vlan
	vlan=$(cat "/sys/class/net/$NETIF.$VLAN/statistics/rx_packets")
	got=$(frames)
	[ "$got" = "5 0 5 5 0 5 0 " ] || bad "$1: of 5 frames each $FRAMES arrived: $got"
	vlan=$(($(cat "/sys/class/net/$NETIF.$VLAN/statistics/rx_packets") - vlan))
	[ $vlan -ge 5 ] || bad "$1: $vlan packets on $NETIF.$VLAN"
}
mtu_works() { # WHEN
	ping -q -c 2 -i 0.05 -W 5 -M do -s $(($(mtu) - 28)) "$PEER" >/dev/null || bad "$1: no answer to full packets"
	ping -q -c 1 -W 1 -M do -s $(($(mtu) - 27)) "$PEER" >/dev/null 2>&1 && bad "$1: packets above the MTU go out in one piece"
}

# By which queue datagrams to each of our ports arrive: with a key and a table of its own no other device would do it so.
spread() {
	local port q before after
	for port in {20001..20016}; do
		read -ra before <<<"$(queue_packets rx "$max")"
		echoed 640 "UDP4:$PEER:7099,sourceport=$port"
		read -ra after <<<"$(queue_packets rx "$max")"
		for ((q = 0; q < max; q++)); do
			[ $((after[q] - before[q])) -lt 10 ] || echo -n "$port:$q "
		done
	done
}

# What the device may be given and may give in one piece, in $PIECES: bytes per packet out over IPv4, over IPv6; large
# packets in.
pieces() {
	local d a p out=
	for d in "$PEER" "$PEER6"; do
		p=$(if_stat tx_packets) a=$(if_stat tx_bytes)
		upload "$WORK/blob" "$sum" "$d" >"$WORK/try" || bad "upload to $d: $(cat "$WORK/try")"
		p=$(($(if_stat tx_packets) - p)) a=$(($(if_stat tx_bytes) - a))
		[ $((a / p)) -gt $(($(mtu) + 200)) ] && out+="large " || out+="small "
	done
	a=$(stat_sum 'rx[0-9]+_gso_packets')
	download 500000 7 >"$WORK/try" || bad "$(cat "$WORK/try")"
	[ "$(stat_sum 'rx[0-9]+_gso_packets')" -gt "$a" ] && out+="large" || out+="small"
	PIECES=$out
}
sum=$(blob "$WORK/blob" 500000)

# --- connections that go on -------------------------------------------------------------------------------------------

# One for each CPU: what goes out comes back, and both ends are compared when it is closed. Small windows under RSS: there
# QEMU's tap stops for good when a receive queue overflows.
STREAMS=4
streams_start() {
	local i opt=
	[ ! $rss ] || opt=,rcvbuf=16384,sndbuf=16384
	rm -f "$WORK/stop"
	stream_pids=()
	for ((i = 0; i < STREAMS; i++)); do
		(
			# Random, but not anew for each piece: that costs more than sending it.
			head -c 100000 /dev/urandom >"$WORK/piece.$i"
			(
				echo ECHO
				n=0
				while [ ! -e "$WORK/stop" ]; do
					echo "piece $((n++))"
					cat "$WORK/piece.$i"
				done
			) | tee >(sed 1d | sha256sum >"$WORK/sent.$i") |
				taskset -c $((i % $(nproc))) socat -t 120 - "TCP:$(addr4or6 "$([ $((i % 2)) = 1 ] && echo "$PEER6" || echo "$PEER")"):7000$opt" |
				sha256sum >"$WORK/back.$i"
		) &
		stream_pids+=($!)
	done
}
streams_bytes() { ss -tiHn dport = :7000 | grep -oE 'bytes_received:[0-9]+' | cut -d: -f2 | sort -n | head -1; }
streams_open() { ss -tHn state established dport = :7000 | wc -l; }
# The slowest of them has received that many.
streams_beyond() { [ "$(streams_open)" = $STREAMS ] && [ "$(streams_bytes)" -gt "$1" ]; }
streams_end() {
	local i
	touch "$WORK/stop"
	for i in "${stream_pids[@]}"; do wait "$i" || bad "a stream failed"; done
	for ((i = 0; i < STREAMS; i++)); do
		wait_for 10 test -s "$WORK/sent.$i"
		[ -s "$WORK/back.$i" ] && cmp -s "$WORK/sent.$i" "$WORK/back.$i" || bad "stream $i: what came back isn't what was sent"
	done
}

# --- announcements ----------------------------------------------------------------------------------------------------

# On the tap of the new place, what comes from the guest. (QEMU itself sends RARP.)
SEEN=/tmp/announced.${GUEST:-guest}
listen() { # TAP
	host "tcpdump -Z root -n -l -e --immediate-mode -i $1 -Q in 'arp or icmp6 or (vlan and arp)' >$SEEN 2>$SEEN.err &
		echo \$! >$SEEN.pid
		for i in 1 2 3 4 5 6 7 8 9 10; do grep -q listening $SEEN.err && exit 0; sleep 1; done
		cat $SEEN.err; exit 1"
}
listen_end() { host "kill \$(cat $SEEN.pid)" >/dev/null; }
# How many of them: for an address over ARP, or over neighbour discovery.
announced() {
	host "grep -c -F '$MAC > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Request who-has $DUT_IP tell $DUT_IP,' $SEEN
		grep -c '$MAC > 33:33:00:00:00:01, .*> ff02::1: ICMP6, neighbor advertisement, tgt is $DUT_IP6,' $SEEN
		grep -c -F '$MAC > ff:ff:ff:ff:ff:ff, ethertype 802.1Q (0x8100), length 46: vlan $VLAN, p 0, ethertype ARP (0x0806), Request who-has $VLAN_IP tell $VLAN_IP,' $SEEN
		true" | tr '\n' ' '
}
all_announced() { # TIMES
	local a
	read -ra a <<<"$(announced)"
	[ "${a[0]}" -ge "$1" ] && [ "${a[1]}" -ge "$1" ] && [ "${a[2]}" -ge "$1" ]
}

# ----------------------------------------------------------------------------------------------------------------------

# Across a migration it may: the guest's clock jumps, and what waits for the answer with it.
begin
[ "$(hostctl host run="echo one, two" pause=2.5)" = "one, two" ] || bad "lost"
verdict "an answer of the host that comes in pieces"

begin
modprobe 8021q
try ip link set "$NETIF" address $MAC
try ip link set "$NETIF" mtu 1400
configure
try ip link add link "$NETIF" name "$NETIF.$VLAN" type vlan id $VLAN
try ip addr add $VLAN_IP/24 dev "$NETIF.$VLAN"
try ip link set "$NETIF.$VLAN" up
try ip maddr add $GROUP dev "$NETIF"
try bridge fdb add $UNICAST dev "$NETIF" self
try ethtool -K "$NETIF" tx-tcp6-segmentation off rx-gro-hw off
used=$max
if [ "$max" -gt 2 ]; then
	used=$((max - 1))
	try set_pairs $used
fi
if [ $rss ]; then
	KEY=$(ethtool -x "$NETIF" | grep -A1 '^RSS hash key:' | grep -E '^([0-9a-f]{2}:)+')
	try ethtool -X "$NETIF" hkey "$(printf 'a%x:' {0..15} {0..15} {0..6})5c"
	# shellcheck disable=SC2046
	try ethtool -X "$NETIF" weight $(seq "$used")
	try ethtool -N "$NETIF" rx-flow-hash udp6 sd
fi
reach || bad "no answer to ping"
reach6 || bad "no answer to ping over IPv6"
mtu_works "before"
filter_works "before"
pieces
pieces=$PIECES
[[ $pieces == "large small "* ]] || bad "sent and received in one piece: $pieces"
if [ $rss ] && ours; then
	spread=$(spread)
	[ "$(tr ' ' '\n' <<<"$spread" | grep -o ':.*' | sort -u | wc -l)" -ge 2 ] || bad "datagrams arrive on: $spread"
	note "ports and queues: $spread"
fi
settings >"$WORK/settings"
device >"$WORK/device"
verdict "everything is set, and works before"
note "$used of $max pairs, in one piece (out over IPv4, over IPv6, in): $pieces"

turn=0
for how in $ROUNDS; do
	turn=$((turn + 1)) name="$turn ($how)"
	taps=(tapA tapM)
	mark_log

	begin
	listen "${taps[turn % 2]}" >"$WORK/try" || bad "nobody listens: $(cat "$WORK/try")"
	streams_start
	wait_for 60 streams_beyond 300000 || bad "the streams don't start"
	before=$(streams_bytes)
	if hostctl -t 300 migrate how="$how" >"$WORK/told"; then
		note "$(cat "$WORK/told")"
	else
		bad "$(cat "$WORK/told")"
	fi
	wait_for 120 streams_beyond $(($(streams_bytes) + 300000)) || bad "the slowest of $(streams_open) streams stands still"
	note "the slowest stream had $before bytes before, has $(streams_bytes) now"
	streams_end
	verdict "$name: connections go on, contents as sent"

	begin
	if ! negotiated 21; then
		skip "$name: announced" "the device has no GUEST_ANNOUNCE"
	else
		# QEMU asks five times, each time after the last was acknowledged.
		wait_for 30 all_announced 5 || bad "ARP, neighbour advertisement, ARP in the VLAN: $(announced)times"
		note "announced: $(announced)times"
		verdict "$name: announced by ARP and neighbour advertisements, again after each acknowledgement"
	fi
	listen_end

	begin
	same settings
	same device
	verdict "$name: settings are kept, the device's too"

	begin
	reach || bad "no answer to ping"
	reach6 || bad "no answer to ping over IPv6"
	mtu_works "after"
	filter_works "after"
	pieces
	[ "$PIECES" = "$pieces" ] || bad "sent and received in one piece: $pieces before, $PIECES now"
	verdict "$name: VLAN, receive filter, MTU and offloads work"

	if [ $rss ] && ours; then
		begin
		got=$(spread)
		[ "$got" = "$spread" ] || bad "datagrams arrived on $spread before, on $got now"
		verdict "$name: flows arrive on the queues that key and table say"
	else
		skip "$name: flows arrive on the queues that key and table say" "$([ $rss ] && echo "no counters of queues" || echo "no RSS")"
	fi

	begin
	problems=$(log_problems)
	[ -z "$problems" ] || bad "$problems"
	verdict "$name: the kernel has no complaint"
done

begin
[ ! $rss ] || try ethtool -X "$NETIF" default
for n in 1 "$max" 2 "$used"; do
	[ "$n" -gt "$max" ] || try set_pairs "$n"
	reach || bad "$n pairs: no answer to ping"
done
try ip maddr del $GROUP dev "$NETIF"
gone() { [[ $(rx_filter multicast-table) != *"$GROUP"* ]]; }
wait_for 5 gone || bad "the group is still in the device's table"
verdict "settings can be changed as before"
finish
