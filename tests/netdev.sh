#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What any network interface can do: address, MTU, VLANs, receive filter, counters, ethtool's information. What the
# device was told is read from the device (QEMU's query-rx-filter); what goes over the wire is seen by the second
# machine in the namespace PEER_NS.
. "$(dirname "$0")/lib.sh"

plan 16
old_mac=$(mac) old_mtu=$(mtu)
at_exit configure
at_exit 'ip link set $NETIF promisc off; ip link set $NETIF allmulticast off; ip link set $NETIF mtu $old_mtu
	ip link set $NETIF address $old_mac; ip link del $NETIF.100; set_pairs $first'
first=$(pairs)
reach

# Whether the device filters as told: it has CTRL_RX (bit 18), and QEMU tells.
see_filter() { have_hostctl && negotiated 18 && rx_filter main-mac >/dev/null 2>&1; }
expect_filter() { # FIELD VALUE WHEN
	local got
	see_filter || return 0
	# The list of addresses is sent by a work.
	wait_for 5 filter_is "$1" "$2" || { got=$(rx_filter "$1"); bad "$3: the device has $1 $got, not $2"; }
}
filter_is() { [[ $(rx_filter "$1") == $2 ]]; }
peer() { ip netns exec "$PEER_NS" "$@"; }

# --- address ---

begin
new=02:00:00:00:be:ef
ip link set "$NETIF" address $new || bad "refused while up"
[ "$(mac)" = $new ] || bad "the address is $(mac), not $new"
expect_filter main-mac "\"$new\"" "set to $new"
reach || bad "no answer to ping with the new address"
if [ "$PEER_NS" ]; then
	peer ip neigh flush dev eth0
	reach "$PEER_NS_IP" || bad "no answer from $PEER_NS_IP"
	peer ip neigh show "$DUT_IP" dev eth0 | grep -qi "$new" || bad "the peer sees: $(peer ip neigh show "$DUT_IP" dev eth0)"
fi
ip link set "$NETIF" address "$old_mac" || bad "refused to go back"
expect_filter main-mac "\"$old_mac\"" "set back to $old_mac"
reach || bad "no answer to ping with the old address"
verdict "address changed while up"

begin
for a in 01:00:5e:00:00:01 ff:ff:ff:ff:ff:ff 00:00:00:00:00:00; do
	ip link set "$NETIF" address $a 2>/dev/null && bad "$a was taken"
	[ "$(mac)" = "$old_mac" ] || bad "$a: the address is $(mac) now"
done
expect_filter main-mac "\"$old_mac\"" "afterwards"
verdict "no group address, no zero"

# --- MTU ---

begin
read -r min_mtu max_mtu <<<"$(ip -d link show "$NETIF" | sed -nE 's/.*minmtu ([0-9]+) maxmtu ([0-9]+).*/\1 \2/p')"
[ "$min_mtu" = 68 ] || bad "the smallest MTU is $min_mtu"
for m in $((min_mtu - 1)) 0 $((max_mtu + 1)) 1000000; do
	ip link set "$NETIF" mtu $m 2>/dev/null && bad "$m was taken"
	[ "$(mtu)" = "$old_mtu" ] || bad "$m: the MTU is $(mtu) now"
done
for m in 68 576 1280 1499 "$max_mtu"; do
	ip link set "$NETIF" mtu "$m" || bad "$m was refused"
	[ "$(mtu)" = "$m" ] || bad "set $m, is $(mtu)"
	# What is longer goes in fragments. (Not too many: they share ping's send buffer.)
	answered 2 -i 0.05 -W 5 -s $((m < 300 ? 3 * m : 1400)) "$PEER" || bad "MTU $m: no answer to ping"
done
ip link set "$NETIF" mtu "$old_mtu"
configure
answered 2 -i 0.05 -W 5 -M do -s $((old_mtu - 28)) "$PEER" || bad "no answer to ping with the MTU back at $old_mtu"
verdict "MTU from 68 to $max_mtu, nothing else"

# --- VLAN ---

begin
if ! modprobe 8021q 2>/dev/null && [ ! -d /proc/net/vlan ]; then
	skip "a VLAN" "no module 8021q"
