# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# For the tests xsk-*.sh, after lib.sh: AF_XDP sockets on the interface (tests/xsk/xsk.c), frames of the host's, and what became of
# them. ZC in the environment: yes where a socket can be bound with zero copy, no where the driver has to say why it can't.

. "$HERE/xdp/lib.sh"
XSK=$HERE/xsk/xsk
MAP=$PINNED/maps/sockets
[ -x "$XSK" ] || skip_all "tests/xsk wasn't compiled"

# All queues in use, as a list; a socket for each.
all_queues() { seq -s , 0 $(($(pairs) - 1)); }
at_exit 'xsk_kill'

XSK_PID=
# xsk_start ARGUMENTS: sockets are bound once it returns; BOUND is "copy" or "zero copy".
xsk_start() {
	BOUND=
	: >"$WORK/xsk"
	"$XSK" -m "$MAP" "$@" >"$WORK/xsk" 2>&1 &
	XSK_PID=$!
	wait_for 20 eval 'grep -q "^ready" "$WORK/xsk" || ! kill -0 $XSK_PID 2>/dev/null'
	BOUND=$(sed -n 's/^ready //p' "$WORK/xsk")
	[ "$BOUND" ] && return
	kill -0 $XSK_PID 2>/dev/null && echo "it isn't bound: $(cat /proc/$XSK_PID/stack)" >>"$WORK/xsk"
	xsk_kill
	return 1
}
# What it said.
xsk_said() { tr '\n' ' ' <"$WORK/xsk"; }
# What it has counted: SOCKET[received], SOCKET[twice] and so on (result() in xsk.c).
declare -A SOCKET=()
_counted() {
	local words i
	read -ra words < <(tail -1 "$WORK/xsk")
	SOCKET=()
	for ((i = 0; i + 1 < ${#words[@]}; i += 2)); do SOCKET[${words[i]}]=${words[i + 1]}; done
	[ "${SOCKET[received]}" ] || { bad "it ends early: $(xsk_said)"; return 1; }
}
# Ends it; xsk_wait has it end by itself.
xsk_end() {
	[ "$XSK_PID" ] || return
	kill -TERM "$XSK_PID" 2>/dev/null
	xsk_wait
}
xsk_wait() {
	wait_for 60 eval '! kill -0 $XSK_PID 2>/dev/null' || { bad "it doesn't end"; kill -KILL "$XSK_PID"; }
	wait "$XSK_PID" 2>/dev/null
	XSK_PID=
	_counted
}
xsk_kill() {
	[ "$XSK_PID" ] || return 0
	kill -KILL "$XSK_PID" 2>/dev/null
	wait "$XSK_PID" 2>/dev/null
	XSK_PID=
}

# Every frame that came was right, and what was sent is completed, each once and in order.
socket_sound() {
	local what
	for what in twice wrong foreign owed disorder unknown invalid; do
		[ "${SOCKET[$what]:-0}" = 0 ] || bad "$1: $what ${SOCKET[$what]}"
	done
	# What was lost was lost somewhere.
	[ ${#_bad[@]} = 0 ] || note "$1: $(tail -1 "$WORK/xsk")"
}
# mode_is WANTED: whether it was bound as it should have been.
mode_is() { [ "$BOUND" = "$1" ] || bad "bound with '$BOUND', not $1: $(xsk_said)"; }
# echoes N SIZE WHAT [partial=1]: a socket of xsk_start … echo sends each frame back, once and unharmed.
echoes() {
	frames "$1" "$2" back="$1" ${4:+"$4"}
	all_of "$3: came back" "${GOT[back]}" "$1"
	# Where they are then.
	[ "${GOT[back]}" = "$1" ] || note "$3: the host lost ${GOT[lost]} of ${GOT[sent]}; $(xsk_counters)"
	[ "${GOT[twice]} ${GOT[wrong]}" = "0 0" ] || bad "$3: ${GOT[twice]} came back twice, ${GOT[wrong]} with other contents"
	[ "${GOT[least]} ${GOT[most]}" = "$2 $2" ] || bad "$3: sizes from ${GOT[least]} to ${GOT[most]}, not $2"
}

# What the driver counts of packets and programs, and what sockets say of their rings.
xsk_counters() {
	ethtool -S "$NETIF" | grep -vE ': 0$' | grep -E 'rx.*(packets|drops|xdp|kicks|callbacks)' | tr -s ' \n' ' '
	ss --xdp -e | tail -n +2 | tr -s ' \n\t' ' '
}

# catch SIZE, then caught N: what the guest sends by itself, as the host sees it, in GOT.
catch() { hostctl -t 30 host run="printf 'CATCH $TAP $1\n' | socat -t 20 - TCP:127.0.0.1:7000" >/dev/null || bad "the host doesn't listen"; }
caught() {
	local words
	read -ra words < <(hostctl -t 100 host run="printf 'CAUGHT $TAP $1\n' | socat -t 90 - TCP:127.0.0.1:7000")
	[ "${words[0]}" = back ] || bad "the host: ${words[*]}"
	GOT=([back]=${words[1]:-0} [twice]=${words[3]} [wrong]=${words[5]} [least]=${words[9]} [most]=${words[10]} [disorder]=${words[15]}
		[partial]=${words[17]} [incomplete]=${words[19]})
}

# The in-tree driver has no zero copy where it can't reset a single queue.
RING_RESET=40
ours || negotiated $RING_RESET || ZC=no
# The modes that this device has.
modes() { [ "$ZC" = no ] && echo copy || echo copy zero; }
# The option for a mode, and what the kernel calls it.
option() { [ "$1" = zero ] && echo -z || echo -c; }
named() { [ "$1" = zero ] && echo "zero copy" || echo copy; }
