// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's side of a measurement, in one static program: marks for the
 * plugin, and loads whose size is a number of packets, not a time.
 *
 *   load begin | end           the marks
 *   load send ADDR PORT SIZE N send N datagrams, measured
 *   load blind ADDR PORT SIZE N the same, not measured
 *   load recv PORT N REQUEST   tell the host REQUEST and receive N datagrams,
 *                              measured; prints how many came
 *   load host REQUEST          tell the host REQUEST and wait for its answer
 *   load measured REQUEST      the same, measured
 *   load xmit IFINDEX SIZE N   have an XDP program redirect N frames of that size to a device, measured
 *   load xsk …                 AF_XDP, see xsk.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

int request(const char *text)
{
	char line[4096];
	int fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
	int n = snprintf(line, sizeof(line), "Q load %s\n", text);

	if (fd < 0 || n >= (int)sizeof(line) || write(fd, line, n) != n)
		die("/dev/ttyS1");
	return fd;
}

/* The answer's line: "load ok …" or "load error …" */
int answer(int fd)
{
	char line[4096];
	size_t n = 0;

	while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1)
		if (line[n++] == '\n')
			break;
	line[n] = 0;
	close(fd);
	if (strncmp(line, "load ok", 7) == 0)
		return 0;
	fprintf(stderr, "load: the host says: %s", line);
	return 1;
}

static int udp(const char *addr, int port, int sender)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 8 << 20;

	if (fd < 0)
		die("socket");
	if (addr && inet_pton(AF_INET, addr, &sa.sin_addr) != 1)
		die(addr);
	if (sender) {
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
			die("connect");
	} else {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
			die("bind");
	}
	return fd;
}

static int do_send(const char *addr, int port, size_t size, long n, int measured)
{
	static char buf[65536];
	int fd = udp(addr, port, 1), left = 1;
	struct timespec ms = { .tv_nsec = 1000000 };

	if (measured)
		BEGIN();
	for (long i = 0; i < n; i++)
		while (send(fd, buf, size, 0) < 0)
			if (errno != ENOBUFS && errno != EINTR)
				die("send");
	/* Until the device has sent the last one: its completion belongs to the cost. */
	for (int i = 0; i < 200 && ioctl(fd, SIOCOUTQ, &left) == 0 && left; i++)
		nanosleep(&ms, NULL);
	if (measured)
		END();
	return 0;
}

static int do_recv(int port, long n, const char *text)
{
	static char buf[65536];
	int fd = udp(NULL, port, 0), tty;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	long got = 0;

	BEGIN();
	tty = request(text);
	while (got < n) {
		if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0)
			got++;
		else if (errno != EAGAIN && errno != EINTR)
			die("recv");
		else if (poll(&p, 1, 5000) == 0)
			break;
	}
	END();
	printf("%ld\n", got);
	return answer(tty) || got != n;
}

/* A test run with live frames: those that a program redirects are sent. */
static int do_xmit(int ifindex, int size, unsigned int n)
{
	static char frame[2048] = { 0x52, 0x54, 0, 0x99, 0, 2, 0x52, 0x54, 0, 0x62, 0, 4, 0x88, 0xb5 };
	/* return bpf_redirect(ifindex, 0) */
	struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = ifindex },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 0 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (unsigned long)program,
		.insn_cnt = sizeof(program) / sizeof(*program),
		.license = (unsigned long)"GPL",
	};
	int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)), rc;

	if (fd < 0)
		die("BPF_PROG_LOAD");
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = fd;
	attr.test.data_in = (unsigned long)frame;
	attr.test.data_size_in = size;
	attr.test.repeat = n;
	attr.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
	BEGIN();
	rc = syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr));
	END();
	if (rc)
		die("BPF_PROG_TEST_RUN");
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	const char *cmd = argc > 1 ? argv[1] : "";
	int rc = 0;

	if (!strcmp(cmd, "begin"))
		BEGIN();
	else if (!strcmp(cmd, "end"))
		END();
	else if ((!strcmp(cmd, "send") || !strcmp(cmd, "blind")) && argc == 6)
		return do_send(argv[2], atoi(argv[3]), atoi(argv[4]), atol(argv[5]), *cmd == 's');
	else if (!strcmp(cmd, "xmit") && argc == 5)
		return do_xmit(atoi(argv[2]), atoi(argv[3]), atol(argv[4]));
	else if (!strcmp(cmd, "xsk"))
		return do_xsk(argc - 1, argv + 1);
	else if (!strcmp(cmd, "recv") && argc == 5)
		return do_recv(atoi(argv[2]), atol(argv[3]), argv[4]);
	else if (!strcmp(cmd, "host") && argc == 3)
		return answer(request(argv[2]));
	else if (!strcmp(cmd, "measured") && argc == 3) {
		BEGIN();
		rc = answer(request(argv[2]));
		END();
	} else {
		fprintf(stderr, "load: unknown or incomplete command; see bench/guest/load.c\n");
		return 2;
	}
	return rc;
}
