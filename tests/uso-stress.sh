#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# UDP that the host sends in packets of several datagrams arrives whole while rx-gro-hw goes on and off. Sent, given away by
# the host's tap, received by the driver and delivered to a socket are compared round by round, so that it shows who loses
# any: the host, the device or the guest. LENGTH is in seconds, SEED decides on sizes and times.
. "$(dirname "$0")/lib.sh"

LENGTH=${LENGTH:-60} SEED=${SEED:-$RANDOM} TAP=${TAP:-tapA} PORT=7200
have_hostctl || skip_all "the host can't be asked to send"
have socat || skip_all "socat is missing"
[[ $(feature rx-gro-hw) == on ]] || skip_all "rx-gro-hw is $(feature rx-gro-hw)"
negotiated 54 || skip_all "the device doesn't offer GUEST_USO4"
# Of datagrams: less than one, more than the packets of others that may be between.
LEAST=400
plan 5
note "seed $SEED, $LENGTH s"
RANDOM=$SEED
reach
# While the host waits for an answer to ARP it keeps 208 KiB of packets, and throws older ones away without that any interface
# counts them: on a busy machine that is hundreds of datagrams in a row.
hostctl host run="ip neigh replace $DUT_IP lladdr $(mac) dev br0 nud permanent" >/dev/null || note "the host's neighbour isn't fixed"
at_exit 'hostctl host run="ip neigh del $DUT_IP dev br0"'
at_exit 'ethtool -K $NETIF rx-gro-hw on'
echo $((64 << 20)) >/proc/sys/net/core/rmem_max
socat -u -b 65536 "UDP4-RECV:$PORT,rcvbuf=$((32 << 20))" OPEN:/dev/null 2>/dev/null &

# Bytes of payload: each packet has 42 beside (Ethernet, IPv4, UDP), and so has one of ARP, of which nothing is left then.
payload() { echo $(($2 - 42 * $1)); }
driver() { payload "$(if_stat rx_packets)" "$(if_stat rx_bytes)"; }
# Datagrams that reached a socket, or were refused by it.
udp() { awk '/^Udp: [0-9]/ { print $2 + $4 }' /proc/net/snmp; }
host() { hostctl -t 60 host run="$1"; }
# The host's counters: what its tap gave away, and what was dropped by the tap, the bridge, sockets and qdiscs.
host_counts() {
	host "awk '\$1 == \"$TAP:\" { print \$11, \$10, \$13, \$12 }' /proc/net/dev; awk '\$1 == \"br0:\" { print \$13 }' /proc/net/dev
		awk '/^Udp: [0-9]/ { print \$7 }' /proc/net/snmp
		tc -s qdisc show dev $TAP | awk '{ for (i = 1; i < NF; i++) if (\$i ~ /dropped/) n += \$(i + 1) } END { print n + 0 }'" |
		tr '\n' ' '
}
sub() { local -a a b; read -ra a <<<"$1"; read -ra b <<<"$2"; local i; for i in "${!a[@]}"; do printf '%d ' $((a[i] - ${b[i]:-0})); done; }
drops() { awk '/^Udp: [0-9]/ { print "InErrors", $4, "RcvbufErrors", $6 }' /proc/net/snmp; ethtool -S "$NETIF" | awk '/drop|err|fail/ && $2 > 0 { print $1, $2 }'; }
gso() { stat_sum 'rx[0-9]+_(gso_packets|hw_gro_packets)'; }