else
	filter=$(feature rx-vlan-filter)
	if [ "$PEER_NS" ]; then
		vlan_peer() { peer ip link add link eth0 name eth0.100 type vlan id 100 && peer ip addr add 198.51.100.3/24 dev eth0.100 &&
			peer ip link set eth0.100 up; }
		at_exit 'peer ip link del eth0.100'
		vlan_peer || bad "the peer has no VLAN"
	fi
	ip link add link "$NETIF" name "$NETIF.100" type vlan id 100 && ip addr add 198.51.100.2/24 dev "$NETIF.100" &&
		ip link set "$NETIF.100" up || bad "no VLAN interface"
	[[ $filter == on* ]] && expect_filter vlan-table '*[[ ]100[],]*' "VLAN 100 added"
	if [ "$PEER_NS" ]; then
		reach 198.51.100.3 || bad "no answer to ping in the VLAN"
		answered 2 -i 0.05 -W 5 -M do -s $((old_mtu - 28)) 198.51.100.3 || bad "no answer to full packets in the VLAN"
	fi
	ip link del "$NETIF.100" || bad "the VLAN interface doesn't go"
	if [[ $filter == on* ]] && see_filter; then
		wait_for 5 eval '! filter_is vlan-table "*[[ ]100[],]*"' || bad "VLAN 100 deleted: the device has $(rx_filter vlan-table)"
	fi
	reach || bad "no answer to ping without VLAN"
	verdict "a VLAN (filter: ${filter:-none})"
fi

# --- receive filter ---

if see_filter; then
	begin
	expect_filter promiscuous false "at first"
	ip link set "$NETIF" promisc on
	expect_filter promiscuous true "promisc on"
	ip link set "$NETIF" promisc off
	expect_filter promiscuous false "promisc off"
	verdict "promiscuous mode is told"

	begin
	expect_filter multicast '"normal"' "at first"
	ip link set "$NETIF" allmulticast on
	expect_filter multicast '"all"' "allmulticast on"
	ip link set "$NETIF" allmulticast off
	expect_filter multicast '"normal"' "allmulticast off"
	verdict "all-multicast mode is told"

	begin
	group=01:00:5e:11:22:33
	filter_is multicast-table "*$group*" && bad "the group is there from the start"
	ip maddr add $group dev "$NETIF" || bad "joining failed"
	expect_filter multicast-table "*$group*" "joined"
	# More than QEMU's table holds (64): it says so and takes all.
	for i in $(seq -w 80); do ip maddr add "01:00:5e:22:00:$i" dev "$NETIF" || bad "joining group $i failed"; done
	expect_filter multicast-overflow true "80 groups"
	for i in $(seq -w 80); do ip maddr del "01:00:5e:22:00:$i" dev "$NETIF"; done
	expect_filter multicast-overflow false "few groups again"
	ip maddr del $group dev "$NETIF"
	wait_for 5 eval '! filter_is multicast-table "*$group*"' || bad "the group is still there"
	verdict "groups are told"

	begin
	# A second unicast address, as a macvlan would add it.
	bridge fdb add 02:00:00:00:00:99 dev "$NETIF" self 2>"$WORK/err" || bad "not added: $(tail -1 "$WORK/err")"
	expect_filter unicast-table '*02:00:00:00:00:99*' "added"
	[ "$(rx_filter promiscuous)" = false ] || bad "promiscuous for one more address"
	bridge fdb del 02:00:00:00:00:99 dev "$NETIF" self
	wait_for 5 eval '! filter_is unicast-table "*02:00:00:00:00:99*"' || bad "the address is still there"
	verdict "further unicast addresses are told"
else
	for t in "promiscuous mode is told" "all-multicast mode is told" "groups are told" "further unicast addresses are told"; do
		skip "$t" "no hostctl, or the device doesn't filter"
	done
fi

# By its effect: packets for a foreign address arrive in promiscuous mode only.
begin
if [ "$PEER_NS" ] && see_filter; then
	peer ip neigh replace 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent
	at_exit 'peer ip neigh del 192.0.2.77 dev eth0'
	foreign() { # how many of 5 arrive
		dump "$WORK/dump" -p -i "$NETIF" icmp and host 192.0.2.77
		peer ping -q -c 5 -i 0.05 -W 1 192.0.2.77 >/dev/null
		# What was sent before this is through then.
		reach || bad "no answer to ping"
		dump_end
		grep -c 'echo request' "$WORK/dump"
	}
	n=$(foreign)
	[ "$n" = 0 ] || bad "not promiscuous: $n of 5 packets for another arrived"
	ip link set "$NETIF" promisc on
	n=$(foreign)
	[ "$n" = 5 ] || bad "promiscuous: $n of 5 packets for another arrived"
	ip link set "$NETIF" promisc off
	verdict "packets for others arrive in promiscuous mode only"
