#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Each offload off and on again, with contents verified in each state over IPv4 and IPv6. That it really is off or on is
# seen by the length of the packets that the device is given, or gives: none above the MTU, or some.
. "$(dirname "$0")/lib.sh"

# Each way and address family: megabytes with everything on, kilobytes in each other state.
BULK=$((${BULK:-40} / SLOW)) EACH=$((1024 / SLOW))
have_peer_service || skip_all "qemu-test/peer.py doesn't run on the peer, or socat is missing"
[ "$PEER6" ] || skip_all "PEER6 is not set"

names="tx-checksum-ip-generic tx-scatter-gather tx-tcp-segmentation tx-tcp6-segmentation tx-udp-segmentation rx-gro-hw gro gso"
# Which features of the device stand behind each: what is off for another reason than that they are missing is a fault, and
# not to be skipped. (Of GRO none does.)
has() {
	case $1 in
	tx-checksum-ip-generic | tx-scatter-gather | gso) negotiated 0 ;;
	tx-tcp-segmentation) negotiated 11 ;;
	tx-tcp6-segmentation) negotiated 12 ;;
	tx-udp-segmentation) negotiated 56 ;;
	rx-gro-hw) negotiated 2 && { negotiated 7 || negotiated 8; } ;;
	esac
}
declare -A start shown=([gro]=generic-receive-offload [gso]=generic-segmentation-offload)
state() { feature "${shown[$1]:-$1}"; }
set_to() { ethtool -K "$NETIF" "$1" "$2" >/dev/null 2>"$WORK/err"; }
# What the user can switch: neither "off [fixed]" nor "off [requested on]", for lack of another one.
switchable=
for f in $names; do
	start[$f]=$(state "$f")
	[[ ${start[$f]} == on || ${start[$f]} == off ]] && switchable+=" $f"
done
restore() { local f; for f in $switchable; do set_to "$f" "${start[$f]}"; done; }
at_exit restore
plan $((3 + $(wc -w <<<"$names") + 5))
reach
reach6

begin
for f in $names; do
	want=off
	has "$f" && want=on
	[[ ${start[$f]} == "$want"* ]] || bad "$f is ${start[$f]:-unknown}, not $want"
done
verdict "on is what the device has"

big=$(blob "$WORK/big" $((BULK << 20)))
small=$(blob "$WORK/small" $((EACH << 10)))
total=0
# Both ways, both families.
contents() {
	local file=$1 sum=$2 n via out
	n=$(wc -c <"$file")
	for via in "$PEER" "$PEER6"; do
		out=$(upload "$file" "$sum" "$via") || bad "$3 $via: $out"
		out=$(download "$n" "$RANDOM" "$via") || bad "$3 $via: $out"
		total=$((total + 2 * n))
	done
}

# Bytes per packet between interface and device over a transfer: above the MTU only if segmentation is left to the device.
ratio() { # DIRECTION COMMAND…
	local d=$1 p b
	shift
	p=$(if_stat "${d}_packets") b=$(if_stat "${d}_bytes")
	"$@" >/dev/null
	p=$(($(if_stat "${d}_packets") - p)) b=$(($(if_stat "${d}_bytes") - b))
	echo $((p > 0 ? b / p : 0))
}

begin
contents "$WORK/big" "$big" "everything on:"
verdict "contents with everything on, $BULK MB each way and family"

for f in $names; do
	if [[ " $switchable " != *" $f "* ]]; then
		skip "$f off and on" "it is ${start[$f]:-unknown}"
		continue
	fi
	begin
	other=on
	[ "${start[$f]}" = on ] && other=off
	for new in $other "${start[$f]}"; do
		set_to "$f" $new || bad "$f doesn't go $new: $(cat "$WORK/err")"
		[ "$(state $f)" = $new ] || bad "$f is $(state $f) after having been set $new"
		contents "$WORK/small" "$small" "$f $new:"
	done
	verdict "$f off and on, contents"
done

# shellcheck disable=SC2086
set_all() { local f; for f in $switchable; do set_to "$f" "$1"; done; }
begin
set_all off
for f in $switchable; do [[ $(state $f) == off* ]] || bad "$f is $(state $f)"; done
contents "$WORK/small" "$small" "everything off:"
restore
for f in $switchable; do [ "$(state $f)" = "${start[$f]}" ] || bad "$f was ${start[$f]}, is $(state $f)"; done
contents "$WORK/small" "$small" "everything on again:"
verdict "everything off and on again, contents"

# TX: what the device is given. The threshold for "on" is low: any packet of several segments shows.
# Packets left to the device for segmentation and segments of them, since the last call.
gso_last="0 0"
gso() {
	local now
	ours || return
	now="$(stat_sum 'tx[0-9]+_gso_packets') $(stat_sum 'tx[0-9]+_gso_wire_packets')"
	[ -e "$WORK/gso" ] && gso_last=$(<"$WORK/gso")
	echo "$now" >"$WORK/gso"
	echo "$((${now% *} - ${gso_last% *})) $((${now#* } - ${gso_last#* }))"
}
tso() {
	local f=$1 via=$2 on off
	if [[ ${start[$f]} != on ]]; then
		skip "$f: the device segments" "it is ${start[$f]:-unknown}"
		return
	fi
	begin
	gso >/dev/null
	on=$(ratio tx upload "$WORK/small" "$small" "$via")
	on_gso=$(gso)
	set_to $f off
	gso >/dev/null
	off=$(ratio tx upload "$WORK/small" "$small" "$via")
	off_gso=$(gso)
	set_to $f on
	if ours; then
		# Packets, and what the device makes of them on the wire: two each at least.
		[ "${on_gso% *}" -gt 0 ] && [ "${on_gso#* }" -ge $((2 * ${on_gso% *})) ] || bad "on: counted $on_gso packets and segments"
		[ "$off_gso" = "0 0" ] || bad "off: counted $off_gso packets and segments"
	fi
	[ "$on" -gt $(($(mtu) + 200)) ] || bad "on: $on bytes per packet"
	[ "$off" -le $(($(mtu) + 18)) ] || bad "off: $off bytes per packet"
	verdict "$f: the device segments"
}
tso tx-tcp-segmentation "$PEER"
tso tx-tcp6-segmentation "$PEER6"

