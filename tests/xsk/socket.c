// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "xsk.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

static __u32 load(__u32 *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

__u32 ring_free(struct ring *r)
{
	return r->size - (*r->producer - load(r->consumer));
}

__u32 ring_used(struct ring *r)
{
	return load(r->producer) - *r->consumer;
}

void ring_publish(struct ring *r, __u32 n)
{
	__atomic_store_n(r->producer, *r->producer + n, __ATOMIC_RELEASE);
}

void ring_release(struct ring *r, __u32 n)
{
	__atomic_store_n(r->consumer, *r->consumer + n, __ATOMIC_RELEASE);
}

__u64 *ring_address(struct ring *r, __u32 at)
{
	return (__u64 *)r->slots + (at & (r->size - 1));
}

struct xdp_desc *ring_desc(struct ring *r, __u32 at)
{
	return (struct xdp_desc *)r->slots + (at & (r->size - 1));
}

/* Without alignment each chunk has a page, and begins anywhere in its first half: at even addresses, copy mode has no others. */
static __u64 chunk_address(const struct how *how, unsigned int i)
{
	return how->unaligned ? (__u64)i * PAGE + (i * 72) % (PAGE - how->chunk) : (__u64)i * how->chunk;
}

__u64 sock_chunk(struct sock *s, __u64 address)
{
	if (!s->how.unaligned)
		return address & ~(__u64)(s->how.chunk - 1);
	/* The offset stands in the upper bits. */
	return address & ((1ULL << XSK_UNALIGNED_BUF_OFFSET_SHIFT) - 1);
}

__u8 *sock_data(struct sock *s, __u64 address)
{
	if (s->how.unaligned)
		address = sock_chunk(s, address) + (address >> XSK_UNALIGNED_BUF_OFFSET_SHIFT);
	return address < s->umem_size ? s->umem + address : NULL;
}

bool sock_receives(struct sock *s, __u64 chunk)
{
	/* A chunk that came in may be sent on; those that were never given to receive in are spare ones. */
	return chunk / (s->how.unaligned ? PAGE : s->how.chunk) % CHUNKS < FOR_RECEIVING;
}

static void give(struct sock *s, __u64 chunk)
{
	*ring_address(&s->fill, *s->fill.producer) = chunk;
	ring_publish(&s->fill, 1);
}

void sock_give(struct sock *s, __u64 chunk)
{
	if (s->how.abuse == HONEST || ring_free(&s->fill))
		give(s, chunk);
	if ((s->how.abuse == TWICE || s->how.abuse == AGAIN) && ring_free(&s->fill))
		give(s, s->how.abuse == TWICE ? chunk : s->given);
	s->given = chunk;
}

/* As long as struct skb_shared_info is; the number of pieces is in its first bytes. */
#define END 320
/* So few that the kernel uses each of them often, behind the last of which is nothing more. */
#define SPOILT 12

static void *spoil(void *arg)
{
	static const __u8 with[] = { 200, 1, 255, 18, 200, 0 };
	struct sock *s = arg;
	unsigned int i, k;

	for (k = 0;; k++)
		for (i = 0; i < SPOILT; i++) {
			memset(s->umem + s->umem_size - i * s->how.chunk - END, with[k % sizeof(with)], END);
			__asm__ volatile("" ::: "memory");
		}
	return NULL;
}

int sock_spoil(struct sock *s)
{
	pthread_t thread;

	return -pthread_create(&thread, NULL, spoil, s);
}

static int map_ring(struct sock *s, struct ring *r, int option, __u64 at, const struct xdp_ring_offset *off, size_t slot)
{
	__u32 size = RING;
	__u8 *p;

	if (setsockopt(s->fd, SOL_XDP, option, &size, sizeof(size)))
		return -errno;
	p = mmap(NULL, off->desc + size * slot, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->fd, at);
	if (p == MAP_FAILED)
		return -errno;
	*r = (struct ring){
		.producer = (void *)(p + off->producer),
		.consumer = (void *)(p + off->consumer),
		.flags = (void *)(p + off->flags),
		.slots = p + off->desc,
		.mapping = p,
		.size = size,
		.length = off->desc + size * slot,
	};
	return 0;
}

static int rings(struct sock *s)
{
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	int err;

	if (getsockopt(s->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		return -errno;
	err = map_ring(s, &s->fill, XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, &off.fr, sizeof(__u64));
	if (!err)
		err = map_ring(s, &s->completion, XDP_UMEM_COMPLETION_RING, XDP_UMEM_PGOFF_COMPLETION_RING, &off.cr, sizeof(__u64));
	if (!err)
		err = map_ring(s, &s->rx, XDP_RX_RING, XDP_PGOFF_RX_RING, &off.rx, sizeof(struct xdp_desc));
	if (!err)
		err = map_ring(s, &s->tx, XDP_TX_RING, XDP_PGOFF_TX_RING, &off.tx, sizeof(struct xdp_desc));
	return err;
}

static int busy(struct sock *s)
{
	int on = 1, usecs = 20, budget = 64;

	if (setsockopt(s->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)) ||
	    setsockopt(s->fd, SOL_SOCKET, SO_BUSY_POLL, &usecs, sizeof(usecs)) ||
	    setsockopt(s->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)))
		return -errno;
	return 0;
}

static int memory(struct sock *s)
{
	struct xdp_umem_reg reg = {};

	s->umem_size = (__u64)CHUNKS * s->how.sharers * (s->how.unaligned ? PAGE : s->how.chunk);
	s->umem = mmap(NULL, s->umem_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (s->umem == MAP_FAILED)
		return -errno;
	reg.addr = (unsigned long)s->umem;
	reg.len = s->umem_size;
	reg.chunk_size = s->how.chunk;
	reg.flags = s->how.unaligned ? XDP_UMEM_UNALIGNED_CHUNK_FLAG : 0;
	if (s->how.metadata) {
		reg.tx_metadata_len = s->how.metadata;
		reg.flags |= XDP_UMEM_TX_METADATA_LEN;
	}
	return setsockopt(s->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ? -errno : 0;
}

int sock_open(struct sock *s, const struct how *how, __u32 queue, const struct sock *other, unsigned int nth)
{
	struct sockaddr_xdp to = { .sxdp_family = AF_XDP, .sxdp_ifindex = how->ifindex, .sxdp_queue_id = queue, .sxdp_flags = how->flags };
	struct xdp_options options = {};
	socklen_t len = sizeof(options);
	unsigned int i;
	int err;

	memset(s, 0, sizeof(*s));
	s->how = *how;
	s->queue = queue;
	s->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -errno;
	if (other) {
		s->shares = true;
		s->umem = other->umem;
		s->umem_size = other->umem_size;
		to.sxdp_flags = XDP_SHARED_UMEM;
		to.sxdp_shared_umem_fd = other->fd;
	} else {
		err = memory(s);
		if (err)
			goto close;
	}
	err = rings(s);
	if (!err && how->busy)
		err = busy(s);
	if (err)
		goto close;
	if (bind(s->fd, (struct sockaddr *)&to, sizeof(to))) {
		err = -errno;
		goto close;
	}
	if (getsockopt(s->fd, SOL_XDP, XDP_OPTIONS, &options, &len)) {
		err = -errno;
		goto close;
	}
	s->zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	for (i = 0; i < CHUNKS; i++) {
		__u64 chunk = chunk_address(how, nth * CHUNKS + i);

		if (how->abuse == ENDS) {
			if (i < SPOILT)
				sock_give(s, s->umem_size - (i + 1) * how->chunk);
			continue;
		}
		if (i < FOR_RECEIVING - how->idle)
			sock_give(s, chunk);
		else if (i >= FOR_RECEIVING)
			s->spare[s->spares++] = chunk;
	}
	return 0;
close:
	sock_close(s);
	return err;
}

void sock_close(struct sock *s)
{
	struct ring *all[] = { &s->fill, &s->completion, &s->rx, &s->tx };
	unsigned int i;

	for (i = 0; i < 4; i++)
		if (all[i]->mapping)
			munmap(all[i]->mapping, all[i]->length);
	close(s->fd);
	/* Who writes over it goes on. */
	if (s->umem && s->umem != MAP_FAILED && !s->shares && s->how.abuse != ENDS)
		munmap(s->umem, s->umem_size);
}

int map_put(const char *path, __u32 key, __u32 value)
{
	union bpf_attr attr = {};
	int fd, err;

	attr.pathname = (unsigned long)path;
	fd = syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));
	if (fd < 0)
		return -errno;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = fd;
	attr.key = (unsigned long)&key;
	attr.value = (unsigned long)&value;
	err = syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)) ? -errno : 0;
	close(fd);
	return err;
}
