#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# packaging/top shows each queue in use, with the CPUs and interrupts that the kernel's files have; its rates and drops are those
# of the counters; what it can't show it refuses with a sentence; in a terminal it goes on until it is told to end, and leaves
# the terminal as it was.
. "$(dirname "$0")/lib.sh"

TOP=$HERE/../packaging/top
ours || skip_all "the driver is $DRV"
[ -x "$TOP" ] || skip_all "packaging/top isn't beside the tests"
max=$(max_pairs) first=$(pairs)
at_exit 'set_pairs $first'
plan 10
reach

once() { "$TOP" --once --interval "${2:-0.3}" "$1" >"$WORK/top" 2>"$WORK/err"; }
# A field of a queue's line: 2 XPS, 3 IRQ, 4 AFFINITY, 5 ON, 6 INT/S, 7 PACKETS/S, 8 MBIT/S, 9 NOTIFY/S, 10 DROPS/S.
field() { awk -v q="$1" -v f="$2" '$1 == q { print $f; exit }' "$WORK/top"; }
# One of a counter of drops: 2 since the interface exists, 3 per second, 4 and so on queue by queue.
counter() { awk -v c="$1" -v f="$2" '/^DROPPED/ { on = 1 } on && $1 == c { print $f; exit }' "$WORK/top"; }
took() { sed -nE 's/.*; over ([0-9.]+) s$/\1/p' "$WORK/top"; }
narrow() { awk 'length($0) > 79 { exit 1 }' "$WORK/top" || bad "$(pairs) pairs: a line has more than 79 characters: $(awk 'length($0) > 79' "$WORK/top" | head -1)"; }
# "0-2,5", from a list with spaces.
ranges() { awk '{ for (i = 1; i <= NF; i++) if (i > 1 && $i == last + 1) { last = $i } else { flush(); from = last = $i }; flush(); print out }
	function flush() { if (from != "") out = out (out == "" ? "" : ",") (last > from ? from "-" last : from) }' <<<"$1"; }

# refused STATUS WORDS ARGUMENTS…: nothing on its output, and the words in what it says of that.
refused() {
	local status=$1 words=$2 got
	shift 2
	"$TOP" "$@" >"$WORK/out" 2>"$WORK/err"
	got=$?
	[ $got = "$status" ] || bad "top $*: status $got, not $status"
	[ ! -s "$WORK/out" ] || bad "top $* prints $(head -1 "$WORK/out")"
	grep -qF -e "$words" "$WORK/err" || bad "top $* says '$(head -1 "$WORK/err")', without '$words'"
	[ "$(wc -l <"$WORK/err")" = 1 ] || bad "top $* says more than a line: $(cat "$WORK/err")"
}
begin
"$TOP" --help >"$WORK/out" 2>&1 || bad "--help fails"
grep -q '^Usage: packaging/top' "$WORK/out" || bad "--help says $(head -1 "$WORK/out")"
refused 1 "there is no interface 'nosuch0'" --once nosuch0
refused 1 "virtio_net_mq has $NETIF" --once nosuch0
refused 1 "there is no interface '../$NETIF'" --once "../$NETIF"
refused 1 "lo is no virtio network card" --once lo
refused 2 "there is no option --frob" --frob "$NETIF"
refused 2 "one interface at a time" "$NETIF" lo
for i in 0 0.05 3601 abc -1 1e3 ''; do refused 2 "--interval wants seconds from 0.1 to 3600, not '$i'" --interval "$i" "$NETIF"; done
refused 2 "--interval wants a number" "$NETIF" --interval
verdict "what can't be shown is refused"

begin
if [ "$PEER_NS" ] && [ "$(ip netns exec "$PEER_NS" readlink /sys/class/net/eth0/device/driver 2>/dev/null | sed 's:.*/::')" = virtio_net ]; then
	ip netns exec "$PEER_NS" "$TOP" --once eth0 >"$WORK/out" 2>"$WORK/err" && bad "it shows another driver's interface"
	grep -q "the driver of eth0 is virtio_net, not virtio_net_mq; --any" "$WORK/err" || bad "of another driver it says: $(cat "$WORK/err")"
	ip netns exec "$PEER_NS" "$TOP" --once --any --interval 0.2 eth0 >"$WORK/top" 2>&1 || bad "--any fails: $(cat "$WORK/top")"
	grep -q '^eth0: virtio_net' "$WORK/top" || bad "--any: $(head -1 "$WORK/top")"
	[ "$(field tx 7)" ] && [ "$(field tx 7)" != - ] || bad "--any: the sum of packets is '$(field tx 7)'"
	verdict "another driver's interface on request only"
else
	skip "another driver's interface on request only" "no second NIC with the in-tree driver"
fi

# The CPU that a queue's interrupt comes to, or a line.
on_cpu() {
	local irq
	irq=$(irq_of "$1")
	cat "/proc/irq/${irq:-none}/effective_affinity_list" 2>/dev/null || echo -
}
begin
was=()
for n in $(printf '%s\n' 1 2 "$max" | awk -v m="$max" '$1 <= m' | sort -nu); do
	set_pairs "$n" || bad "combined $n"
	for ((q = 0; q < n; q++)); do was[2 * q]=$(on_cpu "input.$q") was[2 * q + 1]=$(on_cpu "output.$q"); done
	once "$NETIF" || bad "$n pairs: status $?, $(cat "$WORK/err")"
	[ ! -s "$WORK/err" ] || bad "$n pairs: $(cat "$WORK/err")"
	[ "$(grep -cE '^[rt]x[0-9]+ ' "$WORK/top")" = $((2 * n)) ] || bad "$n pairs: $(grep -cE '^[rt]x[0-9]+ ' "$WORK/top") lines of queues"
	grep -q "^$n of $max queue pairs, $(online_cpus | wc -w) CPUs online, carrier; over " "$WORK/top" || bad "$n pairs: $(sed -n 2p "$WORK/top")"
	for ((q = 0; q < n; q++)); do
		want=any
		if have_xps; then want=$(ranges "$(xps_cpus $q)"); fi
		[ "$(field tx$q 2)" = "$want" ] || bad "$n pairs: tx$q has XPS $(field tx$q 2), not $want"
		for v in rx$q:input.$q tx$q:output.$q; do
			irq=$(irq_of "${v#*:}")
			if [ "$irq" ]; then
				[ "$(field "${v%:*}" 3)" = "$irq" ] || bad "$n pairs: ${v%:*} has interrupt $(field "${v%:*}" 3), not $irq"
				want=$(cat "/proc/irq/$irq/smp_affinity_list")
				[ "$(field "${v%:*}" 4)" = "$want" ] || bad "$n pairs: ${v%:*} has affinity $(field "${v%:*}" 4), not $want"
				# It moves when it comes, on a busy machine perhaps while this looks.
				want=$(on_cpu "${v#*:}")
				[[ $v == tx* ]] && earlier=${was[2 * q + 1]} || earlier=${was[2 * q]}
				[ "$(field "${v%:*}" 5)" = "$want" ] || [ "$(field "${v%:*}" 5)" = "$earlier" ] ||
					bad "$n pairs: ${v%:*} is on $(field "${v%:*}" 5), not $want"
			elif grep -qwE "$VDEV(-virtqueues)?,?" /proc/interrupts; then
				[ "$(field "${v%:*}" 3)" = shared ] || bad "$n pairs: ${v%:*} has interrupt $(field "${v%:*}" 3), which all share"
				[ "$(field shared 3)" ] || bad "$n pairs: no line for the shared interrupt"
			else
				[ "$(field "${v%:*}" 3)" = - ] || bad "$n pairs: ${v%:*} has interrupt $(field "${v%:*}" 3), and there is none"
			fi
		done
	done
	narrow
done
if [ "$(find /sys/bus/virtio/drivers/$DRV -name 'virtio*' -type l | wc -l)" = 1 ]; then
	[ "$("$TOP" --once --interval 0.1 2>&1 | head -1)" = "$(head -1 "$WORK/top")" ] || bad "without a name it shows another first line"
fi
verdict "a line for each queue in use, with its CPUs and its interrupt"

# What one CPU sends is on the queues that have it, and what comes in over so many seconds is no more than came in all the while.
begin
set_pairs "$max"
for c in $(online_cpus); do
	before=$(stat_sum 'tx[0-9]+_packets')
	taskset -c "$c" ping -f -q -w 60 "$PEER" >/dev/null 2>&1 &
	ping=$!
	flows() { [ $(($(stat_sum 'tx[0-9]+_packets') - before)) -gt 20 ]; }
	wait_for 10 flows || bad "CPU $c sends nothing"
	once "$NETIF" 1 || bad "CPU $c: $(cat "$WORK/err")"
	kill $ping 2>/dev/null
	wait $ping 2>/dev/null
	after=$(stat_sum 'tx[0-9]+_packets')
	read -r own others < <(awk '/^tx[0-9]/ { print $1, $7 }' "$WORK/top" | while read -r q rate; do
		if [[ " $(xps_cpus "${q#tx}") " == *" $c "* ]]; then echo "own $rate"; else echo "others $rate"; fi
	done | awk '{ s[$1] += $2 } END { printf "%d %d\n", s["own"], s["others"] }')
	[ "$own" -gt 5 ] || bad "CPU $c sends, and its queues have $own packets per second"
	[ "$others" -le 8 ] || bad "only CPU $c sends, and other queues have $others packets per second"
	[ "$(awk -v r="$own" -v t="$(took)" 'BEGIN { printf "%d", r * t * 0.9 }')" -le $((after - before)) ] ||
		bad "CPU $c: $own packets per second, $(took) s, but only $((after - before)) were sent in all"
	awk '$1 == "tx" && $7 >= 5 && $8 >= 0 { n++ } $1 == "rx" && $7 >= 5 { n++ } END { exit n != 2 }' "$WORK/top" ||
		bad "CPU $c: the sums are $(grep -E '^[rt]x ' "$WORK/top" | tr -s ' \n' ' ')"
	if irq_per_queue; then
		awk '/^rx[0-9]/ { s += $6 } END { exit !(s > 0) }' "$WORK/top" || bad "CPU $c: packets come without interrupts"
	fi
done
verdict "packets are where the CPUs send them"

# The arithmetic: an ethtool whose counters are known, and which of them grow by how much.
begin
mkdir "$WORK/bin"
real=$(command -v ethtool)
cat >"$WORK/bin/ethtool" <<END
#!/bin/bash
[ "\$1" = -S ] || exec $real "\$@"
n=\$(cat $WORK/asked 2>/dev/null || echo 0)
echo \$((n + 1)) >$WORK/asked
echo "NIC statistics:"
while read -r name first grows; do echo "     \$name: \$((first + n * grows))"; done <$WORK/counters
END
chmod +x "$WORK/bin/ethtool"
cat >"$WORK/counters" <<'END'
rx_packets 1000 3000
rx_kicks 10 700
rx_drops 5 123
rx_drop_length 5 100
rx_drop_nomem 0 23
rx_alloc_fail 0 0
tx_drops 20 60
tx_drop_header 1 0
tx_drop_ring 4 10
tx_tx_timeouts 0 1
rx0_packets 9000000000000 1000
rx0_bytes 1000 125000000
rx0_drops 5 123
rx0_drop_length 5 100
rx0_drop_nomem 0 23
rx0_kicks 1 2
tx0_packets 9000000 -100
tx0_bytes 1 250
tx0_drops 20 60
tx0_drop_ring 4 10
END
set_pairs 1
PATH=$WORK/bin:$PATH once "$NETIF" 1 || bad "status $?: $(cat "$WORK/err")"
[ "$(cat "$WORK/asked")" = 2 ] || bad "the counters were read $(cat "$WORK/asked") times"
# about WHAT SHOWN GROWN: per second, rounded as it is there.
about() {
	awk -v s="$2" -v g="$3" -v t="$(took)" 'BEGIN { want = g / t; d = s - want; if (d < 0) d = -d; exit !(s ~ /^[0-9.]+$/ && d <= 0.006 * want + 0.55) }' ||
		bad "$1 is '$2' per second, with $3 in $(took) s"
}
about "rx0: packets" "$(field rx0 7)" 1000
about "rx0: drops" "$(field rx0 10)" 123
about "rx0: notifications" "$(field rx0 9)" 2
about "rx0: megabits" "$(field rx0 8)" 1000
about "rx: notifications" "$(field rx 9)" 700
about "tx: drops" "$(field tx 10)" 60
about rx_drop_length "$(counter rx_drop_length 3)" 100
about rx_drop_nomem "$(counter rx_drop_nomem 3)" 23
about tx_drop_ring "$(counter tx_drop_ring 3)" 10
about tx_drop_no_ring "$(counter tx_drop_no_ring 3)" 50
for w in "rx_drops 128" "rx_drop_length 105" "rx_drop_nomem 23" "rx_alloc_fail 0" "tx_drops 80" "tx_drop_header 1" "tx_drop_ring 14" \
	"tx_tx_timeouts 1" "tx_drop_no_ring 65"; do
	[ "$(counter "${w% *}" 2)" = "${w#* }" ] || bad "${w% *} is $(counter "${w% *}" 2), not ${w#* }"
done
[ "$(counter rx_drop_length 4)" = rx0:105 ] || bad "rx_drop_length is on $(counter rx_drop_length 4), not rx0:105"
[ "$(counter rx_alloc_fail 4)" = - ] || bad "rx_alloc_fail, which is 0, is on $(counter rx_alloc_fail 4)"
# Fewer than before, and not there: no rate.
[ "$(field tx0 7)/$(field tx0 9)" = -/- ] || bad "a counter that fell, and one that isn't there, are $(field tx0 7) and $(field tx0 9)"
for c in rx_elsewhere tx_elsewhere; do [ "$(counter $c 2)" ] || bad "there is no $c"; done
verdict "rates and drops are those of the counters"

# More queues than a line of 79 characters holds go on in lines below.
begin
set_pairs "$max"
for ((q = 0; q < max; q++)); do echo "tx${q}_stop 123456$q 0"; done >"$WORK/counters"
echo "tx_stop 9876543 0" >>"$WORK/counters"
PATH=$WORK/bin:$PATH once "$NETIF" || bad "status $?: $(cat "$WORK/err")"
[ "$(counter tx_stop 2)" = 9876543 ] || bad "tx_stop is $(counter tx_stop 2), not 9876543"
for ((q = 0; q < max; q++)); do grep -qw "tx$q:123456$q" "$WORK/top" || bad "tx$q has no 123456$q"; done
narrow
verdict "what queues have dropped doesn't make a line too long"
# The interface itself: each counter of drops that there is.
begin
set_pairs "$max"
once "$NETIF" || bad "$(cat "$WORK/err")"
for c in $(ethtool -S "$NETIF" | sed -nE 's/^ +([rt]x_(drop[a-z_]*|alloc_fail|stop|tx_timeouts|xdp_drop[a-z_]*)): .*/\1/p'); do
	[ "$(counter "$c" 2)" = "$(stat "$c")" ] || bad "$c is $(counter "$c" 2), and $(stat "$c") in ethtool -S"
done
[ "$(counter rx_drop_length 2)" ] || bad "there is no rx_drop_length"
"$TOP" --once --brief --interval 0.1 "$NETIF" >"$WORK/top" || bad "--brief fails"
awk '/^DROPPED/ { on = 1; next } on && $2 == 0 { exit 1 }' "$WORK/top" || bad "--brief shows what is 0"
grep -qE '^(nothing was dropped|[0-9]+ more counters)' "$WORK/top" || bad "--brief doesn't say what it leaves out"
once "$NETIF"
if tc qdisc show dev "$NETIF" root 2>/dev/null | grep -q .; then
	[ "$(counter qdisc 2)" ] || bad "there is nothing about the queueing discipline"
fi
verdict "all reasons are there"

# A device whose packets are no packets.
begin
if on_testdev; then
	had=$(stat rx_drop_length)
	at_exit 'hostctl device run=honest'
	hostctl device "run=case rx-len-short" >/dev/null || bad "the device doesn't know the case"
	ping -q -i 0.02 -w 60 "$PEER" >/dev/null 2>&1 &
	ping=$!
	more() { [ "$(stat rx_drop_length)" -gt "$had" ]; }
	wait_for 10 more || bad "nothing is dropped"
	once "$NETIF" 1 || bad "$(cat "$WORK/err")"
	kill $ping 2>/dev/null
	wait $ping 2>/dev/null
	hostctl device run=honest >/dev/null || bad "the device doesn't answer"
	awk -v n="$(counter rx_drop_length 2)" -v r="$(counter rx_drop_length 3)" -v h="$had" 'BEGIN { exit !(n > h && r > 0) }' ||
		bad "rx_drop_length is $(counter rx_drop_length 2), $(counter rx_drop_length 3) per second; it was $had"
	[[ $(counter rx_drop_length 4) == rx[0-9]*:* ]] || bad "rx_drop_length is on $(counter rx_drop_length 4)"
	awk '/^rx[0-9]/ && $10 > 0 { n++ } END { exit !n }' "$WORK/top" || bad "no queue drops: $(grep '^rx' "$WORK/top")"
	reach || bad "no answer to ping afterwards"
	verdict "what an odd device sends is dropped by reason"
else
	skip "what an odd device sends is dropped by reason" "not on the test device"
fi

begin
if have socat; then
	# live PICTURES KEY [COLUMNS [DIRECTORY]]: in a terminal of 12 lines until it has drawn so many (0: until it asks for the size), with
	# the programs of the directory before others, then the key; what it draws is in $WORK/live.
	cat >"$WORK/live.sh" <<-END
		stty rows 12 cols \${1:-80}
		before=\$(stty -g)
		PATH=\${2:+\$2:}\$PATH TERM=xterm $TOP --interval 0.3 $NETIF
		echo "status \$?"
		[ "\$before" = "\$(stty -g)" ] && echo "as before"
	END
	pictures() { grep -o $'\033\\[H' "$WORK/live" | wc -l; }
	drawn() { if [ "$1" -gt 0 ]; then [ "$(pictures)" -ge "$1" ]; else [ -e "$WORK/size" ]; fi; }
	ended() { grep -q 'status [0-9]' "$WORK/live"; }
	key() { wait_for 20 drawn "$1"; nap 1; printf '%b' "$2"; wait_for 20 ended; nap 1; }
	live() {
		: >"$WORK/live"
		key "$1" "$2" | timeout $((60 * SLOW)) socat - EXEC:"bash $WORK/live.sh ${3:-80} ${4:-}",pty,setsid,ctty >>"$WORK/live" 2>&1
	}
	for k in q '\003'; do
		live 3 "$k"
		[ "$(pictures)" -ge 3 ] || bad "key $k: $(pictures) pictures"
		grep -q 'status 0' "$WORK/live" || bad "key $k: $(tail -1 "$WORK/live")"
		grep -q 'as before' "$WORK/live" || bad "key $k: the terminal has other settings afterwards"
		[ "$(grep -o $'\033\\[?1049[hl]' "$WORK/live" | tail -1)" = $'\033[?1049l' ] || bad "key $k: the screen stays"
		[ "$(grep -o $'\033\\[?25[hl]' "$WORK/live" | tail -1)" = $'\033[?25h' ] || bad "key $k: the cursor stays hidden"
	done
	grep -q $'QUEUE.*DROPS/S' "$WORK/live" || bad "there is no table: $(head -c 300 "$WORK/live")"
	# Four pairs, and room for less.
	if [ "$max" -gt 3 ]; then
		grep -qE "the other [0-9]+ queue pairs don't fit here" "$WORK/live" || bad "more than 12 lines, and no word about what is left out"
	fi
	# While it asks for the size of the terminal its standard input is something else.
	mkdir "$WORK/slow"
	printf '#!/bin/bash\n[ "$1" != size ] || { >%s; sleep 30; }\nexec %s "$@"\n' "$WORK/size" "$(command -v stty)" >"$WORK/slow/stty"
	chmod +x "$WORK/slow/stty"
	live 0 '\003' 80 "$WORK/slow"
	grep -q 'status 0' "$WORK/live" || bad "Ctrl-C while the size is asked: $(tail -1 "$WORK/live")"
	grep -q 'as before' "$WORK/live" || bad "Ctrl-C while the size is asked: the terminal has other settings afterwards"
	live 1 q 40
	[ "$(tr -d '\r' <"$WORK/live" | sed $'s/\033\\[[?0-9]*[A-Za-z]//g' | grep -aE '^([rt]x|QUEUE)' | awk '{ if (length($0) > m) m = length($0) } END { print m }')" -le 40 ] ||
		bad "lines don't fit into 40 columns"
	# Without a terminal: as text, one after the other.
	samples() { [ "$(grep -c '^QUEUE' "$WORK/text")" -ge 3 ]; }
	"$TOP" --interval 0.3 "$NETIF" >"$WORK/text" 2>&1 </dev/null &
	top=$!
	wait_for 20 samples || bad "$(grep -c '^QUEUE' "$WORK/text") samples as text"
	kill $top
	wait $top 2>/dev/null
	! grep -q $'\033' "$WORK/text" || bad "the text has control sequences"
	verdict "in a terminal until a key, elsewhere as text"
else
	skip "in a terminal until a key, elsewhere as text" "socat is missing"
fi

begin
"$TOP" --interval 0.3 "$NETIF" >"$WORK/text" 2>"$WORK/err" </dev/null &
top=$!
some() { grep -q '^QUEUE' "$WORK/text"; }
wait_for 20 some || bad "no sample"
echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/unbind" || bad "unbind"
ended() { ! kill -0 $top 2>/dev/null; }
wait_for 20 ended || { bad "it goes on without an interface"; kill $top; }
wait $top
[ $? = 1 ] || bad "it ends with another status than 1"
grep -q "^top: $NETIF is gone" "$WORK/err" || bad "it says: $(tail -1 "$WORK/err")"
echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/bind" || bad "bind"
configure || bad "the interface doesn't come back"
reach || bad "no answer to ping"
verdict "an interface that goes is the end, with a word"
finish