else
	skip "packets for others arrive in promiscuous mode only" "no PEER_NS, or the device doesn't filter"
fi

# --- counters ---

begin
set_pairs "$(max_pairs)"
interface() { echo "$(if_stat rx_packets) $(if_stat rx_bytes) $(if_stat tx_packets) $(if_stat tx_bytes)"; }
queues() { echo "$(stat_sum 'rx[0-9]+_packets') $(stat_sum 'rx[0-9]+_bytes') $(stat_sum 'tx[0-9]+_packets') $(stat_sum 'tx[0-9]+_bytes')"; }
# Both, of a moment when nothing was counted in between.
all() {
	local before now sums
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		before=$(interface) sums=$(queues) now=$(interface)
		[ "$before" = "$now" ] && break
		sleep 0.3
	done
	echo "$now $sums"
}
read -ra a <<<"$(all)"
ping -q -c 50 -i 0.005 -W 5 -s 1000 "$PEER" >/dev/null
iperf_start -t 1
iperf_ok || bad "iperf3: $(iperf_last)"
read -ra b <<<"$(all)"
names=(rx_packets rx_bytes tx_packets tx_bytes)
for i in 0 1 2 3; do
	d=$((b[i] - a[i])) s=$((b[i + 4] - a[i + 4]))
	case $i in 0 | 2) least=50 ;; *) least=50000 ;; esac
	[ $d -ge $least ] || bad "${names[i]} grew by $d only"
	# The in-tree driver counts elsewhere.
	{ ! ours && [ "${b[i + 4]}" = 0 ]; } || [ $d = $s ] || bad "${names[i]} grew by $d, the sum over the queues by $s"
done
old=${b[2]}
ip link set "$NETIF" down
ip link set "$NETIF" up
[ "$(if_stat tx_packets)" -ge "$old" ] || bad "tx_packets fell from $old to $(if_stat tx_packets) with down and up"
configure
reach || bad "no answer to ping"
verdict "counters grow, and by as much as the queues' own"

# In a message of netlink they are where the attributes before them end, with the alignment of four bytes.
begin
grown() { [ "$(awk '/RX:/ { getline; print $2; exit }' "$WORK/link")" -ge "$1" ]; }
for alias in a abcd abcdefgh abcdefghijkl; do
	ip link set "$NETIF" alias $alias || bad "no alias"
	before=$(if_stat rx_packets)
	ip -s link show dev "$NETIF" >"$WORK/link" || bad "alias $alias: no answer"
	grown "$before" || bad "alias $alias: $before packets before $(grep -A1 RX: "$WORK/link" | tail -1)"
	ip -s link show >"$WORK/link" || bad "alias $alias: no list"
	grep -q "alias $alias\$" "$WORK/link" || bad "alias $alias: not in the list"
done
ip link set "$NETIF" alias ''
verdict "counters are told wherever they are in a message"

begin
stats() { ethtool -S "$NETIF" | sed -nE 's/^ *([a-z0-9_]+): ([0-9]+)$/\1 \2/p'; }
sums() { grep -E '^(rx|tx)_' "$1"; }
stats >"$WORK/stats"
for c in rx_drops rx_kicks tx_kicks tx_tx_timeouts rx0_drops rx0_kicks tx0_kicks tx0_tx_timeouts; do
	[ "$(grep -c "^$c " "$WORK/stats")" = 1 ] || bad "there is no $c"
done
first_of() { awk -v re="$1" '$1 ~ re { print NR; exit }' "$WORK/stats"; }
last=0
for re in '^rx_' '^tx_' '^rx0_' "^rx$(($(max_pairs) - 1))_" '^tx0_'; do
	n=$(first_of "$re")
	[ "${n:-0}" -ge $last ] || bad "$re is in line ${n:-none}, what should come before it in line $last"
	last=${n:-0}
