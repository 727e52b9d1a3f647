// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "frame.h"

static const __u8 magic[9] = "vnm-frame";
static const __u8 source[6] = { 0x02, 0x76, 0x6e, 0x6d, 0x00, 0x01 };

/* What stands behind the number, at a place. */
static __u8 filler(__u32 number, unsigned int at)
{
	return number + at * 7 + (at >> 8) * 3;
}

static __u32 be32(const __u8 *p)
{
	return (__u32)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void put16(__u8 *p, __u32 v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static __u32 sum(const __u8 *p, unsigned int len, __u32 start)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		start += i % 2 ? p[i] : p[i] << 8;
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return start;
}

/* The pseudo header of UDP over IPv4. */
static __u32 pseudo(const __u8 *ip, unsigned int len)
{
	return sum(ip + 12, 8, 17 + len);
}

long frame_number(const __u8 *frame, unsigned int len)
{
	unsigned int i, ip = 14;
	__u32 number;

	if (len > 18 && frame[12] == 0x81 && frame[13] == 0)
		ip = 18;
	if (len < ip + 28 + sizeof(magic) + 4 || memcmp(frame + ip + 28, magic, sizeof(magic)))
		return NO_FRAME;
	number = be32(frame + ip + 28 + sizeof(magic));
	for (i = ip + 28 + sizeof(magic) + 4; i < len; i++)
		if (frame[i] != filler(number, i - (ip + 28 + sizeof(magic) + 4)))
			return WRONG_FRAME;
	/* No byte is lost at the end. */
	if ((unsigned int)(frame[ip + 2] << 8 | frame[ip + 3]) != len - ip)
		return WRONG_FRAME;
	if (sum(frame + ip + 20, len - ip - 20, pseudo(frame + ip, len - ip - 20)) != 0xffff)
		return WRONG_FRAME;
	return number;
}

void frame_build(__u8 *frame, const __u8 *destination, __u32 number, unsigned int size, bool partial)
{
	static const __u8 ip[20] = { 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 77 };
	__u8 *p = frame + 14, *udp = p + 20;
	unsigned int i, len = size - 34, rest = size - FRAME_LEAST;

	memcpy(frame, destination, 6);
	memcpy(frame + 6, source, 6);
	put16(frame + 12, 0x0800);
	memcpy(p, ip, sizeof(ip));
	put16(p + 2, size - 14);
	put16(p + 10, ~sum(p, 20, 0));
	put16(udp, 5000 + number % 16);
	put16(udp + 2, 7200);
	put16(udp + 4, len);
	put16(udp + 6, 0);
	memcpy(udp + 8, magic, sizeof(magic));
	put16(udp + 8 + sizeof(magic), number >> 16);
	put16(udp + 10 + sizeof(magic), number);
	for (i = 0; i < rest; i++)
		frame[FRAME_LEAST + i] = filler(number, i);
	put16(udp + 6, partial ? pseudo(p, len) : ~sum(udp, len, pseudo(p, len)));
}

void frame_swap(__u8 *frame)
{
	__u8 was[6];

	memcpy(was, frame, 6);
	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, was, 6);
}
