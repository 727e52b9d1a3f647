# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests share: KTAP output, waiting with a limit, and looking things up. Sourced, not run.
#
# The environment names the interface (NETIF) and the machine it talks to (PEER, and PEER6 for IPv6), which runs
# `iperf3 -s` on ports 5201 to 5204 and qemu-test/peer.py. Everything else has a default; Documentation/testing.rst tells of it.

export LC_ALL=C
: "${NETIF:?name the interface under test}" "${PEER:?give the address of the machine it talks to}"

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PEER6=${PEER6:-}
PEER_NS=${PEER_NS:-}
PEER_NS_IP=${PEER_NS_IP:-192.0.2.3}
VDEV=${VDEV:-$(basename "$(readlink -f "/sys/class/net/$NETIF/device")")}
DRV=$(basename "$(readlink -f "/sys/class/net/$NETIF/device/driver")")
DUT_IP=${DUT_IP:-$(ip -4 -o addr show dev "$NETIF" | awk '{ sub("/.*", "", $4); print $4; exit }')}
DUT_IP6=${DUT_IP6:-2001:db8::2}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/vnm.XXXXXX")

# --- results ----------------------------------------------------------------------------------------------------------

_n=0 _planned=0 _failed=0 _skipped=0 _done=
_exit_cmds=()

note() { local l; while IFS= read -r l; do printf '# %s\n' "$l"; done <<<"$*"; }
plan() { _planned=$1; printf 'KTAP version 1\n1..%d\n' "$1"; }
ok() { printf 'ok %d %s\n' $((++_n)) "$*"; }
not_ok() { _failed=$((_failed + 1)); printf 'not ok %d %s\n' $((++_n)) "$*"; }
# skip NAME REASON
skip() { _skipped=$((_skipped + 1)); printf 'ok %d %s # SKIP %s\n' $((++_n)) "$1" "$2"; }
# Instead of a plan: nothing here applies.
skip_all() { printf 'KTAP version 1\n1..0 # SKIP %s\n' "$*"; _done=1; exit 4; }

