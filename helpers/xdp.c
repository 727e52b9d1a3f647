// SPDX-License-Identifier: GPL-2.0
/* XDP: what is inline, and for what runs per packet several of it in one. */

u32 vnm_helper_bpf_prog_run_xdp(const struct bpf_prog *prog, struct xdp_buff *xdp)
{
	return bpf_prog_run_xdp(prog, xdp);
}

bool vnm_helper_bpf_prog_has_frags(const struct bpf_prog *prog)
{
	return prog->aux->xdp_has_frags;
}

void vnm_helper_trace_xdp_exception(const struct net_device *dev, const struct bpf_prog *prog,
				    u32 act)
{
	trace_xdp_exception(dev, prog, act);
}

/* All pieces of one that has several */
unsigned int vnm_helper_xdp_get_frame_len(const struct xdp_frame *frame)
{
	return xdp_get_frame_len(frame);
}

void vnm_helper_txq_trans_cond_update(struct netdev_queue *txq)
{
	txq_trans_cond_update(txq);
}

/* The @len bytes at @va, of a page of a pool with @truesize bytes for them, are the packet's next ones */
bool vnm_helper_xdp_buff_add_frag_va(struct xdp_buff *xdp, void *va, unsigned int len,
				     unsigned int truesize)
{
	struct page *page = virt_to_head_page(va);

	if (!__xdp_buff_add_frag(xdp, page_to_netmem(page), va - page_address(page), len, truesize,
				 false))
		return false;
	if (unlikely(page_is_pfmemalloc(page)))
		xdp_buff_set_frag_pfmemalloc(xdp);
	return true;
}

/* Gives back all but the first piece of a packet in pages of pools */
void vnm_helper_xdp_buff_put_frags(struct xdp_buff *xdp)
{
	struct skb_shared_info *sinfo = xdp_get_shared_info_from_buff(xdp);
	unsigned int i;

	for (i = 0; i < sinfo->nr_frags; i++) {
		netmem_ref netmem = netmem_compound_head(skb_frag_netmem(&sinfo->frags[i]));

		page_pool_put_full_netmem(netmem_get_pp(netmem), netmem, false);
	}
	xdp_buff_clear_frags_flag(xdp);
}

/* A new skb around a packet in pages of pools, with its metadata; NULL without memory.  In a poll. */
struct sk_buff *vnm_helper_napi_build_xdp_skb(const struct xdp_buff *xdp)
{
	const struct skb_shared_info *sinfo = xdp_get_shared_info_from_buff(xdp);
	bool has_frags = xdp_buff_has_frags(xdp);
	unsigned int size = 0, truesize = 0;
	struct sk_buff *skb;
	u8 nr_frags = 0;

	/* A new skb's shared info begins with zeroes there */
	if (unlikely(has_frags)) {
		nr_frags = sinfo->nr_frags;
		size = sinfo->xdp_frags_size;
		truesize = sinfo->xdp_frags_truesize;
	}
	skb = napi_build_skb(xdp->data_hard_start, xdp->frame_sz);
	if (unlikely(!skb))
		return NULL;
	skb_reserve(skb, xdp->data - xdp->data_hard_start);
	__skb_put(skb, xdp->data_end - xdp->data);
	if (xdp->data > xdp->data_meta)
		skb_metadata_set(skb, xdp->data - xdp->data_meta);
	skb_mark_for_recycle(skb);
	if (unlikely(has_frags))
		xdp_update_skb_frags_info(skb, nr_frags, size, truesize,
					  xdp_buff_get_skb_flags(xdp));
	return skb;
}

/* How many bytes follow @start in the first piece; 0 if a checksum @offset bytes behind that isn't in there */
static unsigned int vnm_csum_len(const struct xdp_buff *xdp, unsigned int start, unsigned int offset)
{
	unsigned int len = xdp->data_end - xdp->data;

	return start >= len || offset + sizeof(__sum16) > len - start ? 0 : len - start;
}

/* The sum over *@at bytes, and @len more */
static __wsum vnm_csum_more(__wsum csum, unsigned int *at, const void *more, unsigned int len)
{
	csum = csum_block_add(csum, csum_partial(more, len, 0), *at);
	*at += len;
	return csum;
}

static void vnm_csum_put(void *to, __wsum csum)
{
	__sum16 sum = csum_fold(csum) ?: CSUM_MANGLED_0;

	memcpy(to, &sum, sizeof(sum));
}

/*
 * Completes the checksum over what follows @start, which belongs @offset bytes behind that.  False if that
 * isn't in the first piece.
 */
