// SPDX-License-Identifier: GPL-2.0
/*
 * AF_XDP without copies, on queue 0 of a device, with the sockets of tests/xsk:
 *
 *   load xsk [OPTION…] rxdrop|txonly|l2fwd INTERFACE N   receive N frames, send N, or send back N that come, measured
 *     -m PATH     pinned map that the socket is put in
 *     -r REQUEST  what the host is told to have it send them
 *     -s SIZE     of frames to send
 *     -w          need_wakeup
 *     -c CHUNKS   to receive in: fewer than come, so that the queue waits for some, else more
 *     -b          busy polling, -p which the queue prefers to interrupts
 */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../tests/xsk/xsk.h"
#include "load.h"

/* What is sent at a time, at most. */
#define BATCH 64

static struct sock s;
static struct how how = { .chunk = 4096, .sharers = 1, .flags = XDP_ZEROCOPY };
static const __u8 head[14] = { 0x52, 0x54, 0, 0x99, 0, 2, 0x52, 0x54, 0, 0x62, 0, 4, 0x88, 0xb5 };
static int polls_busily;
/* Frames that came, that were sent, and of which the kernel has said so. */
static long got, sent, completed;

static void ask(long ret, const char *what)
{
	if (ret < 0 && errno != EAGAIN && errno != EBUSY && errno != ENOBUFS && errno != EINTR)
		die(what);
}

static int wants(struct ring *r)
{
	return !(how.flags & XDP_USE_NEED_WAKEUP) || *(volatile __u32 *)r->flags & XDP_RING_NEED_WAKEUP;
}

static void wake_tx(void)
{
	if (wants(&s.tx))
		ask(sendto(s.fd, NULL, 0, MSG_DONTWAIT, NULL, 0), "sendto");
}

static void wake_rx(void)
{
	if (polls_busily || (how.flags & XDP_USE_NEED_WAKEUP && wants(&s.fill)))
		ask(recvfrom(s.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL), "recvfrom");
}

/* Until something may have come; false after 5 seconds. */
static int wait_rx(void)
{
	struct pollfd p = { .fd = s.fd, .events = POLLIN };

	if (polls_busily && got) {
		wake_rx();
		return 1;
	}
	return poll(&p, 1, 5000) > 0;
}

static void rxdrop(long n)
{
	while (got < n) {
		__u32 i, used = ring_used(&s.rx);

		if (!used) {
			if (!wait_rx())
				break;
			continue;
		}
		for (i = 0; i < used; i++)
			sock_give(&s, sock_chunk(&s, ring_desc(&s.rx, *s.rx.consumer + i)->addr));
		ring_release(&s.rx, used);
		got += used;
		wake_rx();
	}
}

/* What was sent is free again: for sending, or to receive in. */
static __u32 completions(void)
{
	__u32 i, done = ring_used(&s.completion);

	for (i = 0; i < done; i++) {
		__u64 chunk = *ring_address(&s.completion, *s.completion.consumer + i);

		if (sock_receives(&s, chunk))
			sock_give(&s, sock_chunk(&s, chunk));
		else
			s.spare[s.spares++] = chunk;
	}
	ring_release(&s.completion, done);
	completed += done;
	return done;
}

static void txonly(long n, unsigned int size)
{
	while (completed < n) {
		__u32 i;

		for (i = 0; i < BATCH && sent + i < n && s.spares && i < ring_free(&s.tx); i++)
			*ring_desc(&s.tx, *s.tx.producer + i) = (struct xdp_desc){ .addr = s.spare[--s.spares], .len = size };
		ring_publish(&s.tx, i);
		sent += i;
		wake_tx();
		completions();
	}
}

static void l2fwd(long n)
{
	while (completed < n) {
		__u32 i, used = ring_used(&s.rx), done = completions();

		if (!used) {
			if (sent > completed)
				wake_tx();
			wake_rx();
			if (!done && !ring_used(&s.rx) && !ring_used(&s.completion) && !wait_rx())
				break;
			continue;
		}
		if (used > BATCH)
			used = BATCH;
		for (i = 0; i < used && i < ring_free(&s.tx); i++)
			*ring_desc(&s.tx, *s.tx.producer + i) = *ring_desc(&s.rx, *s.rx.consumer + i);
		ring_publish(&s.tx, i);
		ring_release(&s.rx, i);
		got += i;
		sent += i;
		wake_tx();
		wake_rx();
	}
}

static void say(void)
{
	fprintf(stderr, "load: xsk: %ld came, %ld sent, %ld completed\n", got, sent, completed);
}

/* What polls busily, or has nothing to wait for, doesn't end by itself. */
static void too_long(int signal)
{
	say();
	exit(1);
}

static void busily(int prefer)
{
	int usecs = 20, budget = BATCH;

	if (setsockopt(s.fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &prefer, sizeof(prefer)) ||
	    setsockopt(s.fd, SOL_SOCKET, SO_BUSY_POLL, &usecs, sizeof(usecs)) ||
	    setsockopt(s.fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)))
		die("busy polling");
}

int do_xsk(int argc, char **argv)
{
	const char *map = NULL, *text = NULL, *action;
	int c, err, prefer = 0, tty = -1, rc = 0;
	unsigned int i, size = 60;
	long n;

	while ((c = getopt(argc, argv, "m:r:s:wc:bp")) != -1) {
		switch (c) {
		case 'm': map = optarg; break;
		case 'r': text = optarg; break;
		case 's': size = atoi(optarg); break;
		case 'w': how.flags |= XDP_USE_NEED_WAKEUP; break;
		case 'c': how.idle = FOR_RECEIVING - atoi(optarg); break;
		case 'b': polls_busily = 1; break;
		case 'p': prefer = 1; break;
		default: return 2;
		}
	}
	if (argc - optind != 3)
		return 2;
	action = argv[optind];
	how.ifindex = if_nametoindex(argv[optind + 1]);
	n = atol(argv[optind + 2]);
	err = sock_open(&s, &how, 0, NULL, 0);
	if (!err && map)
		err = map_put(map, 0, s.fd);
	if (err) {
		errno = -err;
		die("no socket");
	}
	if (polls_busily)
		busily(prefer);
	for (i = 0; i < s.spares; i++)
		memcpy(sock_data(&s, s.spare[i]), head, sizeof(head));
	/* A queue that was made anew is filled by then. */
	usleep(50000);
	signal(SIGALRM, too_long);
	alarm(20);
	BEGIN();
	if (text)
		tty = request(text);
	if (!strcmp(action, "rxdrop"))
		rxdrop(n);
	else if (!strcmp(action, "txonly"))
		txonly(n, size);
	else
		l2fwd(n);
	END();
	if (tty >= 0)
		rc = answer(tty);
	if ((strcmp(action, "txonly") && got < n) || (strcmp(action, "rxdrop") && completed < n)) {
		say();
		rc = 1;
	}
	sock_close(&s);
	return rc;
}