# Problems are collected while a test goes on and printed with its verdict:
#   begin; …; [ … ] || bad "what was seen"; …; verdict NAME
begin() { _bad=(); }
bad() { _bad+=("$*"); }
verdict() {
	local b
	if [ ${#_bad[@]} = 0 ]; then
		ok "$1"
	else
		not_ok "$1"
		for b in "${_bad[@]:0:10}"; do note "  $b"; done
		[ ${#_bad[@]} -le 10 ] || note "  … and $((${#_bad[@]} - 10)) more"
	fi
	_bad=()
}

# Commands for the end of the test, run last one first whatever way it ends.
at_exit() { _exit_cmds+=("$1"); }
_finish() {
	local rc=$? i
	set +e
	for ((i = ${#_exit_cmds[@]} - 1; i >= 0; i--)); do eval "${_exit_cmds[i]}" >/dev/null 2>&1; done
	jobs -p | xargs -r kill 2>/dev/null
	rm -rf "$WORK"
	[ "$_done" ] || { note "ended early, with status $rc"; exit 1; }
	exit "$rc"
}
trap _finish EXIT
trap 'exit 1' INT TERM

# Ends a test: the status kselftest wants.
finish() {
	_done=1
	printf '# Totals: pass:%d fail:%d skip:%d\n' $((_n - _failed - _skipped)) "$_failed" "$_skipped"
	if [ "$_n" != "$_planned" ]; then
		note "planned $_planned tests, ran $_n"
		exit 1
	fi
	[ "$_failed" = 0 ] || exit 1
	[ "$_skipped" != "$_n" ] || exit 4
	exit 0
}

# --- waiting ----------------------------------------------------------------------------------------------------------

# wait_for SECONDS COMMAND…: until it succeeds; its failure if it didn't in time. The limits used are far above what a
# slow machine needs: how long something takes is never what is tested. SLOW, a factor, is for kernels that check themselves.
SLOW=${SLOW:-1}
wait_for() {
	local end=$((SECONDS + $1 * SLOW))
	shift
	while ! "$@"; do
		[ $SECONDS -lt $end ] || return 1
		nap 0.1
	done
}
# nap SECONDS: without a process, which takes a slow CPU longer than what is waited for.
exec {_nap}<> <(:)
nap() { read -rt "$1" -u "$_nap"; return 0; }

have() { command -v "$1" >/dev/null; }
have_hostctl() { have hostctl; }
# The test device (qemu-test/device): whether it is the card, and what it says to a line of its own, without empty lines.
on_testdev() { have_hostctl && hostctl device run=acked >/dev/null 2>&1; }
dev() { hostctl device "run=$*" | sed '/^$/d'; return "${PIPESTATUS[0]}"; }
ours() { [ "$DRV" = virtio_net_mq ]; }

# Whether feature bit N of the virtio device was negotiated; bit 0 is the first character.
negotiated() { [ "$(cut -c $(($1 + 1)) "/sys/bus/virtio/devices/$VDEV/features")" = 1 ]; }

# stacks [PID]: notes where in the kernel a process is, and all those that wait for something and can't be interrupted: the one that
# another one waits for is among them. For a command without an end.
stacks() {
	local d state comm at
	for d in /proc/[0-9]*; do
		comm=$(cat "$d/comm" 2>/dev/null) || continue
		read -r state < <(sed -n 's/^State:[[:space:]]*//p' "$d/status" 2>/dev/null)
		[ "${d##*/}" = "${1:-}" ] || [ "${state%% *}" = D ] || continue
		at=$(sed -E 's/^\[<0>\] //; s/\+0x.*//' "$d/stack" 2>/dev/null | tr '\n' ' ')
		note "${d##*/} $comm ($state): $at"
	done
}

# --- the interface ----------------------------------------------------------------------------------------------------

carrier() { local up=; { read -r up <"/sys/class/net/$NETIF/carrier"; } 2>/dev/null; [ "$up" = 1 ]; }
no_carrier() { ! carrier; }
# What QEMU knows of virtqueue N.
virtqueue() { hostctl qmp x-query-virtio-queue-status path=/machine/peripheral/nic0/virtio-backend "queue=$1" 2>/dev/null; }
# link_down, link_up: the host switches the link, and that is seen.
link_down() { hostctl qmp set_link name=nic0 up=false >/dev/null && wait_for 10 no_carrier; }
link_up() { hostctl qmp set_link name=nic0 up=true >/dev/null && wait_for 10 carrier && { ! miscounts || wait_for 90 recounted; }; }
# QEMU (up to 11.1) loses count of a packed ring of which it threw a packet away, because there was no link. The next one that this
# driver tells it of it takes for a fault, for which it asks for a reset. One that asks too often waits for it, up to a minute.
miscounts() {
	local q
	negotiated 34 && ours || return 1
	for ((q = 1; q < 2 * $(pairs); q += 2)); do virtqueue "$q" | grep -qE '"inuse": [0-9]{6,}' && return 0; done
	return 1
}
recounted() {
	local c
	for c in $(online_cpus); do taskset -c "$c" ping -q -c 1 -W 1 "$PEER" >/dev/null 2>&1; done
	! miscounts && ethtool -l "$NETIF" >/dev/null 2>&1 && carrier
}
# RSS's table, its entries with a space after each, and its key.
indir() { ethtool -x "$NETIF" | awk '/^ +[0-9]+: / { for (i = 2; i <= NF; i++) printf "%s ", $i }'; }
key() { ethtool -x "$NETIF" | grep -A1 '^RSS hash key:' | grep -E '^([0-9a-f]{2}:)+'; }

# Its name, which a new binding may change.
find_netif() {
	local d
	for d in "/sys/bus/virtio/devices/$VDEV/net/"*; do
		[ -e "$d" ] && { NETIF=${d##*/}; return 0; }
	done
	return 1
}

# Up, with addresses (one that can't be had, as IPv6 with a small MTU, is done without), after a test that took them away. In one
# process: a kernel that checks itself takes a third of a second for one.
configure() {
	local flags
	wait_for 10 find_netif || return 1
	{ echo 0 >"/proc/sys/net/ipv6/conf/$NETIF/accept_dad"; } 2>/dev/null
	{
		echo "address replace $DUT_IP/24 dev $NETIF"
		[ -z "$PEER6" ] || echo "address replace $DUT_IP6/64 dev $NETIF nodad"
		echo "link set $NETIF up"
	} >"$WORK/configure"
	ip -force -batch "$WORK/configure"
	read -r flags <"/sys/class/net/$NETIF/flags" && ((flags & 1)) || return 1
	wait_for 10 carrier
}

# The peer answers: pings until it does, for at most 10 s. What is lost meanwhile is not this check's business.
# ping ARGUMENTS, of which none may be lost (ping itself is content with one answer); from_cpu N: the same from there.
lossless() { "$@" 2>&1 | grep -q ' 0% packet loss'; }
all_pings() { lossless ping -q "$@"; }
from_cpu() { local c=$1; shift; lossless taskset -c "$c" ping -q "$@"; }
# Answers to pings that have come (IPv4). answered COUNT [CPU] ARGUMENTS: so many pings are answered, perhaps late: ping itself waits
# no longer for the last ones than answers have taken so far. Nobody else may be pinging.
pongs() { awk '/^Icmp:/ && !n++ { for (i = 1; i <= NF; i++) if ($i == "InEchoReps") col = i } /^Icmp:/ { v = $col } END { print v }' /proc/net/snmp; }
answered() {
	local n=$1 had cpu=
	shift
	[[ $1 == -* ]] || { cpu=$1; shift; }
	had=$(pongs)
	${cpu:+taskset -c "$cpu"} ping -q -c "$n" "$@" >/dev/null 2>&1
	_answered() { [ $(($(pongs) - had)) -ge "$n" ]; }
	wait_for 10 _answered
}
reach() { wait_for 10 ping -q -c 1 -W 1 "${1:-$PEER}" >/dev/null 2>&1; }
reach6() { [ -z "$PEER6" ] || reach "$PEER6"; }
# Bytes that were sent and not given back yet, of all transmit queues.
inflight() { cat /sys/class/net/"$NETIF"/queues/tx-*/byte_queue_limits/inflight 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'; }
nothing_inflight() { [ "$(inflight)" = 0 ]; }
# echoed BYTES ADDRESS: so many bytes come back from who echoes datagrams there (an address as socat takes it), which get 64 of
# them each. It ends with the last, and gives up after 20 seconds.
echoed() {
	local in pid n
	exec {in}< <(exec socat -b 64 -t 20 - "$2" < <(head -c "$1" /dev/zero))
	pid=$!
	n=$(timeout 20 head -c "$1" <&"$in" | wc -c)
	kill $pid 2>/dev/null
	exec {in}<&-
	[ "$n" = "$1" ]
}

# One counter of ethtool -S, or nothing; and the sum of those that match an expression.
stat() { ethtool -S "$NETIF" | awk -v n="$1:" '$1 == n { print $2; exit }'; }
stat_sum() { ethtool -S "$NETIF" | awk -v re="^($1):\$" '$1 ~ re { s += $2 } END { printf "%d\n", s }'; }
# Packets of each queue, 0 where there is no counter: a queue out of use has none.
queue_packets() { # rx|tx QUEUES
	ethtool -S "$NETIF" | awk -v dir="$1" -v max="$2" '$1 ~ "^" dir "[0-9]+_packets:$" { n[substr($1, 3) + 0] = $2 }
		END { for (i = 0; i < max; i++) printf "%d ", n[i] }'
}
# A counter of the interface as a whole.
if_stat() { cat "/sys/class/net/$NETIF/statistics/$1"; }

mtu() { cat "/sys/class/net/$NETIF/mtu"; }
page_size() { awk '/^KernelPageSize/ { print 1024 * $2; exit }' /proc/self/smaps; }
mac() { cat "/sys/class/net/$NETIF/address"; }
# On, off, "off [fixed]", or nothing.
feature() { ethtool -k "$NETIF" | sed -nE "s/^[[:space:]]*$1: //p"; }

# --- queues -----------------------------------------------------------------------------------------------------------

# Third field of the n-th "Combined:" line: 1 is the most, 2 is now.
_combined() { ethtool -l "$NETIF" | awk -v n="$1" '/^Combined:/ && ++i == n { print $2 }'; }
max_pairs() { _combined 1; }
pairs() { _combined 2; }
# ethtool takes a request for what is for a failure.
set_pairs() { [ "$(pairs)" = "$1" ] || ethtool -L "$NETIF" combined "$1"; }
queue_dirs() { find "/sys/class/net/$NETIF/queues" -maxdepth 1 -name "$1-*" | wc -l; }

# Ring sizes: the n-th "RX:" or "TX:" line of ethtool -g, where 1 is the most and 2 is now.
ring() { ethtool -g "$NETIF" | awk -v n="$2" -v k="$1:" '$1 == k && ++i == n { print $2 }'; }

# Number of the interrupt "VDEV-$1" (input.0, output.0, …), and how often it came.
irq_of() { awk -v n="$VDEV-$1" '$NF == n { sub(":", "", $1); print $1; exit }' /proc/interrupts; }
irq_count() {
	awk -v n="$VDEV-$1" 'NR == 1 { cpus = NF; next }
		$NF == n { for (i = 2; i <= cpus + 1; i++) s += $i } END { printf "%d\n", s }' /proc/interrupts
}
irq_per_queue() { [ "$(irq_of output.0)" ]; }

# --- CPUs -------------------------------------------------------------------------------------------------------------

# "0-2,5" as "0 1 2 5"
expand() {
	local part i out=
	for part in ${1//,/ }; do
		for ((i = ${part%-*}; i <= ${part#*-}; i++)); do out+="${out:+ }$i"; done
	done
	echo "$out"
}
online_cpus() { expand "$(</sys/devices/system/cpu/online)"; }
# The same, neighbours side by side: sorted by NUMA node, package, core and number.
cpus_by_topology() {
	local c d n
	for c in $(online_cpus); do
		d=/sys/devices/system/cpu/cpu$c
		for n in "$d"/node*; do n=${n##*/node}; done
		echo "${n/\*/0} $(<"$d/topology/physical_package_id") $(<"$d/topology/core_id") $c"
	done | sort -n -k1,1 -k2,2 -k3,3 -k4,4 | awk '{ printf "%s%s", sep, $4; sep = " " }'
}
# A mask in hexadecimal, perhaps with commas, as "0 1 2 5"; for up to 63 CPUs.
mask_cpus() {
	local m=$((16#${1//,/})) i out=
	for ((i = 0; m > 0; i++, m >>= 1)); do ((m & 1)) && out+="${out:+ }$i"; done
	echo "$out"
}
# An interface that can't have more than one queue has no maps: each CPU uses the one.
have_xps() { cat "/sys/class/net/$NETIF/queues/tx-0/xps_cpus" >/dev/null 2>&1; }
xps_cpus() { if have_xps; then mask_cpus "$(<"/sys/class/net/$NETIF/queues/tx-$1/xps_cpus")"; else online_cpus; fi; }
# A CPU whose packets leave by that queue.
# shellcheck disable=SC2046
cpu_of() { set -- $(xps_cpus "$1"); echo "$1"; }
# Which CPUs can go offline (the first can't, on x86).
removable_cpus() {
	local d
	for d in /sys/devices/system/cpu/cpu[0-9]*; do
		[ -w "$d/online" ] && echo "${d##*/cpu}"
	done | sort -n
}
cpu_online() { echo "$2" >"/sys/devices/system/cpu/cpu$1/online"; }
all_cpus_online() { local c; for c in $(removable_cpus); do cpu_online "$c" 1; done; }

# --- traffic ----------------------------------------------------------------------------------------------------------

# iperf3 in the background, its output in $WORK/iperf; iperf_ok waits for it.
# One server serves one client at a time, and lets go of the last one late: try again for a while.
iperf_start() {
	IPERF_LOG=$WORK/iperf.$RANDOM
	(
		for _ in 1 2 3 4 5 6; do
			iperf3 -c "$PEER" -i 0 --connect-timeout 30000 "$@" >"$IPERF_LOG" 2>&1 && exit 0
			iperf_came_early || exit 1
			sleep 1
		done
		exit 1
	) &
	IPERF_PID=$!
}
# The server is still busy with the test before; or it makes a new socket for the next one: who comes before it listens is refused,
# and who waits at the old one is sent away, before anything has been sent.
iperf_came_early() {
	grep -qE 'server is busy|unable to connect .*Connection refused' "$IPERF_LOG" || { ! grep -q ' connected to ' "$IPERF_LOG" && grep -q 'unable to receive control message' "$IPERF_LOG"; }
}
iperf_ok() { wait "$IPERF_PID"; }
iperf_running() { kill -0 "$IPERF_PID" 2>/dev/null; }
iperf_last() { grep -E 'error|SUM.*receiver|receiver' "$IPERF_LOG" | tail -1; }

# The peer's content service (qemu-test/peer.py), one request each.
peer_request() { printf '%s\n' "$*" | socat -t 60 - "TCP:$(addr4or6 "${PEER_VIA:-$PEER}"):7000"; }
addr4or6() { case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac; }
have_peer_service() {
	have socat || return 1
	[ "$(peer_request HASH 0 0 2>/dev/null)" = e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ]
}
# download BYTES SEED [ADDRESS]: fetches contents and compares with what the peer says they are.
download() {
	local want got
	want=$(PEER_VIA=${3:-} peer_request HASH "$1" "$2") || return 1
	got=$(printf 'SEND %s %s\n' "$1" "$2" | socat -t 60 -b 65536 - "TCP:$(addr4or6 "${3:-$PEER}"):7000" | sha256sum)
	[ "${got%% *}" = "$want" ] && return 0
	echo "received $1 bytes with checksum ${got%% *}, sent were $want"
	return 1
}
# upload FILE SHA256 [ADDRESS]: sends a file, in segments of BLOCK bytes if that is set, and compares the checksum of what
# arrived.
upload() {
	local got
	got=$( (echo RECV; cat "$1") |
		socat -t 60 -b "${BLOCK:-65536}" - "TCP:$(addr4or6 "${3:-$PEER}"):7000${BLOCK:+,nodelay}") || { echo "socat failed"; return 1; }
	[ "$got" = "$(wc -c <"$1") $2" ] && return 0
	echo "sent $(wc -c <"$1") bytes with checksum $2, the peer has: $got"
	return 1
}
# blob FILE BYTES: random contents; prints their checksum.
blob() { head -c "$2" /dev/urandom >"$1"; sha256sum "$1" | cut -d' ' -f1; }

# Problems in the kernel's log since mark_log, as lines.
# No mark may be the beginning of another one.
mark_log() { LOG_MARK="vnm-mark-$$-$EPOCHREALTIME."; echo "$LOG_MARK" >/dev/kmsg; }
# All of it if the mark isn't there any more: then the log has gone round since. Without the report of a lock that the
# kernel's net_failover has and doesn't initialise (7.2).
log_since() {
	dmesg >"$WORK/dmesg"
	awk -v mark="$LOG_MARK" -v before="$(grep -cF "$LOG_MARK" "$WORK/dmesg")" '
		before { if (index($0, mark)) before = 0; next }
		/INFO: trying to register non-static key/ { hold = 1; held = "" }
		!hold { print; next }
		{ held = held $0 "\n" }
		/<\/TASK>/ { hold = 0; if (held !~ /net_failover_get_stats/) printf "%s", held }
		END { if (hold) printf "%s", held }' "$WORK/dmesg"
}
log_problems() { log_since | log_bad; }
log_bad() {
	grep -E 'BUG|WARNING|Call Trace|Oops|RIP: |hung_task|blocked for more|NETDEV WATCHDOG|UBSAN|ref_tracker|KFENCE|rcu.*stall|DMA-API|suspected memory leaks|refcount_t:|exceeding its budget'
}
# netconsole: whether the kernel has it, with targets at run time.
NETCONSOLE=/sys/kernel/config/netconsole
have_netconsole() {
	modprobe -q netconsole && { [ -d $NETCONSOLE ] || mount -t configfs configfs /sys/kernel/config; } && [ -d $NETCONSOLE ]
}
# netconsole_to ADDRESS: what is written to /dev/kmsg goes to a neighbour's port 6666 as well, each line, until the test ends.
netconsole_to() {
	local set mac rc=0
	mac=$(ip neigh show "$1" dev "$NETIF" | grep -o 'lladdr [^ ]*' | cut -d' ' -f2)
	PRINTK=$(</proc/sys/kernel/printk) DEVKMSG=$(</proc/sys/kernel/printk_devkmsg)
	at_exit 'echo "$PRINTK" >/proc/sys/kernel/printk; echo "$DEVKMSG" >/proc/sys/kernel/printk_devkmsg'
	echo on >/proc/sys/kernel/printk_devkmsg
	echo 5 >/proc/sys/kernel/printk
	at_exit "echo 0 >$NETCONSOLE/vnm/enabled; rmdir $NETCONSOLE/vnm; rmmod netconsole"
	mkdir $NETCONSOLE/vnm
	for set in dev_name="$NETIF" local_ip="$DUT_IP" local_port=6665 remote_ip="$1" remote_port=6666 remote_mac="$mac" enabled=1; do
		echo "${set#*=}" >"$NETCONSOLE/vnm/${set%%=*}" || { note "netconsole doesn't take $set"; rc=1; }
	done
	return $rc
}
# dump FILE [-n NAMESPACE] TCPDUMP-ARGUMENTS: starts listening, its process id in $DUMP; returns once it listens. Packets
# go to FILE, one line each.
dump() {
	local file=$1 in=()
	shift
	[ "$1" = -n ] && { in=(ip netns exec "$2"); shift 2; }
	# What an earlier one said isn't to be taken for this one's word.
	: >"$file.err"
	# -Z: otherwise it wants a user "tcpdump".
	"${in[@]}" tcpdump -Z root -n -l --immediate-mode "$@" >"$file" 2>"$file.err" &
	DUMP=$!
	wait_for 10 grep -q listening "$file.err" || note "tcpdump: $(cat "$file.err")"
}
# Ends it, with all in its file that has reached the interface: on a busy machine that is later than one thinks. What hasn't
# reached it yet the caller has to wait for.
dump_end() {
	local file
	file=$(readlink "/proc/$DUMP/fd/2")
	sleep 0.2
	wait_for 10 dump_has_read "$file" || note "tcpdump doesn't come to the end: $(tail -1 "$file")"
	kill "$DUMP"
	wait "$DUMP" 2>/dev/null
}
# Asked by SIGUSR1, tcpdump tells how many packets the kernel has for it and how many it has printed.
dump_has_read() { # FILE: of its messages
	local told
	told=$(wc -l <"$1")
	kill -USR1 "$DUMP"
	wait_for 5 dump_told "$1" "$told" || return
	tail -1 "$1" | grep -qE '([0-9]+) packets? captured, \1 packets? received'
}
dump_told() { [ "$(wc -l <"$1")" -gt "$2" ]; }

# For the device: QEMU's view of the receive filter, one field of it.
rx_filter() { hostctl qmp query-rx-filter name=nic0 | grep -oE "\"$1\": (\[[^]]*\]|\"[^\"]*\"|[a-z0-9]+)" | sed -E 's/^"[^"]*": //'; }

# --- what is left behind ----------------------------------------------------------------------------------------------

# All page pools of this namespace: ID INTERFACE-INDEX IN-FLIGHT detached|-
pools() { have python3 && python3 "$HERE/pools.py"; }
# Those that wait for pages though their interface or queue is gone.
lost_pools() { pools | awk '$4 == "detached" || $2 == 0'; }
no_lost_pools() { [ -z "$(lost_pools)" ]; }
# Packets that another CPU than the receiving one is done with wait for the latter's next receive softirq, whatever driver they
# come from (skb_attempt_defer_free); with no interface left there is none by itself.
free_deferred() {
	local c
	ip link set lo up
	for c in $(online_cpus); do taskset -c "$c" ping -q -c 2 -i 0.01 -W 1 127.0.0.1 >/dev/null 2>&1; done
}
# drop_caches: what the system has after that is its own, and what nobody frees.
drop_caches() {
	free_deferred
	have python3 && { wait_for 60 no_lost_pools || bad "page pools still wait for pages: $(lost_pools | tr '\n' ';')" \
		"sockets: $(ss -tuanH | tr -s ' \n' ' ;')"; }
	sleep 2
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	echo 3 >/proc/sys/vm/drop_caches
	# A kernel that checks itself keeps what was freed for a while, to see whether somebody still uses it (KASAN's quarantine).
	if [ "${SLOW:-1}" -gt 1 ]; then
		for cache in /sys/kernel/slab/kmalloc-*/shrink; do { echo 1 >"$cache"; } 2>/dev/null; done
	fi
}
# take_stock >FILE, before and after something; left_behind BEFORE AFTER says what there is too much of.
take_stock() {
	awk '$1 ~ /^(MemAvailable|SUnreclaim|Percpu|VmallocUsed|KernelStack|PageTables):$/ { print "memory", $1, $2 }' /proc/meminfo
	awk 'NR > 2 { print "cache", $1, $2, $4 }' /proc/slabinfo
	# shellcheck disable=SC2009  # kernel threads, which have no command line
	echo "threads $(ps -e -o comm= | grep -c '^napi/')"
	echo "interfaces $(ls /sys/class/net | grep -vc '^lo$')"
	echo "interrupts $(grep -c 'virtio[0-9]*-\(input\|output\|config\|control\)' /proc/interrupts)"
}
# Memory in KiB that may be gone: caches fill slowly, and a leak worth the name adds up over that many steps.
left_behind() { # BEFORE AFTER
	awk -v before="$1" '
		function say(what, was, is) { print what ": " was " before, " is " after" }
		BEGIN { most["SUnreclaim:"] = 4096; most["Percpu:"] = 512; most["VmallocUsed:"] = 1024; most["KernelStack:"] = 512
			most["PageTables:"] = 512; most["MemAvailable:"] = 16384
			while ((getline < before) > 0) if ($1 == "memory" || $1 == "cache") was[$1, $2] = $3; else was[$1] = $2 }
		$1 == "memory" {
			more = $3 - was[$1, $2]
			if ($2 == "MemAvailable:") more = -more
			if (more > most[$2]) say($2 " KiB", was[$1, $2], $3)
			next
		}
		$1 == "cache" { if (($3 - was[$1, $2]) * $4 > 1048576) say("objects of " $2, was[$1, $2] + 0, $3); next }
		$2 > was[$1] { say($1, was[$1], $2) }' "$2"
}