bool vnm_helper_xdp_csum_complete(struct xdp_buff *xdp, unsigned int start, unsigned int offset)
{
	unsigned int len = vnm_csum_len(xdp, start, offset), i;
	__wsum csum;

	if (!len)
		return false;
	csum = csum_partial(xdp->data + start, len, 0);
	if (unlikely(xdp_buff_has_frags(xdp))) {
		const struct skb_shared_info *sinfo = xdp_get_shared_info_from_buff(xdp);

		for (i = 0; i < sinfo->nr_frags; i++) {
			const skb_frag_t *frag = &sinfo->frags[i];

			csum = vnm_csum_more(csum, &len, skb_frag_address(frag), skb_frag_size(frag));
		}
	}
	vnm_csum_put(xdp->data + start + offset, csum);
	return true;
}

/* A header has 10, 12, 20 or 24 bytes.  memset() would go by the bits of that. */
static __always_inline void vnm_zero_hdr(void *hdr, unsigned int len)
{
	put_unaligned((u64)0, (u64 *)hdr);
	put_unaligned((u64)0, (u64 *)(hdr + len - sizeof(u64)));
	if (unlikely(len > 2 * sizeof(u64)))
		put_unaligned((u64)0, (u64 *)(hdr + sizeof(u64)));
}

/*
 * Writes an empty virtio-net header before the data of @frame, or behind it, and describes both in @sg.  How many
 * entries it takes, or -EINVAL: there is no room for the header, or the frame has more pieces than @sg.
 */
static int vnm_xdp_map(const struct xdp_frame *frame, struct scatterlist *sg, unsigned int form)
{
	unsigned int hdr_len = form & VNM_HDR_LEN, n = 1, i;
	void *hdr = frame->data - hdr_len;

	if (unlikely(frame->headroom < hdr_len)) {
		/* A frame in one piece has no use for what would name others, behind its data */
		if (xdp_frame_has_frags(frame))
			return -EINVAL;
		hdr = xdp_get_shared_info_from_frame((struct xdp_frame *)frame);
		form &= ~VNM_HDR_ANY_LAYOUT;
	}
	vnm_zero_hdr(hdr, hdr_len);
	if (form & VNM_HDR_ANY_LAYOUT) {
		vnm_sg_fill_buf(sg, hdr, frame->len + hdr_len, form);
	} else {
		vnm_sg_fill_buf(sg, hdr, hdr_len, form);
		vnm_sg_fill_buf(&sg[n++], frame->data, frame->len, form);
	}
	if (xdp_frame_has_frags(frame)) {
		const struct skb_shared_info *sinfo = xdp_get_shared_info_from_frame(frame);

		if (sinfo->nr_frags > MAX_SKB_FRAGS)
			return -EINVAL;
		for (i = 0; i < sinfo->nr_frags; i++) {
			const skb_frag_t *frag = &sinfo->frags[i];

			vnm_sg_fill(&sg[n++], skb_frag_page(frag), skb_frag_size(frag),
				    skb_frag_off(frag), form);
		}
	}
	sg_mark_end(&sg[n - 1]);
	return n;
}

static_assert(__alignof__(struct xdp_frame) > VNM_TAG_FRAME);

/* Adds any frame to @vq, unless fewer than @reserve descriptors would be free; 0 or why not */
static noinline int vnm_xdp_add_any(struct virtqueue *vq, struct xdp_frame *frame,
				    struct scatterlist *sg, unsigned int form,
				    unsigned int reserve)
{
	void *data = (void *)frame + VNM_TAG_FRAME;
	int n = vnm_xdp_map(frame, sg, form);

	if (n < 0)
		return n;
	if (vq->num_free < reserve + n)
		return -ENOSPC;
	if (form & VNM_SG_PHYS)
		return virtqueue_add_outbuf_premapped(vq, sg, n, data, GFP_ATOMIC);
	return virtqueue_add_outbuf(vq, sg, n, data, GFP_ATOMIC);
}

/* How many of @n frames fit into @vq if each takes one descriptor, and @reserve stay free */
static __always_inline unsigned int vnm_frames_fit(const struct virtqueue *vq, unsigned int n,
						   unsigned int reserve)
{
	return vq->num_free <= reserve ? 0 : min(n, vq->num_free - reserve);
}

/*
 * Adds @n frames to @vq, each with an empty header, until one can't be added: there is no room for its header, it has
 * too many pieces, or fewer than @reserve descriptors would be free.  Returns how many were added; they are the queue's.
 * @sg has MAX_SKB_FRAGS + 2 entries of any content.
 *
 * One call for all of them, instead of two for each.  Most are in one piece with room for the header, and those are seen
 * to here.
 */
