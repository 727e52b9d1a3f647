#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Receive-side scaling and hash reports: flows arrive on the queues that the table says, by a hash that is computed here
# anew; the stack sees that hash; key, table and fields can be set, errors change nothing, the table follows ethtool -L,
# and all of it is there again after a suspend. On devices with either, both, or neither.
. "$(dirname "$0")/lib.sh"

# Loads are small, but for the last: under RSS QEMU's tap loses what comes while another receive queue is full.
max=$(max_pairs) first=$(pairs)
negotiated 60 && rss=yes || rss=
negotiated 57 && report=yes || report=

# --- what is set ------------------------------------------------------------------------------------------------------

# The table spread evenly over so many queues.
even() { local i n; n=$(wc -w <<<"$(indir)"); for ((i = 0; i < n; i++)); do printf '%d ' $((i % $1)); done; }
fields() { ethtool -n "$NETIF" rx-flow-hash "$1" 2>&1 | awk '/^IP SA/ { o = o "s" } /^IP DA/ { o = o "d" } /^L4 bytes 0 & 1/ { o = o "f" }
	/^L4 bytes 2 & 3/ { o = o "n" } /None/ { o = o "-" } END { printf "%s", o }'; }
all_fields() { local f; for f in tcp4 udp4 sctp4 tcp6 udp6 sctp6; do printf '%s=%s ' $f "$(fields $f)"; done; }
state() { echo "$(pairs)|$(indir)|$(key)|$(all_fields)|$(feature receive-hashing)"; }

# Fails and changes nothing.
refused() {
	local before after
	before=$(state)
	"$@" >/dev/null 2>&1 && bad "$* was taken"
	after=$(state)
	[ "$before" = "$after" ] || bad "$* failed but changed $before to $after"
}
try() { "$@" >"$WORK/try" 2>&1 || bad "$*: $(cat "$WORK/try")"; }

# --- Toeplitz ---------------------------------------------------------------------------------------------------------

# toeplitz KEY DATA: both in hexadecimal, the key perhaps with colons.
toeplitz() {
	local k=${1//:/} d=$2 i b hash=0 next=8 window byte bits
	window=$((16#${k:0:8}))
	for ((i = 0; i < ${#d}; i += 2)); do
		byte=$((16#${d:i:2})) bits=$((16#${k:next:2}))
		next=$((next + 2))
		for ((b = 7; b >= 0; b--)); do
			((byte >> b & 1)) && hash=$((hash ^ window))
			window=$(((window << 1 & 0xffffffff) | (bits >> b & 1)))
		done
	done
	echo $hash
}
# An address or a port as the hash takes it.
hex4() { printf '%02x%02x%02x%02x' ${1//./ }; }
hex6() {
	local left=${1%%::*} right= n i out=
	case $1 in *::*) right=${1#*::} ;; esac
	local l=(${left//:/ }) r=(${right//:/ })
	n=$((8 - ${#l[@]} - ${#r[@]}))
	for i in "${l[@]}"; do out+=$(printf '%04x' $((16#$i))); done
	for ((i = 0; i < n; i++)); do out+=0000; done
	for i in "${r[@]}"; do out+=$(printf '%04x' $((16#$i))); done
	echo "$out"
}
hex16() { printf '%04x' "$1"; }
# What arrives: from the peer, to us. Hash by addresses; and by ports too.
addrs4() { echo "$(hex4 "$PEER")$(hex4 "$DUT_IP")"; }
addrs6() { echo "$(hex6 "$PEER6")$(hex6 "$DUT_IP6")"; }
hash_addrs() { toeplitz "$(key)" "$(addrs"$1")"; }
hash_ports() { toeplitz "$(key)" "$(addrs"$1")$(hex16 "$2")$(hex16 "$3")"; } # 4|6 PEER'S-PORT OUR-PORT
queue_of() { local t; read -ra t <<<"$(indir)"; echo "${t[$(($1 & (${#t[@]} - 1)))]}"; }

# --- flows ------------------------------------------------------------------------------------------------------------

ECHO=7099
# arrived QUEUE LEAST WHAT COMMAND…: at least that many packets came in by that queue, and few by others.
arrived() {
	local q=$1 least=$2 what=$3 before after i n others=0
	shift 3
	read -ra before <<<"$(queue_packets rx "$max")"
	"$@" || bad "$what: $* failed"
	read -ra after <<<"$(queue_packets rx "$max")"
	for ((i = 0; i < max; i++)); do
		n=$((${after[i]:-0} - ${before[i]:-0}))
		if [ "$i" = "$q" ]; then
			[ $n -ge "$least" ] || bad "$what: $n packets on queue $q, at least $least were expected (${before[*]} to ${after[*]})"
		else
			others=$((others + n))
		fi
	done
	[ $((others * 2)) -le "$least" ] || bad "$what: $others packets on other queues than $q (${before[*]} to ${after[*]})"
}
DGRAMS=20
udp() { # 4|6 OUR-PORT [HOW-MANY]: datagrams to the peer, which sends them back
	local to=UDP4:$PEER:$ECHO
	[ "$1" = 6 ] && to=UDP6:[$PEER6]:$ECHO
	echoed $((${3:-DGRAMS} * 64)) "$to,sourceport=$2"
}
tcp() { # 4|6 OUR-PORT: some packets of a connection to the peer's service
	local to=TCP4:$PEER:7000
	[ "$1" = 6 ] && to=TCP6:[$PEER6]:7000
	for _ in 1 2 3; do echo x; sleep 0.1; done | (echo ECHO; cat) | socat -t 2 - "$to,sourceport=$2,reuseaddr" >"$WORK/tcp"
	[ "$(wc -l <"$WORK/tcp")" = 3 ] || bad "$(wc -l <"$WORK/tcp") lines of 3 came back"
}
icmp() { ping -q -c $DGRAMS -i 0.02 -W 5 "$PEER" >/dev/null; }
icmp6() { ping -q -c $DGRAMS -i 0.02 -W 5 "$PEER6" >/dev/null; }

PORT=20000
# The hash is linear: each bit of the port has its share in it. bits 4|6 computes them once for each key, which takes a
# guest's shell a second; to be called before ports, not in a subshell of its own.
declare -A BITS=()
bits() {
	local k base b zero bit=()
	k=$(key)
	[ -z "${BITS[$1$k]}" ] || return
	base=$(addrs"$1")$(hex16 $ECHO) zero=$(toeplitz "$k" "${base}0000")
	for ((b = 0; b < 16; b++)); do bit[b]=$(($(toeplitz "$k" "$base$(hex16 $((1 << b)))") ^ zero)); done
	BITS[$1$k]="$zero ${bit[*]}"
}
# ports 4|6: a port of ours for each queue that the table has, such that the peer's datagrams come by that queue.
ports() {
	local q seen=' ' n b table want bit hash zero
	read -r zero bit <<<"${BITS[$1$(key)]}"
	read -ra bit <<<"$bit"
	read -ra table <<<"$(indir)"
	want=$(printf '%s\n' "${table[@]}" | sort -u | wc -l)
	for ((n = 0; n < 400 && want > 0; n++)); do
		PORT=$((PORT + 1)) hash=$zero
		for ((b = 0; b < 16; b++)); do ((PORT >> b & 1)) && hash=$((hash ^ bit[b])); done
		q=${table[$((hash & (${#table[@]} - 1)))]}
		case $seen in *" $q "*) continue ;; esac
		seen+="$q " want=$((want - 1))
		echo "$PORT $q"
	done
}
# A flow for each queue, all at once; their numbers of packets tell them apart.
flows() {
	local list port q before after i n=0 want=() pids=()
	bits "$2"
	list=$(ports "$2")
	PORT=$((PORT + 400))
	read -ra before <<<"$(queue_packets rx "$max")"
	while read -r port q; do
		n=$((n + 10))
		want[q]=$n
		udp "$2" "$port" $n &
		pids+=($!)
	done <<<"$list"
	for i in "${pids[@]}"; do wait "$i" || bad "$1: datagrams over IPv$2 didn't come back"; done
	read -ra after <<<"$(queue_packets rx "$max")"
	for ((i = 0; i < max; i++)); do
		n=$((after[i] - before[i] - ${want[i]:-0}))
		[ $n -ge 0 ] && [ $n -le 5 ] ||
			bad "$1: $((after[i] - before[i])) packets on queue $i instead of ${want[i]:-0} (UDP over IPv$2, port and queue: ${list//$'\n'/, })"
	done
}
# Flows over ports all by the queue of the addresses.
flows_by_addrs() {
	local q i
	q=$(queue_of "$(hash_addrs "$2")")
	for i in 1 2 3; do
		PORT=$((PORT + 1))
		arrived "$q" $DGRAMS "$1: UDP/$2 port $PORT" udp "$2" $PORT
	done
}

# --- the stack's view -------------------------------------------------------------------------------------------------

# The word "hash" of an skb, by a classic BPF program in the ingress hook: counts packets that have this value.
hash_count() { tc -s filter show dev "$NETIF" ingress | sed -nE 's/.*Sent [0-9]+ bytes ([0-9]+) pkt.*/\1/p' | head -1; }
seen() { # HASH COMMAND…: how many packets had it, in $SEEN
	local hash=$1
	shift
	tc qdisc replace dev "$NETIF" clsact
	tc filter add dev "$NETIF" ingress prio 1 bpf bytecode "4,32 0 0 4294963232,21 0 1 $hash,6 0 0 4294967295,6 0 0 0" \
		flowid 1:1 action ok || bad "no filter"
	"$@" || bad "$* failed"
	SEEN=$(hash_count)
	tc qdisc del dev "$NETIF" clsact
}
at_exit 'tc qdisc del dev $NETIF clsact'
hashes_seen() { # WHAT
	local h
	PORT=$((PORT + 1))
	h=$(hash_ports 4 $ECHO $PORT)
	seen "$h" udp 4 $PORT
	[ "${SEEN:-0}" -ge $DGRAMS ] || bad "$1: ${SEEN:-no} packets had the hash $h of UDP over IPv4"
	h=$(hash_addrs 4)
	seen "$h" icmp
	[ "${SEEN:-0}" -ge $DGRAMS ] || bad "$1: ${SEEN:-no} packets had the hash $h of IPv4"
	h=$(hash_ports 4 7000 $((PORT + 1000)))
	seen "$h" tcp 4 $((PORT + 1000))
	[ "${SEEN:-0}" -ge 3 ] || bad "$1: ${SEEN:-no} packets had the hash $h of TCP over IPv4"
	[ "$PEER6" ] || return
	PORT=$((PORT + 1))
	h=$(hash_ports 6 $ECHO $PORT)
	seen "$h" udp 6 $PORT
	[ "${SEEN:-0}" -ge $DGRAMS ] || bad "$1: ${SEEN:-no} packets had the hash $h of UDP over IPv6"
	h=$(hash_addrs 6)
	seen "$h" icmp6
	[ "${SEEN:-0}" -ge $DGRAMS ] || bad "$1: ${SEEN:-no} packets had the hash $h of IPv6"
}
no_hash_seen() {
	local h
	PORT=$((PORT + 1))
	h=$(hash_ports 4 $ECHO $PORT)
	seen "$h" udp 4 $PORT
	[ "$SEEN" = 0 ] || bad "$1: ${SEEN:-no} packets had the hash $h"
}

can_suspend() { [ -w /sys/power/pm_test ] && grep -qw freeze /sys/power/state; }
suspend() {
	echo 1 >/sys/module/suspend/parameters/pm_test_delay
	echo devices >/sys/power/pm_test
	try sh -c 'echo freeze >/sys/power/state'
	echo none >/sys/power/pm_test
	wait_for 10 carrier || bad "no carrier after the suspend"
	{ reach && reach6; } || bad "no answer to ping after the suspend"
}

# RXH flags by ioctl: ethtool itself has no word for "the rest of IPv4". Prints what was set before.
rest4() { # [get|off|on]
	python3 - "$NETIF" "$1" <<-'END'
		import array, fcntl, socket, struct, sys
		IPV4_FLOW, GET, SET = 0x10, 0x29, 0x2a
		def call(cmd, data):
		    cmd = array.array("B", struct.pack("=IIQ", cmd, IPV4_FLOW, data) + bytes(184))
		    req = struct.pack("16sP16x", sys.argv[1].encode(), cmd.buffer_info()[0])
		    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
		        fcntl.ioctl(s, 0x8946, req)
		    return struct.unpack("=IIQ", cmd[:16])[2]
		print({0: "-", 0x30: "sd"}.get(call(GET, 0), "?"))
		if sys.argv[2] != "get":
		    call(SET, {"on": 0x30, "off": 1 << 31, "ports": 0xf0}[sys.argv[2]])
	END
}

# ----------------------------------------------------------------------------------------------------------------------

if [ -z "$rss$report" ]; then
	plan 1
	begin
	[ -z "$(indir)$(key)" ] || bad "there is a table or a key: $(ethtool -x "$NETIF")"
	[[ $(feature receive-hashing) != on* ]] || bad "rxhash is on"
	for what in "-X $NETIF equal 1" "-X $NETIF default" "-X $NETIF hkey $(printf '01:%.0s' {1..39})01" \
		"-N $NETIF rx-flow-hash udp4 sd"; do
		# shellcheck disable=SC2086
		ethtool $what >/dev/null 2>&1 && bad "ethtool $what was taken"
	done
	# As with the in-tree driver: it can be asked, and nothing is hashed.
	case $(all_fields) in *=[sdfn]*) bad "fields are hashed: $(all_fields)" ;; esac
	reach || bad "no answer to ping"
	verdict "neither RSS nor hash reports: nothing to set"
	finish
fi

have_peer_service || skip_all "the peer's services don't answer"
KEY=$(key)
at_exit 'set_pairs $first; ethtool -X $NETIF hkey $KEY; ethtool -X $NETIF default; ethtool -K $NETIF rxhash on
	for f in tcp4 udp4 tcp6 udp6; do ethtool -N $NETIF rx-flow-hash $f sdfn; done; set_pairs $first'
reach
reach6

plan 18

begin
ms=6d:5a:56:da:25:5b:0e:c2:41:67:25:3d:43:a3:8f:b0:d0:ca:2b:cb:ae:7b:30:b4:77:cb:2d:a3:80:30:f2:0c:6a:42:b7:3b:be:ac:01:fa
vector() { local got; got=$(printf '%x' "$(toeplitz $ms "$1")"); [ "$got" = "$2" ] || bad "of $1: $got, not $2"; }
# From the specification of RSS: 66.9.149.187:2794 to 161.142.100.80:1766, and an IPv6 pair with the same ports.
vector "$(hex4 66.9.149.187)$(hex4 161.142.100.80)" 323e8fc2
vector "$(hex4 66.9.149.187)$(hex4 161.142.100.80)$(hex16 2794)$(hex16 1766)" 51ccc178
vector "$(hex6 3ffe:2501:200:1fff::7)$(hex6 3ffe:2501:200:3::1)" 2cc18cd5
vector "$(hex6 3ffe:2501:200:1fff::7)$(hex6 3ffe:2501:200:3::1)$(hex16 2794)$(hex16 1766)" 40207d3d
verdict "the hash of this test is Toeplitz's"

begin
[[ $KEY =~ ^([0-9a-f]{2}:){39}[0-9a-f]{2}$ ]] || bad "the key is $KEY"
[ "$(all_fields)" = "tcp4=sdfn udp4=sdfn sctp4=sd tcp6=sdfn udp6=sdfn sctp6=sd " ] || bad "fields: $(all_fields)"
if [ $rss ]; then
	n=$(wc -w <<<"$(indir)")
	[ "$n" -ge 128 ] || bad "the table has $n entries"
	[ "$(indir)" = "$(even "$first")" ] || bad "the table is $(indir)"
else
	[ -z "$(indir)" ] || bad "there is a table: $(indir)"
fi
[[ $(feature receive-hashing) = on ]] && now=yes || now=
[ "$now" = "$report" ] || bad "rxhash is $(feature receive-hashing)"
verdict "what there is at first"

if [ ! $report ]; then
	for t in "hashes in packets" "rxhash off and on" "hashes in packets after ethtool -L"; do skip "$t" "no hash reports"; done
else
	# Of a packet that came while rings were still empty QEMU's device may keep the flow, and others with it, until notified.
	begin
	hashes_seen "at first"
	verdict "hashes in packets: those of addresses, and of ports"

	begin
	try ethtool -K "$NETIF" rxhash off
	[ "$(feature receive-hashing)" = off ] || bad "rxhash is $(feature receive-hashing)"
	no_hash_seen "rxhash off"
	try ethtool -K "$NETIF" rxhash on
	hashes_seen "rxhash on"
	verdict "rxhash off and on"

	begin
	set_pairs 1
	hashes_seen "one pair"
	set_pairs "$max"
	hashes_seen "$max pairs"
	verdict "hashes in packets after ethtool -L"
fi

begin
new=$(printf 'a%x:' {0..15} {0..15} {0..6})5c
try ethtool -X "$NETIF" hkey "$new"
[ "$(key)" = "$new" ] || bad "the key is $(key)"
[ ! $report ] || hashes_seen "new key"
[ ! $rss ] || flows "new key" 4
try ethtool -X "$NETIF" hkey "$KEY"
[ "$(key)" = "$KEY" ] || bad "the key is not what it was"
refused ethtool -X "$NETIF" hkey 01:02:03
verdict "another key"

begin
for f in tcp4 udp4 tcp6 udp6; do
	try ethtool -N "$NETIF" rx-flow-hash $f sd
	want=$(sed "s/$f=sdfn/$f=sd/" <<<"tcp4=sdfn udp4=sdfn sctp4=sd tcp6=sdfn udp6=sdfn sctp6=sd ")
	[ "$(all_fields)" = "$want" ] || bad "$f set to addresses: $(all_fields)"
	if [ $report ] && [ $f = udp4 ]; then
		PORT=$((PORT + 1))
		seen "$(hash_addrs 4)" udp 4 $PORT
		[ "${SEEN:-0}" -ge $DGRAMS ] || bad "udp4 over addresses: ${SEEN:-no} packets had that hash"
	fi
	if [ $rss ]; then
		case $f in udp4) flows_by_addrs "udp4 sd" 4 ;; udp6) [ ! "$PEER6" ] || flows_by_addrs "udp6 sd" 6 ;; esac
	fi
	try ethtool -N "$NETIF" rx-flow-hash $f sdfn
	[ "$(all_fields)" = "tcp4=sdfn udp4=sdfn sctp4=sd tcp6=sdfn udp6=sdfn sctp6=sd " ] || bad "$f set back: $(all_fields)"
done
for what in "tcp4 s" "tcp4 d" "udp6 fn" "udp4 r" "tcp6 v" "udp4 m" "sctp4 sdfn" "sctp4 r" "gtpc4 sd"; do
	# shellcheck disable=SC2086
	refused ethtool -N "$NETIF" rx-flow-hash $what
done
verdict "fields of one flow, without the others"

begin
if ! have python3; then
	skip "the rest of IPv4" "no Python in this guest"
else
	[ "$(rest4 get)" = sd ] || bad "at first $(rest4 get)"
	try rest4 off
	[ "$(rest4 get)" = - ] || bad "off: $(rest4 get)"
	[ "$(all_fields)" = "tcp4=sdfn udp4=sdfn sctp4=- tcp6=sdfn udp6=sdfn sctp6=sd " ] || bad "off: $(all_fields)"
	# Now TCP may go without a hash, but not with one over addresses.
	refused ethtool -N "$NETIF" rx-flow-hash tcp4 sd
	try ethtool -N "$NETIF" rx-flow-hash tcp4 r
	[ "$(fields tcp4)/$(fields udp4)" = -/sdfn ] || bad "tcp4 off: $(all_fields)"
	try ethtool -N "$NETIF" rx-flow-hash tcp4 sdfn
	[ ! $rss ] || arrived 0 $DGRAMS "not hashed" icmp
	[ ! $rss ] || flows "IPv4 off" 4
	refused rest4 ports
	try rest4 on
	[ "$(rest4 get)/$(all_fields)" = "sd/tcp4=sdfn udp4=sdfn sctp4=sd tcp6=sdfn udp6=sdfn sctp6=sd " ] || bad "on: $(all_fields)"
	verdict "the rest of IPv4, without TCP and UDP"
fi

begin
refused ethtool -X "$NETIF" equal $((max + 1))
refused ethtool -X "$NETIF" hfunc xor
refused ethtool -X "$NETIF" xfrm symmetric-xor
refused ethtool -X "$NETIF" context new
refused ethtool -X "$NETIF" weight 0 0
[ $rss ] || refused ethtool -X "$NETIF" equal 1
[ ! $rss ] || flows "after what was refused" 4
verdict "what makes no sense is refused and changes nothing"

# A command that fails on its way (a module built for that): nothing changes here, and nothing on the device.
begin
fail=/sys/module/virtio_net_mq/parameters/fail_at
if [ ! -w $fail ]; then
	skip "a command that fails" "not a module that can be told to fail"
else
	fails() { echo 1 >$fail; refused "$@"; [ "$(cat $fail)" = -1 ] || bad "$* sent no command"; echo 0 >$fail; }
	fails ethtool -X "$NETIF" hkey "$new"
	fails ethtool -N "$NETIF" rx-flow-hash udp4 sd
	[ ! $rss ] || fails ethtool -X "$NETIF" equal 1
	[ $rss ] || fails ethtool -K "$NETIF" rxhash off
	[ ! $rss ] || flows "after a failure" 4
	[ ! $report ] || hashes_seen "after a failure"
	verdict "a command that fails changes nothing"
fi

if [ ! $rss ] || [ "$max" -lt 3 ]; then
	for t in "flows by the table" "tables of the user" "the table follows ethtool -L" "a user's table stays" \
		"ethtool -L under traffic"; do skip "$t" "no RSS, or fewer than 3 pairs"; done
else
	begin
	set_pairs "$max"
	flows "even spread" 4
	[ ! "$PEER6" ] || flows "even spread" 6
	for i in 1 2 3 4; do
		PORT=$((PORT + 1))
		arrived "$(queue_of "$(hash_ports 4 7000 $PORT)")" 4 "TCP port $PORT" tcp 4 $PORT
	done
	arrived "$(queue_of "$(hash_addrs 4)")" $DGRAMS "ICMP" icmp
	[ ! "$PEER6" ] || arrived "$(queue_of "$(hash_addrs 6)")" $DGRAMS "ICMPv6" icmp6
	verdict "flows by the table"

	begin
	try ethtool -X "$NETIF" equal 2
	[ "$(indir)" = "$(even 2)" ] || bad "equal 2: $(indir)"
	flows "equal 2" 4
	try ethtool -X "$NETIF" start 1 equal 2
	case "$(indir)" in *[!12\ ]*) bad "start 1 equal 2: $(indir)" ;; esac
	flows "start 1 equal 2" 4
	try ethtool -X "$NETIF" weight 1 0 3
	[ "$(indir | tr ' ' '\n' | grep -c 2)" = $(($(wc -w <<<"$(indir)") * 3 / 4)) ] || bad "weight 1 0 3: $(indir)"
	flows "weight 1 0 3" 4
	[ ! $report ] || hashes_seen "weight 1 0 3"
	try ethtool -X "$NETIF" default
	[ "$(indir)" = "$(even "$max")" ] || bad "default: $(indir)"
	flows "default" 4
	verdict "tables of the user"

	begin
	for n in 1 2 "$max" $((max - 1)) 1 "$max"; do
		set_pairs "$n" || bad "combined $n refused"
		[ "$(indir)" = "$(even "$n")" ] || bad "combined $n: $(indir)"
		flows "combined $n" 4
	done
	ip link set "$NETIF" down
	set_pairs 2 || bad "refused while down"
	[ "$(indir)" = "$(even 2)" ] || bad "set while down: $(indir)"
	configure
	reach
	flows "set while down" 4
	verdict "the table follows ethtool -L"

	begin
	set_pairs "$max"
	try ethtool -X "$NETIF" equal 2
	set_pairs $((max - 1)) || bad "combined $((max - 1)) refused"
	[ "$(indir)" = "$(even 2)" ] || bad "fewer pairs: $(indir)"
	flows "fewer pairs" 4
	set_pairs "$max" || bad "combined $max refused"
	[ "$(indir)" = "$(even 2)" ] || bad "more pairs: $(indir)"
	refused ethtool -L "$NETIF" combined 1
	[ "$(pairs)" = "$max" ] || bad "there are $(pairs) pairs"
	flows "refused -L" 4
	try ethtool -X "$NETIF" default
	set_pairs 1 || bad "combined 1 refused after default"
	set_pairs "$max"
	[ "$(indir)" = "$(even "$max")" ] || bad "default: $(indir)"
	verdict "a user's table stays, and -L that it forbids is refused"

	begin
	for ((i = 0; i < 40; i++)); do ping -q -c 1 -i 0.1 -W 5 "$PEER" >/dev/null || echo lost; sleep 0.1; done >"$WORK/lost" &
	pid=$!
	for n in 1 "$max" 2 "$max" 1 3 "$max"; do
		set_pairs "$n" || bad "combined $n refused"
		PORT=$((PORT + 1))
		udp 4 $PORT || bad "datagrams were lost with $n"
	done
	wait $pid
	[ ! -s "$WORK/lost" ] || bad "$(wc -l <"$WORK/lost") of 40 pings were lost"
	flows "afterwards" 4
	verdict "ethtool -L under traffic"
fi

begin
if ! can_suspend; then
	skip "after a suspend" "the kernel has no /sys/power/pm_test"
else
	[ "$max" = 1 ] || set_pairs $((max - 1))
	try ethtool -X "$NETIF" hkey "$new"
	[ ! $rss ] || try ethtool -X "$NETIF" weight 3 1
	try ethtool -N "$NETIF" rx-flow-hash udp6 sd
	before=$(state)
	suspend
	[ "$(state)" = "$before" ] || bad "$(state) instead of $before"
	[ ! $rss ] || flows "after" 4
	[ ! $rss ] || [ ! "$PEER6" ] || flows_by_addrs "after" 6
	try ethtool -N "$NETIF" rx-flow-hash udp6 sdfn
	[ ! $report ] || hashes_seen "after"
	if [ $report ]; then
		try ethtool -K "$NETIF" rxhash off
		suspend
		no_hash_seen "off, after"
		try ethtool -K "$NETIF" rxhash on
	fi
	[ ! $rss ] || try ethtool -X "$NETIF" default
	try ethtool -X "$NETIF" hkey "$KEY"
	verdict "after a suspend"
fi

begin
set_pairs "$max" 2>/dev/null # or not all are listed
n=$(stat_sum 'rx[0-9]+_drops')
[ "$n" = 0 ] || bad "$n packets were dropped"
verdict "nothing was dropped"

# What came for a full queue holds up QEMU's tap queue, and with it other queues' flows, until the driver notifies.
begin
if [ ! $rss ]; then
	skip "receive queues that overflowed" "no RSS"
elif ! ours; then
	skip "receive queues that overflowed" "the driver $DRV leaves them"
else
	set_pairs "$max"
	rings=$(ring RX 2)
	ethtool -G "$NETIF" rx 32 2>/dev/null
	for ((i = 0; i < 3; i++)); do
		timeout 20 iperf3 -c "$PEER" -p 5203 -u -R -b 1G -l 32 -t 2 -i 0 --connect-timeout 5000 >"$WORK/iperf" 2>&1 ||
			note "iperf3: $(tail -1 "$WORK/iperf")"
		sleep 1
		for ((n = 0; n < 8; n++)); do
			PORT=$((PORT + 1))
			# The source's backlog comes first, and QEMU reads it only a ring's worth at a time.
			udp 4 $PORT || udp 4 $PORT || udp 4 $PORT || udp 4 $PORT ||
				bad "overflow $i: datagrams of port $PORT (queue $(queue_of "$(hash_ports 4 $ECHO $PORT)")) didn't come back"
		done
	done
	ethtool -G "$NETIF" rx "$rings" 2>/dev/null
	verdict "flows go on after receive queues overflowed"
fi
finish
