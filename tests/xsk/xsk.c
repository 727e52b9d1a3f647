// SPDX-License-Identifier: GPL-2.0
/*
 * What the tests xsk-*.sh do with AF_XDP sockets: receive, send back and send the frames of qemu-test/frames.py, and count what
 * isn't as it should be. See usage(). Once its sockets are bound it says so, at its end what was counted.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "xsk.h"

#define MAX_SOCKETS 16
#define MAX_PARTS 18
#define MAX_FRAME 16384

enum action { RECEIVE, ECHO, SEND, HOLD, BINDS };

static struct {
	enum action action;
	struct how how;
	const char *map;
	__u32 queues[MAX_SOCKETS];
	unsigned int sockets, frames, size, pause;
	/* Seconds without a frame after which nothing more is waited for; 0: until it is told to end. */
	double patience;
	/* The kernel is asked by poll(); a memory for all sockets. */
	bool polls, shared, checksum;
	/* That is asked for behind the frame. */
	bool outside;
	/* No frame before the last one is completed. */
	bool singly;
	/* The kernel is asked as there are new frames to send, and not again. */
	bool once;
	__u8 destination[6];
} opt = { .how.chunk = 4096, .how.sharers = 1, .frames = 0, .size = 60, .patience = 0 };

static struct sock socks[MAX_SOCKETS];
static volatile sig_atomic_t over;

/* What came, and what went wrong. */
static struct {
	unsigned int received, twice, wrong, foreign, parts, sent, completed, at_once, disorder, unknown, down;
} n;
static __u8 seen[1 << 20];

