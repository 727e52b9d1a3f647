#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Whatever can be done to an interface, by a repeatable chance, under traffic: SEED chooses the sequence, STEPS or MINUTES its
# length, ACTIONS (names) what it is made of. After each step packets get through; the first step that goes wrong ends it. In the
# end, with the module unloaded, as much memory is free as in the beginning, no page pool waits for pages, no interface,
# interrupt or thread is left. `make soak` runs this and shows how far it is.
. "$(dirname "$0")/lib.sh"

ours || skip_all "the driver is $DRV, not virtio_net_mq"
[ "${KO:-}" ] || skip_all "KO is not set: the module can't be unloaded"
SEED=${SEED:-1} MINUTES=${MINUTES:-}
STEPS=${STEPS:-$([ "$MINUTES" ] && echo 1000000 || echo 500)}
# Suspends to memory come from step DEEP on: in the last quarter, which with MINUTES begins when its time has come.
DEEP=${DEEP:-$([ "$MINUTES" ] || echo $((STEPS * 3 / 4 + 1)))}
bind=/sys/bus/virtio/drivers/$DRV
hwaddr=$(mac)
plan 4

# --- traffic ----------------------------------------------------------------------------------------------------------

# Each comes again when a connection breaks, and waits while there is no interface. In sessions of their own, to be ended
# with all that they started. At rates (kbit/s; milliseconds between pings) that leave the CPUs time for the steps: a kernel
# that checks itself takes ten times as long for a packet, and all of an emulated CPU for a hundred in a second.
RATE=$((20000 / SLOW / SLOW / SLOW)) PING=$((20 * SLOW * SLOW)) TIME=$((20 * SLOW))
keep_going="while :; do timeout $((TIME + 10)) \"\$@\"; sleep 0.5; done >/dev/null 2>&1"
streams=()
traffic() {
	local cmd
	for cmd in "iperf3 -c $PEER -p 5201 -P 2 -b ${RATE}k -t $TIME -i 0 --connect-timeout 2000" \
		"iperf3 -c $PEER -p 5202 -R -b ${RATE}k -t $TIME -i 0 --connect-timeout 2000" \
		"iperf3 -c $PEER -p 5203 -u -b $((RATE / 10))k -l 300 -t $TIME -i 0 --connect-timeout 2000" \
		"ping -q -i $(printf '0.%03d' $PING) -w $TIME $PEER"; do
		# shellcheck disable=SC2086  # several words
		setsid bash -c "$keep_going" sh $cmd &
		streams+=($!)
	done
}
no_traffic() {
	local s
	for s in "${streams[@]}"; do pkill -KILL -s "$s"; done
	wait "${streams[@]}" 2>/dev/null
	streams=()
	# Connections that can't say goodbye any more keep what they have received for minutes.
	ss -K dst "$PEER" >/dev/null 2>&1
}
at_exit no_traffic

# --- what can be done -------------------------------------------------------------------------------------------------

# Each takes two numbers by chance and says in $did what it does. Things that a device may refuse are tried and may fail;
# all else is bad. What the shell can do itself it does: a kernel that checks itself takes a third of a second for a process.

features=(tx sg tso gro gso rx-gro-hw tx-udp-segmentation rx ntuple)
qdiscs=(mq fq_codel fq "netem delay 1ms limit 500" pfifo_fast)
states=$(cat /sys/power/state 2>/dev/null)