unsigned int vnm_helper_virtqueue_add_frames(struct virtqueue *vq, struct xdp_frame **frames,
					     unsigned int n, struct scatterlist *sg,
					     unsigned int form, unsigned int reserve)
{
	const unsigned int plain = VNM_HDR_ANY_LAYOUT | VNM_SG_PHYS, hdr_len = form & VNM_HDR_LEN;
	/* No frame has as much room as the latter */
	const u32 room = (form & plain) == plain ? hdr_len : U32_MAX;
	/* As many as there is room for if each takes one descriptor */
	struct xdp_frame **next = frames, **end = next + vnm_frames_fit(vq, n, reserve);
	struct scatterlist one __uninitialized;
	unsigned long offset;
	int err;

	if (unlikely(next == end))
		return 0;
	one.page_link = SG_END;
	offset = vnm_phys_offset(*next);
	for (; next != end; next++) {
		struct xdp_frame *frame = *next;
		void *hdr = frame->data - hdr_len;

		if (unlikely(frame->headroom < room || xdp_frame_has_frags(frame))) {
			err = vnm_xdp_add_any(vq, frame, sg, form, reserve);
			if (err)
				break;
			/* It may have taken more */
			end = next + 1 + vnm_frames_fit(vq, frames + n - next - 1, reserve);
			continue;
		}
		vnm_zero_hdr(hdr, hdr_len);
		sg_dma_address(&one) = vnm_phys_at(hdr, offset);
		sg_dma_len(&one) = frame->len + hdr_len;
		err = virtqueue_add_outbuf_premapped(vq, &one, 1, (void *)frame + VNM_TAG_FRAME,
						     GFP_ATOMIC);
		if (unlikely(err))
			break;
	}
	return next - frames;
}

/* The usual kind: one piece of a page of a pool */
static __always_inline bool vnm_frame_is_plain(const struct xdp_frame *frame)
{
	return likely(frame->mem_type == MEM_TYPE_PAGE_POOL && !xdp_frame_has_frags(frame));
}

/* The page of such a one, or a tail of it */
static __always_inline struct page *vnm_frame_page(const struct xdp_frame *frame,
						   unsigned long offset)
{
	return pfn_to_page(PHYS_PFN(vnm_phys_at(frame->data, offset)));
}

/* xdp_return_frame(), with the usual kind seen to here: one call instead of three */
void vnm_helper_xdp_put_frame(struct xdp_frame *frame)
{
	if (vnm_frame_is_plain(frame)) {
		struct page *page = vnm_frame_page(frame, vnm_phys_offset(frame));
		netmem_ref netmem = page_to_netmem(compound_head(page));

		page_pool_put_full_netmem(netmem_get_pp(netmem), netmem, false);
	} else {
		xdp_return_frame(frame);
	}
}

/*
 * Gives back the frame whose token is @data, which was taken off @vq, and those that come next off it; @sent says how
 * many they are, and of how many bytes.  Returns the token behind them, which isn't a frame's, or NULL.
 *
 * One call for all of them, instead of two for each, and one turn of a pool's lock for as many as its function takes.
 */
void *vnm_helper_virtqueue_put_frames(struct virtqueue *vq, void *data, struct vnm_sent *sent)
{
	unsigned long offset = vnm_phys_offset(data - VNM_TAG_FRAME);
	netmem_ref pages[XDP_BULK_QUEUE_SIZE];
	unsigned int frames = 0, bytes = 0, n = 0, len;

	do {
		struct xdp_frame *frame = data - VNM_TAG_FRAME;

		frames++;
		bytes += xdp_get_frame_len(frame);
		if (vnm_frame_is_plain(frame)) {
			pages[n++] = page_to_netmem(vnm_frame_page(frame, offset));
			if (n == ARRAY_SIZE(pages)) {
				page_pool_put_netmem_bulk(pages, n);
				n = 0;
			}
		} else {
			xdp_return_frame(frame);
		}
		data = virtqueue_get_buf(vq, &len);
	} while (((unsigned long)data & (VNM_TAG_FRAME | VNM_TAG_XSK)) == VNM_TAG_FRAME);
	if (n)
		page_pool_put_netmem_bulk(pages, n);
	sent->frames = frames;
	sent->bytes = bytes;
	return data;
}

/* @msg is what the user is told */
void vnm_helper_extack_set(struct netlink_ext_ack *extack, const char *msg)
{
	NL_SET_ERR_MSG_FMT_MOD(extack, "%s", msg);
}