static void usage(void)
{
	fputs("xsk [OPTION…] receive|echo|send|hold|binds INTERFACE\n"
	      "  -q N[,N…]   queues, a socket each (0)      -m PATH    pinned map that the sockets are put in\n"
	      "  -c | -z     copy or zero copy, else either -w         need_wakeup\n"
	      "  -n N        frames, or how often to bind   -s SIZE    of frames to send\n"
	      "  -f SIZE     of chunks (4096)               -u         they lie anywhere\n"
	      "  -g          frames of several descriptors  -S         one memory for all sockets\n"
	      "  -b          busy polling                   -p         poll()\n"
	      "  -i N        chunks that the kernel doesn't get for what it receives\n"
	      "  -d MAC      destination of what is sent    -C         the device is to compute its checksum\n"
	      "  -O          with -C, where there is none, behind the frame\n"
	      "  -x twice|again|ends   chunks are given twice running, or once more behind the next one; their ends are written over\n"
	      "  -1          no frame before the last one is completed; counts those that are as the system call returns\n"
	      "  -o          system calls for new frames to send only\n"
	      "  -t SECONDS  without a frame, to end by itself; once it is told to end, half of one\n", stderr);
	exit(2);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

/* Where a system call's failure is one of the kernel's ordinary answers, it is tried again in the next round. */
static void check_call(long ret, const char *what)
{
	if (ret >= 0 || errno == EAGAIN || errno == EBUSY || errno == ENOBUFS || errno == EINTR)
		return;
	if (errno == ENETDOWN || errno == ENXIO) {
		n.down++;
		return;
	}
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

static void wake(struct sock *s, bool anything_to_send)
{
	bool flags = s->how.flags & XDP_USE_NEED_WAKEUP;
	struct pollfd fd = { .fd = s->fd, .events = POLLIN | (anything_to_send ? POLLOUT : 0) };

	if (opt.polls) {
		check_call(poll(&fd, 1, 1), "poll");
		if (anything_to_send && !flags)
			check_call(sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0), "sendto");
		return;
	}
	if (anything_to_send && (!flags || __atomic_load_n(s->tx.flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP))
		check_call(sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0), "sendto");
	if (s->how.busy || (flags && __atomic_load_n(s->fill.flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP))
		check_call(recvfrom(s->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL), "recvfrom");
}

/* Completions come in the order of what was sent, one for each descriptor. */
static unsigned int completions(struct sock *s)
{
	__u32 i, j, got = ring_used(&s->completion);

	for (i = 0; i < got; i++) {
		__u64 address = *ring_address(&s->completion, *s->completion.consumer + i), chunk;

		for (j = 0; j < s->sents && s->sent[(s->first_sent + j) % CHUNKS] != address; j++)
			;
		if (j == s->sents) {
			n.unknown++;
			continue;
		}
		n.disorder += j > 0;
		for (; j > 0; j--)
			s->sent[(s->first_sent + j) % CHUNKS] = s->sent[(s->first_sent + j - 1) % CHUNKS];
		s->first_sent = (s->first_sent + 1) % CHUNKS;
		s->sents--;
		n.completed++;
		chunk = sock_chunk(s, address);
		if (sock_receives(s, chunk))
			sock_give(s, chunk);
		else
			s->spare[s->spares++] = chunk;
	}
	if (got)
		ring_release(&s->completion, got);
	return got;
}

static void put_sent(struct sock *s, unsigned int at, __u64 address, __u32 len, __u32 options)
{
	*ring_desc(&s->tx, *s->tx.producer + at) = (struct xdp_desc){ .addr = address, .len = len, .options = options };
	s->sent[(s->first_sent + s->sents++) % CHUNKS] = address;
}

static void note_frame(struct sock *s, const struct xdp_desc *parts, unsigned int count)
{
	static __u8 frame[MAX_FRAME];
	unsigned int i, len = 0;
	long number;

	for (i = 0; i < count; i++) {
		__u8 *data = sock_data(s, parts[i].addr);

		if (!data || len + parts[i].len > sizeof(frame)) {
			n.wrong++;
			return;
		}
		memcpy(frame + len, data, parts[i].len);
		len += parts[i].len;
	}
	if (count > n.parts)
		n.parts = count;
	number = frame_number(frame, len);
	if (number == NO_FRAME) {
		n.foreign++;
	} else if (number < 0 || number >= (long)sizeof(seen)) {
		n.wrong++;
	} else {
		n.twice += seen[number];
		n.received += !seen[number];
		seen[number] = opt.action == RECEIVE;
	}
}

/* One frame, of however many descriptors; how many, 0 if there isn't a whole one or nowhere to send it. */
static unsigned int take(struct sock *s, __u32 used)
{
	struct xdp_desc parts[MAX_PARTS];
	unsigned int i, count = 0;

	do {
		if (count == used || count == MAX_PARTS)
			return 0;
		parts[count] = *ring_desc(&s->rx, *s->rx.consumer + count);
	} while (parts[count++].options & XDP_PKT_CONTD);
	if (opt.action == ECHO && ring_free(&s->tx) < count)
		return 0;
	note_frame(s, parts, count);
	if (opt.action == ECHO) {
		frame_swap(sock_data(s, parts[0].addr));
		for (i = 0; i < count; i++)
			put_sent(s, i, parts[i].addr, parts[i].len, parts[i].options);
		ring_publish(&s->tx, count);
		n.sent++;
	} else {
		for (i = 0; i < count; i++)
			sock_give(s, sock_chunk(s, parts[i].addr));
	}
	ring_release(&s->rx, count);
	return count;
}

static unsigned int receive(struct sock *s)
{
	__u32 got = 0, count, used = ring_used(&s->rx);

	while (got < used && (count = take(s, used - got)))
		got += count;
	return got;
}

/* The next frame, in as many chunks as it takes; false if there is no room. */
static bool send_one(struct sock *s)
{
	static __u8 frame[MAX_FRAME];
	unsigned int i, at, room = s->how.chunk - s->how.metadata, parts = (opt.size + room - 1) / room;

	if (s->spares < parts || ring_free(&s->tx) < parts)
		return false;
	frame_build(frame, opt.destination, n.sent, opt.size, opt.checksum);
	for (i = 0, at = 0; i < parts; i++) {
		__u32 len = opt.size - at < room ? opt.size - at : room;
		__u64 address = s->spare[--s->spares] + s->how.metadata;
		__u32 options = i + 1 < parts ? XDP_PKT_CONTD : 0;

		memcpy(sock_data(s, address), frame + at, len);
		if (i == 0 && opt.checksum) {
			struct xsk_tx_metadata *meta = (void *)(sock_data(s, address) - s->how.metadata);

			memset(meta, 0, sizeof(*meta));
			meta->flags = XDP_TXMD_FLAGS_CHECKSUM;
			meta->request.csum_start = opt.outside ? opt.size : FRAME_CSUM_START;
			meta->request.csum_offset = FRAME_CSUM_OFFSET;
			options |= XDP_TX_METADATA;
		}
		put_sent(s, i, address, len, options);
		at += len;
	}
	ring_publish(&s->tx, parts);
	n.sent++;
	return true;
}

static unsigned int owed(void)
{
	unsigned int i, sum = 0;

	for (i = 0; i < opt.sockets; i++)
		sum += socks[i].sents;
	return sum;
}

static bool done(void)
{
	if (!opt.frames)
		return false;
	switch (opt.action) {
	case RECEIVE:
		return n.received >= opt.frames;
	case ECHO:
		return n.received >= opt.frames && !owed();
	case SEND:
		return n.sent >= opt.frames && !owed();
	default:
		return false;
	}
}

static void work(void)
{
	double since = now();
	unsigned int i, moved;
	bool told = false;

	while (!done()) {
		if (over && !told) {
			told = true;
			opt.patience = 0.5;
			since = now();
		}
		moved = 0;
		for (i = 0; i < opt.sockets; i++) {
			struct sock *s = &socks[i];
			unsigned int sent = n.sent;

			moved += completions(s) + receive(s);
			while (opt.action == SEND && n.sent < opt.frames && n.sent % opt.sockets == i && !(opt.singly && s->sents) && send_one(s))
				moved++;
			if (!opt.once || n.sent != sent)
				wake(s, s->sents > 0);
			if (opt.singly && n.sent != sent) {
				completions(s);
				n.at_once += !s->sents;
			}
		}
		if (moved)
			since = now();
		else if (opt.patience && now() - since > opt.patience)
			break;
		else
			usleep(300);
	}
}

/* How often a queue wasn't free yet, and once for each socket. */
static unsigned int tries;

static int open_all(void)
{
	unsigned int i;
	int err = 0;

	tries = 0;
	opt.how.sharers = opt.shared ? opt.sockets : 1;
	for (i = 0; i < opt.sockets && !err; i++) {
		double until = now() + 10;

		/* The kernel lets go of a queue some time after the socket's end. */
		do {
			tries++;
			err = sock_open(&socks[i], &opt.how, opt.queues[i], opt.shared && i ? &socks[0] : NULL, opt.shared ? i : 0);
		} while (err == -EBUSY && now() < until && !usleep(1000));
		if (!err && opt.map)
			err = map_put(opt.map, opt.queues[i], socks[i].fd);
		if (!err && opt.how.abuse == ENDS)
			err = sock_spoil(&socks[i]);
	}
	return err;
}

static void close_all(void)
{
	unsigned int i;

	for (i = opt.sockets; i-- > 0;)
		sock_close(&socks[i]);
}

static void fail(int err)
{
	printf("failed: %s\n", strerror(-err));
	exit(1);
}

/* Binds, works a moment, lets go, over and over. */
static void binds(void)
{
	unsigned int i, zero = 0;
	int err;

	for (i = 0; i < opt.frames && !over; i++) {
		double until = now() + 0.002 * (i % 5);

		err = open_all();
		if (err)
			fail(err);
		zero += socks[0].zero_copy;
		do {
			unsigned int k;

			for (k = 0; k < opt.sockets; k++) {
				completions(&socks[k]);
				receive(&socks[k]);
				wake(&socks[k], socks[k].sents > 0);
			}
		} while (now() < until);
		close_all();
	}
	printf("bound %u zc %u\n", i, zero);
}

/* Takes nothing; what is free to receive in the kernel is told of. */
static void hold(void)
{
	unsigned int i;

	while (!over) {
		for (i = 0; i < opt.sockets; i++)
			wake(&socks[i], false);
		usleep(10000);
	}
}

static void result(void)
{
	struct xdp_statistics sum = {}, one;
	unsigned int i;

	for (i = 0; i < opt.sockets; i++) {
		socklen_t len = sizeof(one);

		if (getsockopt(socks[i].fd, 283, XDP_STATISTICS, &one, &len))
			continue;
		sum.rx_dropped += one.rx_dropped;
		sum.rx_invalid_descs += one.rx_invalid_descs;
		sum.tx_invalid_descs += one.tx_invalid_descs;
		sum.rx_ring_full += one.rx_ring_full;
	}
	printf("received %u twice %u wrong %u foreign %u parts %u sent %u completed %u at_once %u owed %u disorder %u unknown %u down %u dropped %llu full %llu invalid %llu\n",
	       n.received, n.twice, n.wrong, n.foreign, n.parts, n.sent, n.completed, n.at_once, owed(), n.disorder, n.unknown, n.down, sum.rx_dropped,
	       sum.rx_ring_full, sum.rx_invalid_descs + sum.tx_invalid_descs);
}

static void end(int signal)
{
	over = 1;
}

static void options(int argc, char **argv)
{
	static const char *const actions[] = { "receive", "echo", "send", "hold", "binds" };
	static const char *const abuses[] = { "twice", "again", "ends" };
	char *word;
	unsigned int i;
	int c;

	opt.queues[0] = 0;
	opt.sockets = 1;
	while ((c = getopt(argc, argv, "q:m:czwn:s:f:ugSbpi:d:COt:x:1o")) != -1) {
		switch (c) {
		case 'q':
			opt.sockets = 0;
			for (word = strtok(optarg, ","); word && opt.sockets < MAX_SOCKETS; word = strtok(NULL, ","))
				opt.queues[opt.sockets++] = strtoul(word, NULL, 10);
			break;
		case 'm': opt.map = optarg; break;
		case 'c': opt.how.flags |= XDP_COPY; break;
		case 'z': opt.how.flags |= XDP_ZEROCOPY; break;
		case 'w': opt.how.flags |= XDP_USE_NEED_WAKEUP; break;
		case 'g': opt.how.flags |= XDP_USE_SG; break;
		case 'n': opt.frames = strtoul(optarg, NULL, 10); break;
		case 's': opt.size = strtoul(optarg, NULL, 10); break;
		case 'f': opt.how.chunk = strtoul(optarg, NULL, 10); break;
		case 'u': opt.how.unaligned = true; break;
		case 'S': opt.shared = true; break;
		case 'b': opt.how.busy = true; break;
		case 'p': opt.polls = true; break;
		case 'i': opt.how.idle = strtoul(optarg, NULL, 10); break;
		case 'C':
			opt.checksum = true;
			opt.how.metadata = sizeof(struct xsk_tx_metadata);
			break;
		case 'O': opt.outside = true; break;
		case 'd':
			if (sscanf(optarg, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", opt.destination, opt.destination + 1, opt.destination + 2,
				   opt.destination + 3, opt.destination + 4, opt.destination + 5) != 6)
				usage();
			break;
		case 'x':
			for (i = 0; i < 3 && strcmp(optarg, abuses[i]); i++)
				;
			if (i == 3)
				usage();
			opt.how.abuse = i + 1;
			break;
		case '1': opt.singly = true; break;
		case 'o': opt.once = true; break;
		case 't': opt.patience = strtod(optarg, NULL); break;
		default: usage();
		}
	}
	if (argc - optind != 2 || !opt.sockets || opt.size > MAX_FRAME || opt.size < FRAME_LEAST ||
	    opt.how.idle > FOR_RECEIVING)
		usage();
	for (i = 0; i < 5 && strcmp(argv[optind], actions[i]); i++)
		;
	if (i == 5)
		usage();
	opt.action = i;
	opt.how.ifindex = if_nametoindex(argv[optind + 1]);
	if (!opt.how.ifindex)
		usage();
}

int main(int argc, char **argv)
{
	int err;

	setlinebuf(stdout);
	options(argc, argv);
	signal(SIGTERM, end);
	signal(SIGINT, end);
	if (opt.action == BINDS) {
		binds();
		return 0;
	}
	err = open_all();
	if (err)
		fail(err);
	printf("tries %u\nready %s\n", tries, socks[0].zero_copy ? "zero copy" : "copy");
	if (opt.action == HOLD)
		hold();
	else
		work();
	result();
	close_all();
	return 0;
}