declare -A lost=([host]=0 [device]=0 [guest]=0)
sent_all=0 datagrams_all=0 toggles=0 rounds=0 split=0 whole=0
# One round: MODE toggle, on or off.
round() {
	local mode=$1 h0 d0 u0 h d u told calls n bytes seconds=$((1 + RANDOM % 3)) state=on w0 g0 p0 got
	[ "$mode" = toggle ] || { ethtool -K "$NETIF" rx-gro-hw "$mode" || bad "round $rounds: rx-gro-hw $mode was refused"; }
	h0=$(host_counts) d0=$(driver) u0=$(udp) g0=$(gso) p0=$(if_stat rx_packets)
	hostctl -t 120 host run="printf 'USOFLOOD $DUT_IP $PORT $seconds $SEED.$rounds $TAP\n' | socat -t 60 - TCP:127.0.0.1:7000" >"$WORK/told" &
	local flood=$!
	while kill -0 $flood 2>/dev/null; do
		if [ "$mode" = toggle ]; then
			[ $state = on ] && state=off || state=on
			ethtool -K "$NETIF" rx-gro-hw $state || bad "round $rounds: rx-gro-hw $state was refused"
			toggles=$((toggles + 1))
		fi
		nap 0.$((RANDOM % 9 + 1))
	done
	wait $flood
	read -r calls n bytes <"$WORK/told"
	[[ $bytes =~ ^[0-9]+$ ]] || { bad "round $rounds: the host said: $(cat "$WORK/told")"; return 1; }
	# Until everything is there, or nothing has come for a long time.
	local seen=-1 now still=$SECONDS
	while now=$(udp); [ $((now - u0)) -lt "$n" ] && [ $((SECONDS - still)) -lt $((10 * SLOW)) ]; do
		[ "$now" = "$seen" ] || { seen=$now still=$SECONDS; }
		nap 0.1
	done
	h=$(sub "$(host_counts)" "$h0") d=$(($(driver) - d0)) u=$(($(udp) - u0))
	read -ra got <<<"$h"
	local tap
	tap=$(payload "${got[0]}" "${got[1]}")
	sent_all=$((sent_all + bytes)) datagrams_all=$((datagrams_all + n))
	g0=$(($(gso) - g0))
	whole=$((whole + g0)) split=$((split + $(if_stat rx_packets) - p0 - g0))
	local what=
	[ $((bytes - tap)) -ge $LEAST ] && { lost[host]=$((lost[host] + bytes - tap)); what+=" host"; }
	[ $((tap - d)) -ge $LEAST ] && { lost[device]=$((lost[device] + tap - d)); what+=" device"; }
	# How many of the driver's bytes make a datagram isn't known: whatever came to the driver, all or nothing.
	[ $((bytes - d)) -lt $LEAST ] && [ "$u" -lt "$n" ] && { lost[guest]=$((lost[guest] + n - u)); what+=" guest"; }
	[ -z "$what" ] || note "round $rounds ($mode, ${seconds} s): lost by$what: $calls calls, $n datagrams, $bytes bytes; the tap" \
		"gave away ${got[0]} packets, $tap bytes; the driver received $d bytes; UDP counted $u datagrams. The host's drops and" \
		"errors (tap's, bridge's, sockets', qdisc's): ${got[*]:2}; here: $(drops | tr '\n' ' '); the log:" \
		"$(dmesg | grep -E 'virtio|not answered' | tail -2 | tr '\n' ' ')"
	return 0
}

begin
end=$((SECONDS + LENGTH))
while [ $SECONDS -lt $end ]; do
	for mode in toggle toggle off on; do
		round $mode || break 2
		rounds=$((rounds + 1))
	done
done
verdict "$rounds rounds"
note "$datagrams_all datagrams, $((sent_all >> 20)) MB; rx-gro-hw switched $toggles times; about $whole packets of several datagrams and $split single ones received"
for who in host device guest; do
	begin
	[ $datagrams_all -gt 0 ] || bad "nothing was sent"
	[ "${lost[$who]}" = 0 ] || bad "lost ${lost[$who]} $([ $who = guest ] && echo datagrams || echo bytes) in all"
	verdict "the $who loses nothing"
done
begin
[ "$whole" -gt 0 ] || ! ours || bad "no packet of several datagrams was received"
[ "$split" -gt 0 ] || bad "no single datagram was received"
[ $toggles -gt 0 ] || bad "rx-gro-hw was never switched"
verdict "with and without rx-gro-hw"
finish