find_by_mac() {
	local d address
	for d in /sys/class/net/*; do
		[ -e "$d/device" ] && read -r address <"$d/address" && [ "$address" = "$hwaddr" ] || continue
		NETIF=${d##*/}
		VDEV=$(basename "$(readlink -f "$d/device")")
		return 0
	done
	return 1
}
found() { find_netif || find_by_mac; }
back() { wait_for 20 found || bad "the interface doesn't come back"; configure || bad "$NETIF doesn't come up"; }
run() { "$@" 2>"$WORK/err" || bad "$*: $(head -c 300 "$WORK/err")"; }
most=$(max_pairs)
in_use() { local q=("/sys/class/net/$NETIF/queues/rx-"*); now=${#q[@]}; }

# some_pairs NUMBER: by chance. The kernel refuses to take away the queue of a socket of AF_XDP.
some_pairs() {
	local n=$(($1 % most + 1)) now
	did+="combined $n"
	in_use
	[ "$now" != $n ] || return
	if socket_there; then ethtool -L "$NETIF" combined $n 2>/dev/null; else run ethtool -L "$NETIF" combined $n; fi
}
do_channels() { some_pairs "$1"; }
do_rings() {
	did="rings $((32 << $1 % 4))/$((32 << $2 % 4))"
	# The driver wants 19 at least, a device has its most.
	ethtool -G "$NETIF" rx $((32 << $1 % 4)) tx $((32 << $2 % 4)) 2>"$WORK/err" ||
		grep -qE 'not supported|no change|parameters not changed' "$WORK/err" || bad "-G: $(cat "$WORK/err")"
}
do_features() {
	local f=${features[$1 % ${#features[@]}]} on
	if (($2 % 2)); then on=on; else on=off; fi
	did="$f $on"
	ethtool -K "$NETIF" "$f" "$on" >/dev/null 2>&1
}
do_mtu() { did="MTU $((1280 + $1 % 221))"; run ip link set "$NETIF" mtu $((1280 + $1 % 221)); }
do_updown() {
	did="down, up"
	run ip link set "$NETIF" down
	if (($1 % 3 == 0)); then did+=", between: "; some_pairs "$2"; fi
	if (($1 % 3 == 1)); then did+=", rings between"; ethtool -G "$NETIF" rx $((64 << $2 % 3)) 2>/dev/null; fi
	run ip link set "$NETIF" up
}
do_xps() {
	local now q mask=$(($2 % 15 + 1))
	in_use
	q=$(($1 % now))
	[ -e "/sys/class/net/$NETIF/queues/tx-0/xps_cpus" ] || return
	printf -v did 'XPS of %d: %x' $q $mask
	printf %x $mask >"/sys/class/net/$NETIF/queues/tx-$q/xps_cpus" || bad "$did: refused"
}
cpus=($(removable_cpus))
do_cpu() {
	local c on
	[ ${#cpus[@]} -gt 0 ] || return
	c=${cpus[$1 % ${#cpus[@]}]}
	read -r on <"/sys/devices/system/cpu/cpu$c/online"
	did="CPU $c $((1 - on))"
	run cpu_online "$c" "${did##* }"
}
do_link() {
	local i
	have_hostctl || return
	did="link down and up, $(($1 % 3 + 1)) times"
	for ((i = 0; i <= $1 % 3; i++)); do
		hostctl qmp set_link name=nic0 up=false >/dev/null || bad "the host can't switch the link off"
		(($2 % 2)) && sleep 0.2
		hostctl qmp set_link name=nic0 up=true >/dev/null || bad "the host can't switch the link on"
	done
}
do_rebind() {
	did="unbind, bind"
	echo "$VDEV" >"$bind/unbind" || bad "unbind failed"
	[ -e "$bind/$VDEV" ] && bad "still bound"
	echo "$VDEV" >"$bind/bind" || bad "bind failed"
	back
}
do_reload() {
	did="rmmod, insmod"
	wait_for 20 rmmod virtio_net_mq 2>/dev/null || bad "$(rmmod virtio_net_mq 2>&1)"
	# shellcheck disable=SC2086
	run insmod "$KO" ${PARAMS:-}
	back
}
do_plug() {
	have_hostctl || return
	# The guest isn't told of an unplugging any more (ACPI; whatever the driver).
	[ ! "$deep" ] || { did="nothing: QEMU's hotplug doesn't outlive a suspend to memory"; return; }
	did="unplugged, plugged in"
	hostctl -t 40 unplug id=nic0 >"$WORK/err" 2>&1 || bad "unplug: $(cat "$WORK/err")"
	hostctl -t 40 plug id=nic0 >"$WORK/err" 2>&1 || bad "plug: $(cat "$WORK/err")"
	back
}
# To memory only towards the end (DEEP), because of do_plug.
deep= step=0
do_suspend() {
	[ "$states" ] || return
	if [ "${S3:-}" = yes ] && [ "$DEEP" ] && ((step >= DEEP && $1 % 2)) && grep -q mem <<<"$states"; then
		did="suspend to memory"
		deep=yes
		# One that is offline stays in the firmware's code that wakes it up, and doesn't rest there: an emulator with one thread for all
		# CPUs is fifty times slower from then on.
		all_cpus_online
		grep -q deep /sys/power/mem_sleep && echo deep >/sys/power/mem_sleep
		hostctl wake after=2 >/dev/null || bad "the host doesn't wake us"
		echo mem >/sys/power/state 2>"$WORK/err" || bad "$did: $(cat "$WORK/err")"
	else
		did="suspend of the devices"
		echo 0 >/sys/module/suspend/parameters/pm_test_delay 2>/dev/null
		echo devices >/sys/power/pm_test 2>/dev/null || return
		echo freeze >/sys/power/state 2>"$WORK/err" || bad "$did: $(cat "$WORK/err")"
		echo none >/sys/power/pm_test
	fi
}
do_filter() {
	local n=$(($1 % 200))
	case $(($2 % 4)) in
	0) did="promisc"; run ip link set "$NETIF" promisc on; (($1 % 2)) && run ip link set "$NETIF" promisc off ;;
	1) did="allmulticast"; run ip link set "$NETIF" allmulticast on; run ip link set "$NETIF" allmulticast off ;;
	2) did="group $n"; run ip maddr add "01:00:5e:11:22:$(printf %02x $n)" dev "$NETIF"
		run ip maddr del "01:00:5e:11:22:$(printf %02x $n)" dev "$NETIF" ;;
	3) did="address and back"
		run ip link set "$NETIF" address "02:00:00:00:51:$(printf %02x $n)"
		run ip link set "$NETIF" address "$hwaddr" ;;
	esac
}
do_vlan() {
	[ -d /proc/net/vlan ] || modprobe 8021q 2>/dev/null || return
	did="VLAN $(($1 % 4000 + 1))"
	run ip link add link "$NETIF" name soak.v type vlan id $(($1 % 4000 + 1))
	run ip link set soak.v up
	run ip link del soak.v
}
do_napi() {
	local t=$(($1 % 2))
	did="threaded $t, deferred $(($2 % 3))"
	timeout 30 bash -c "echo $t >/sys/class/net/$NETIF/threaded" || bad "threaded: failed or without end"
	echo $(($2 % 3)) >"/sys/class/net/$NETIF/napi_defer_hard_irqs"
	echo $(($2 % 3 * 20000)) >"/sys/class/net/$NETIF/gro_flush_timeout"
}
do_qdisc() {
	did="qdisc ${qdiscs[$1 % ${#qdiscs[@]}]}"
	# shellcheck disable=SC2086
	tc qdisc replace dev "$NETIF" root ${qdiscs[$1 % ${#qdiscs[@]}]} 2>/dev/null
}
do_netns() {
	did="to another namespace and back"
	run ip netns add soak
	run ip link set "$NETIF" netns soak
	run ip -n soak link set "$NETIF" up
	run ip -n soak link set "$NETIF" netns 1
	run ip netns del soak
	back
}
# Programs of xdp/programs.bpf.c, which judge none of this traffic and let it pass.
xdp_programs=(pass drop tx meta pass_frags tx_frags "" "" "")
xdp_pins=/sys/fs/bpf/soak
do_xdp() {
	local p=${xdp_programs[$1 % ${#xdp_programs[@]}]} link
	[ -e "$xdp_pins/pass" ] || return
	did="XDP: ${p:-none}"
	if [ "$p" ]; then
		run ip -force link set dev "$NETIF" xdpdrv pinned "$xdp_pins/$p"
		link=$(ip link show dev "$NETIF")
		# Once.
		[[ $link == *prog/xdp* && ${link#*prog/xdp} != *prog/xdp* ]] || bad "$p isn't there: $link"
	else
		run ip link set dev "$NETIF" xdpdrv off
	fi
}
do_reads() {
	did="everything read"
	ethtool -S "$NETIF" >/dev/null || bad "ethtool -S"
	ethtool -g "$NETIF" >/dev/null
	ethtool -k "$NETIF" >/dev/null || bad "ethtool -k"
	ethtool -c "$NETIF" >/dev/null 2>&1
	ethtool -d "$NETIF" >/dev/null 2>&1
	ip -s -s link show dev "$NETIF" >/dev/null || bad "ip -s link"
	pools >/dev/null || bad "page pools can't be listed"
}

# A socket of AF_XDP, with zero copy or in copy mode, which sends some frames and goes, or takes what comes and stays until the next
# time. Without a program all that comes is the stack's.
declare -A sockets=()
socket=
socket_ready() { local said; mapfile said <"$WORK/socket"; printf -v said %s $'\n' "${said[@]}"; [[ $said == *$'\n'ready* ]]; }
socket_there() { [ "$socket" ] && kill -0 "$socket" 2>/dev/null; }
no_socket() {
	[ "$socket" ] || return
	kill -KILL "$socket" 2>/dev/null
	wait "$socket" 2>/dev/null
	socket=
}
do_xsk() {
	local mode=-c what=(hold) now
	[ -x "$HERE/xsk/xsk" ] || return
	if socket_there; then
		did="the socket goes"
		no_socket
		return
	fi
	(($1 % 3)) && mode=-z
	(($1 % 2)) && what=(-n 3000 -s 200 -d 02:76:6e:6d:00:02 send)
	in_use
	did="a socket, $mode ${what[*]}, on queue $(($2 % now))"
	: >"$WORK/socket"
	"$HERE/xsk/xsk" $mode -w -q $(($2 % now)) "${what[@]}" "$NETIF" >"$WORK/socket" 2>&1 &
	socket=$!
	wait_for 20 eval 'socket_ready || ! socket_there'
	socket_ready || bad "no socket: $(cat "$WORK/socket")"
	sockets[$mode]=$((sockets[$mode] + 1))
}

# How often each comes: that many tickets of all.
declare -A tickets=([channels]=6 [rings]=5 [features]=4 [mtu]=3 [updown]=4 [xps]=2 [cpu]=3 [link]=2 [rebind]=4 [reload]=1
	[plug]=1 [suspend]=2 [filter]=3 [vlan]=1 [napi]=2 [qdisc]=2 [netns]=1 [xdp]=6 [xsk]=6 [reads]=2)
names=(channels rings features mtu updown xps cpu link rebind reload plug suspend filter vlan napi qdisc netns xdp xsk reads)
lot=()
for a in "${names[@]}"; do
	[ -z "${ACTIONS:-}" ] || grep -qw "$a" <<<"$ACTIONS" || continue
	for ((i = 0; i < tickets[$a]; i++)); do lot+=("$a"); done
done
[ ${#lot[@]} -gt 0 ] || skip_all "ACTIONS has none of: ${names[*]}"

# --- what is left behind ----------------------------------------------------------------------------------------------

# Without traffic, module and caches: what the system has then is its own.
settle() {
	no_traffic
	no_socket
	all_cpus_online
	rmmod virtio_net_mq 2>"$WORK/err" || wait_for 20 rmmod virtio_net_mq 2>"$WORK/err" ||
		bad "the module can't be unloaded: $(cat "$WORK/err")"
	drop_caches
}
# --- go ---------------------------------------------------------------------------------------------------------------

cleanup() {
	all_cpus_online
	echo none >/sys/power/pm_test
	[ -e "$bind" ] || insmod "$KO" $PARAMS
	ip netns del soak
	back
}
at_exit cleanup
# A program stays through most of what is done; it goes with the driver.
if [ -e "$HERE/xdp/programs.bpf.o" ]; then
	rm -rf "$xdp_pins"
	bpftool prog loadall "$HERE/xdp/programs.bpf.o" "$xdp_pins" 2>"$WORK/err" || note "no XDP: $(tail -1 "$WORK/err")"
	at_exit 'rm -rf "$xdp_pins"'
fi

# A datagram comes back from the peer (see peer.py), or a ping is answered. (The shell reads a byte of a datagram, which is the end of it.)
comes_back() {
	local way got=
	[ "$service" ] || { ping -q -c 1 -W 1 "$PEER" >/dev/null 2>&1; return; }
	{ exec {way}<>"/dev/udp/$PEER/7099"; } 2>/dev/null || return
	{ echo "$step" >&"$way" && read -rn 1 -t $SLOW -u "$way" got; } 2>/dev/null
	exec {way}>&-
	[ "$got" ]
}
# alive [ACTION]: what is wrong after it.
alive() {
	local n now tx
	find_netif || { bad "there is no interface"; return; }
	wait_for 20 carrier || bad "no carrier"
	wait_for 20 comes_back || bad "nothing comes back from the peer"
	in_use
	tx=("/sys/class/net/$NETIF/queues/tx-"*)
	case ${1:-} in
	'' | channels | updown | rebind | reload | plug | suspend | netns) n=$(pairs) ;;
	*) n=$now ;;
	esac
	[ ${#tx[@]}/$now = "$n/$n" ] || bad "$n pairs, but ${#tx[@]}/$now queues"
}
contents() {
	local out
	out=$(upload "$WORK/blob" "$sum") || bad "$out"
	out=$(download 300000 "$1") || bad "$out"
}

# What may explain a step that went wrong.
state_of_things() {
	ethtool -l "$NETIF" | tail -1
	ethtool -S "$NETIF" | grep -E ' (rx|tx)[0-9]+_(packets|kicks|callbacks|drops|alloc_fail|stop|wake|tx_timeouts): [1-9]' | tr -s ' \n' ' '
	echo
	ethtool -S "$NETIF" | grep -E ' (rx|tx)[0-9]+_(packets|callbacks): ' | tr -s ' \n' ' ' | sed 's/^/later: /'
	echo
	grep -E "${VDEV}-" /proc/interrupts
	tc -s qdisc show dev "$NETIF"
	ip -s neigh show dev "$NETIF"
	ip -d -s link show dev "$NETIF"
	grep . "/sys/class/net/$NETIF/"{threaded,napi_defer_hard_irqs,gro_flush_timeout} "/sys/class/net/$NETIF/queues/"tx-*/byte_queue_limits/{limit,inflight}
	ps -e -o stat,wchan:32,comm | grep -E 'napi/|^D'
}
note "SEED=$SEED ${MINUTES:+MINUTES=$MINUTES }STEPS=$STEPS${ACTIONS:+ ACTIONS=$ACTIONS}"
mark_log
begin
reach || bad "no answer to ping"
sum=$(blob "$WORK/blob" 300000)
service=
have_peer_service && service=yes
# What the first time of each brings along stays: modules, caches, files.
traffic
sleep 1
for a in "${names[@]}"; do
	note "warming up: $a"
	did=
	"do_$a" 1 1
done
alive
contents 1
settle
take_stock >"$WORK/before"
run insmod "$KO" ${PARAMS:-}
back
alive
RANDOM=$SEED
traffic
[ ${#_bad[@]} = 0 ] || STEPS=0
began=$SECONDS
for ((step = 1; step <= STEPS; step++)); do
	if [ "$MINUTES" ]; then
		((SECONDS - began < MINUTES * 60)) || break
		if [ ! "$DEEP" ] && (((SECONDS - began) * 4 > MINUTES * 180)); then
			DEEP=$step
			note "to memory from here on: DEEP=$DEEP"
		fi
	fi
	a=${lot[RANDOM % ${#lot[@]}]} x=$RANDOM y=$RANDOM
	did=
	echo "soak: step $step: $a $x $y" >/dev/kmsg
	note "step $step: $a $x $y"
	"do_$a" "$x" "$y"
	alive "$a"
	[ -z "$service" ] || ((step % 20)) || contents "$step"
	((step % 10)) || [ -z "$(log_problems)" ] || bad "the kernel complains: $(log_problems | head -3)"
	if [ ${#_bad[@]} -gt 0 ]; then
		while IFS= read -r l; do note "$l"; done < <(state_of_things)
		bad "that was step $step: $a${did:+ ($did)}; again with: make soak SEED=$SEED STEPS=$step DEEP=${DEEP:-$((step + 1))}${ACTIONS:+ ACTIONS='$ACTIONS'}"
		break
	fi
done
[ -z "${sockets[*]}" ] || note "sockets: ${sockets[-z]:-0} with zero copy, ${sockets[-c]:-0} in copy mode"
note "steps: $((step - 1))"
verdict "all steps were taken"

begin
alive
all_cpus_online
tc qdisc del dev "$NETIF" root 2>/dev/null
max=$(max_pairs)
for ((n = 1; n <= max; n++)); do
	run set_pairs $n
	for c in $(online_cpus); do
		wait_for 10 taskset -c "$c" ping -q -c 3 -i 0.02 -W 2 "$PEER" >/dev/null || bad "$n pairs, CPU $c: no answer to ping"
	done
done
reach6 || bad "no answer to ping over IPv6"
[ -z "$service" ] || contents 7
[ "$(stat_sum 'tx[0-9]+_tx_timeouts')" = 0 ] || bad "a transmit queue was stuck"
verdict "everything works afterwards"

begin
settle
take_stock >"$WORK/after"
while IFS= read -r l; do bad "$l"; done < <(left_behind "$WORK/before" "$WORK/after")
note "memory in KiB before: $(awk '$1 == "memory" { printf "%s %s  ", $2, $3 }' "$WORK/before")"
note "memory in KiB after:  $(awk '$1 == "memory" { printf "%s %s  ", $2, $3 }' "$WORK/after")"
verdict "nothing is left behind"

begin
while IFS= read -r l; do bad "$l"; done < <(log_problems | grep -v 'PM: suspend debug')
verdict "the kernel's log is clean"
finish
