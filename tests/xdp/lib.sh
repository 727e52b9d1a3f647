# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the tests xdp-*.sh, after lib.sh: programs of programs.bpf.c on the interface, frames of the host's, and what became of them.

OBJECT=$HERE/xdp/programs.bpf.o
PINNED=/sys/fs/bpf/vnm
# Number of a place in the map `counts`.
declare -A PLACE=([judged]=0 [failed]=1 [seen]=2 [meta]=3 [vlan]=4 [hashed]=5 [same_hash]=6 [queued]=7)
TAP=tapA

[ -e "$OBJECT" ] || skip_all "programs.bpf.c wasn't compiled"
have_hostctl || skip_all "hostctl is missing"

load_programs() {
	rm -rf "$PINNED"
	mkdir -p "$PINNED"
	bpftool prog loadall "$OBJECT" "$PINNED/progs" pinmaps "$PINNED/maps" >"$WORK/load" 2>&1 && return
	note "$(tail -25 "$WORK/load")"
	plan 1
	not_ok "the programs are loaded"
	finish
}
load_programs
at_exit 'rm -rf "$PINNED"'
at_exit 'tc qdisc del dev "$NETIF" clsact'
at_exit 'detach'

# attach PROGRAM [DEVICE]: in the driver, in place of one that is there; what the kernel says is in $WORK/said.
attach() { command ip -force link set dev "${2:-$NETIF}" xdpdrv pinned "$PINNED/progs/$1" 2>"$WORK/said" && settled; }
detach() { ip link set dev "${1:-$NETIF}" xdpdrv off 2>"$WORK/said" && settled; }
said() { tr '\n' ' ' <"$WORK/said"; }
# A device that merges packets, and can't be told not to, is reset for the first program and after the last one: that is over.
MERGES=$(negotiated 2 || ! { negotiated 7 || negotiated 8; } || echo yes)
merges() { negotiated 7 || negotiated 8; }
settled() {
	[ "$MERGES" ] && ours || return 0
	if [ "$(attached)" ]; then wait_for 10 eval '! merges'; else wait_for 10 merges; fi && wait_for 10 present &&
		{ [ $(($(<"/sys/class/net/$NETIF/flags") & 1)) = 0 ] || wait_for 10 carrier; }
}
# Whether the stack sees the interface: a reset is over.
present() { ethtool -l "$NETIF" >/dev/null 2>&1; }
# The id of the program that the driver has, or nothing.
attached() { ip -d link show dev "$NETIF" | grep -oP 'prog/xdp id \K[0-9]+'; }

# A driver that hasn't got it, or not with this device, is nothing to test; one that fails is.
if ! attach pass && ! attach pass_frags; then
	grep -qi 'not supported' "$WORK/said" && skip_all "no XDP in this driver with this device: $(said)"
	plan 1
	not_ok "a program is attached: $(said)"
	finish
fi
detach

# A key or value of 32 bits for bpftool.
le() { printf '%d %d %d %d' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
# put MAP KEY VALUE [VALUE], in that for programs of several buffers as well.
# shellcheck disable=SC2046  # several words
put() {
	local m
	for m in "$PINNED/maps/$1" "$PINNED/maps/$1_frags"; do
		[ ! -e "$m" ] || bpftool map update pinned "$m" key $(le "$2") value $(le "$3") $([ -z "$4" ] || le "$4") || return
	done
}
# counts: fills COUNT[judged] and so on with what was counted since the last forget.
declare -A COUNT=()
_all() { bpftool -j map dump pinned "$PINNED/maps/counts" | grep -oE '"formatted":\{"key":[0-9]+,"value":[0-9]+' | grep -oE '[0-9]+$'; }
counts() {
	local all=() p
	mapfile -t all < <(_all)
	for p in "${!PLACE[@]}"; do COUNT[$p]=$((${all[${PLACE[$p]}]} - ${_before[${PLACE[$p]}]:-0})); done
}
forget() { mapfile -t _before < <(_all); }
# The stack's own count, before anything else takes a packet: by a program as well.
watch_stack() {
	tc qdisc add dev "$NETIF" clsact
	tc filter add dev "$NETIF" ingress bpf direct-action object-pinned "$PINNED/progs/seen"
}

# frames N SIZE [back=N] [vlan=N] [partial=1]: fills GOT[sent], GOT[lost], GOT[back] … (see FRAMES in qemu-test/peer.py) and COUNT, from zero.
declare -A GOT=()
frames() {
	local words
	forget
	read -ra words < <(hostctl -t 100 host run="printf 'FRAMES $TAP $(mac) $*\n' | socat -t 90 - TCP:127.0.0.1:7000")
	GOT=([sent]=${words[1]:-0} [lost]=${words[3]:-0} [back]=${words[5]:-0} [twice]=${words[7]} [wrong]=${words[9]} [tagged]=${words[11]}
		[least]=${words[13]} [most]=${words[14]} [place]=${words[16]} [partial]=${words[21]})
	[ "${words[0]}" = sent ] || bad "the host can't send: ${words[*]}"
	counts
}
# all_of WHAT NUMBER WANTED
all_of() { [ "$2" = "$3" ] || bad "$1: $2 of $3"; }
# came_back N SIZE: all frames, once each, as they were sent.
came_back() {
	all_of "came back" "${GOT[back]}" "$1"
	[ "${GOT[twice]}" = 0 ] || bad "${GOT[twice]} came back twice"
	[ "${GOT[wrong]}" = 0 ] || bad "${GOT[wrong]} came back with other contents"
	[ "${GOT[least]} ${GOT[most]}" = "$2 $2" ] || bad "sizes from ${GOT[least]} to ${GOT[most]}, not $2"
}
nothing_said() { [ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"; mark_log; }