# RX: packets that the device left in one piece. GRO comes after the counters.
if [[ ${start[rx-gro-hw]} != on ]] || ! ours; then
	skip "rx-gro-hw: large packets are received" "rx-gro-hw is ${start[rx-gro-hw]:-unknown}, the driver $DRV"
else
	begin
	rx_gso() { # ADDRESS
		local a
		a=$(stat_sum 'rx[0-9]+_gso_packets')
		download $((EACH << 10)) 1 "$1" >/dev/null
		echo $(($(stat_sum 'rx[0-9]+_gso_packets') - a))
	}
	on="$(rx_gso "$PEER") $(rx_gso "$PEER6")"
	if [[ ${start[rx-gro-hw]} == *fixed* ]]; then
		off="0 0"
	else
		set_to rx-gro-hw off
		off="$(rx_gso "$PEER") $(rx_gso "$PEER6")"
		set_to rx-gro-hw on
	fi
	[[ $on == [1-9]*" "[1-9]* ]] || bad "on: $on large packets (IPv4, IPv6)"
	[ "$off" = "0 0" ] || bad "off: $off large packets (IPv4, IPv6)"
	verdict "rx-gro-hw: large packets are received"
fi

# GRO: the short end of a message, which the driver copies, is put behind what comes before it, for which it doesn't. What
# the stack is given is seen by tcpdump. With the interrupts put off the two are looked at together, and one message that
# arrives whole will do: where the driver lets GRO put them together no time is long enough.
from_peer() { grep -q "tcp $1\$" "$WORK/gro"; }
put_off() { # NANOSECONDS for how many polls
	echo "$2" >"/sys/class/net/$NETIF/napi_defer_hard_irqs"
	echo "$1" >"/sys/class/net/$NETIF/gro_flush_timeout"
}
at_exit 'put_off 0 0'
if [ "${start[gro]}" != on ] || [[ ${start[rx-gro-hw]} == "on "* ]] || ! have tcpdump; then
	skip "gro: a short segment joins a long one" "gro is ${start[gro]}, rx-gro-hw ${start[rx-gro-hw]:-unknown}"
else
	begin
	set_to rx-gro-hw off
	set_to gro off
	dump "$WORK/gro" -q -i "$NETIF" "src host $PEER and tcp src port 7000"
	download 60000 "$RANDOM" >/dev/null
	wait_for 10 from_peer "[0-9]*"
	dump_end
	segment=$(awk '$NF > most { most = $NF } END { print most }' "$WORK/gro")
	whole=$((segment + 30))
	dump "$WORK/gro" -q -i "$NETIF" "src host $PEER and tcp src port 7000"
	download $whole "$RANDOM" >/dev/null
	wait_for 10 from_peer 30 || bad "gro off: the message doesn't end with 30 bytes of their own"
	from_peer $whole && bad "gro off: the message comes as one packet"
	set_to gro on
	put_off 20000000 1
	for ((tries = 1; tries <= 20; tries++)); do
		out=$(download $whole "$RANDOM") || bad "$out"
		from_peer $whole && break
	done
	put_off 0 0
	dump_end
	from_peer $whole || bad "of $((tries - 1)) messages of $segment + 30 bytes none came as one packet"
	restore
	verdict "gro: a short segment joins a long one"
fi

# USO: one write of 20 datagrams, from a file, which is read at once. socat can set the socket option (SOL_UDP 17,
# UDP_SEGMENT 103).
uso() { # ADDRESS: what the peer counted, and packets sent
	local a
	peer_request UDPRESET >/dev/null
	a=$(if_stat tx_packets)
	socat -u -b 20000 "OPEN:$WORK/uso,rdonly" "UDP:$(addr4or6 "$1"):7100,setsockopt-int=17:103:1000,shut-none" 2>"$WORK/err"
	# The requests are TCP: count before them.
	sleep 0.3
	echo "$(peer_request UDPCOUNT 7100) in $(($(if_stat tx_packets) - a))"
}
if [[ ${start[tx-udp-segmentation]} != on ]]; then
	skip "tx-udp-segmentation: the device segments" "it is ${start[tx-udp-segmentation]:-unknown}"
else
	begin
	head -c 20000 /dev/urandom >"$WORK/uso"
	for via in "$PEER" "$PEER6"; do
		on=$(uso "$via")
		set_to tx-udp-segmentation off
		off=$(uso "$via")
		set_to tx-udp-segmentation on
		[[ $on == "20 20000 in "* ]] || bad "$via, on: $on, not 20 20000 ($(cat "$WORK/err"))"
		[[ $off == "20 20000 in "* ]] || bad "$via, off: $off, not 20 20000"
		# The requests around it take a dozen packets.
		[ "${on##* }" -lt "${off##* }" ] || bad "$via: ${on##* } packets when on, ${off##* } when off"
	done
	verdict "tx-udp-segmentation: the device segments"
fi
note "verified $((total >> 20)) MB in all"
finish