done
while read -r c n; do
	s=$(awk -v re="^${c%%_*}[0-9]+_${c#*_}\$" '$1 ~ re { s += $2 } END { printf "%d\n", s }' "$WORK/stats")
	[ "$s" = "$n" ] || bad "$c is $n, the sum over the queues is $s"
done < <(sums "$WORK/stats")
n=$(awk '$1 == "rx_kicks" || $1 == "tx_kicks" { s += $2 } END { print s + 0 }' "$WORK/stats")
[ "$n" -gt 0 ] || bad "nothing was counted"
if [ "$(max_pairs)" -gt 1 ] && ours; then
	for c in $(online_cpus); do answered 4 "$c" -i 0.01 -W 5 "$PEER" || bad "CPU $c: no answer to ping"; done
	stats >"$WORK/stats"
	n=$(stat tx0_packets) s=$(stat tx_packets)
	[ "$s" -gt "$n" ] || bad "tx_packets is $s, $n of them on the first queue: nothing to see"
	set_pairs 1
	stats >"$WORK/stats.1"
	while read -r c n; do
		s=$(awk -v n="$c" '$1 == n { print $2 }' "$WORK/stats.1")
		[ "${s:-0}" -ge "$n" ] || bad "$c was $n, with one pair it is ${s:-missing}"
	done < <(sums "$WORK/stats")
	set_pairs "$(max_pairs)"
fi
verdict "ethtool -S: sums with the in-tree driver's names in front, which don't go back with the number of pairs"

# --- ethtool ---

begin
info=$(ethtool -i "$NETIF")
field() { sed -n "s/^$1: *//p" <<<"$info"; }
[ "$(field driver)" = "$DRV" ] || bad "driver: $(field driver)"
[ "$(field version)" ] || bad "no version"
bus=$(basename "$(readlink -f "/sys/bus/virtio/devices/$VDEV/..")")
[ "$(field bus-info)" = "$bus" ] || bad "bus-info: $(field bus-info), not $bus"
rings=$(ethtool -g "$NETIF" | awk '/^(RX|TX):/ { printf "%s ", $2 }')
for n in $rings; do [[ $n =~ ^[1-9] ]] || bad "a ring of size $n"; done
[ "$(wc -w <<<"$rings")" = 4 ] || bad "ring sizes: $rings"
ethtool -k "$NETIF" | grep -q '^tx-checksumming: ' || bad "no features: $(ethtool -k "$NETIF" | head -3)"
ethtool -S "$NETIF" >/dev/null || bad "no statistics"
verdict "ethtool: driver, rings (${rings% }), features"

begin
link() { ethtool "$NETIF" | sed -n "s/^[[:space:]]*$1: *//p"; }
old_speed=$(link Speed) old_duplex=$(link Duplex)
note "link settings at first: $old_speed, $old_duplex"
ethtool -s "$NETIF" speed 1000 duplex full || bad "1000 Mbit/s full duplex refused"
[ "$(link Speed)/$(link Duplex)" = 1000Mb/s/Full ] || bad "set 1000 full, reads $(link Speed) $(link Duplex)"
ethtool -s "$NETIF" speed 100 duplex half || bad "100 Mbit/s half duplex refused"
[ "$(link Speed)/$(link Duplex)" = 100Mb/s/Half ] || bad "set 100 half, reads $(link Speed) $(link Duplex)"
[ "$(cat "/sys/class/net/$NETIF/speed")" = 100 ] || bad "sysfs says $(cat "/sys/class/net/$NETIF/speed")"
[ "$(link 'Link detected')" = yes ] || bad "link detected: $(link 'Link detected')"
[[ $old_speed == [1-9]* ]] && ethtool -s "$NETIF" speed "${old_speed%Mb/s}" duplex "${old_duplex,,}"
verdict "link settings can be set and read"

begin
ip link set "$NETIF" down
ip link set "$NETIF" down
carrier && bad "carrier while down"
ip link set "$NETIF" up
configure
reach || bad "no answer to ping"
reach6 || bad "no answer to ping over IPv6"
verdict "down and up"
# --- timestamps ---

begin
out=$(ethtool -T "$NETIF" 2>&1)
for what in software-transmit software-receive software-system-clock; do
	grep -q "$what" <<<"$out" || bad "there is no $what: $out"
done
verdict "timestamps are taken in software"
finish
