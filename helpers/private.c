// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel's core keeps to itself.  Each of these says what it stands in for, and what the core
 * would have to export for it to go.
 */

/* --- interrupts --- */

/*
 * Is @mask the affinity of @irq, or what it will be at the next interrupt?
 *
 * Takes the descriptor's lock: an interrupt that carries out a pending move says first that none is
 * pending, and writes the new mask last (irq_move_masked_irq()).  Without the lock what is seen in
 * between is the old mask, as if nobody had asked for another.
 *
 * Stands in for what /proc/irq/N/smp_affinity shows (kernel/irq/proc.c).  Missing: a function that returns
 * the affinity that was asked for, pending or not.
 */
bool vnm_helper_irq_affinity_is(int irq, const struct cpumask *mask)
{
	struct irq_data *d = irq_get_irq_data(irq);
	const struct cpumask *now;
	struct irq_desc *desc;
	unsigned long flags;
	bool same;

	if (!d)
		return true;
	desc = irq_data_to_desc(d);
	raw_spin_lock_irqsave(&desc->lock, flags);
	now = irq_data_get_affinity_mask(d);
#ifdef CONFIG_GENERIC_PENDING_IRQ
	if (irqd_is_setaffinity_pending(d))
		now = desc->pending_mask;
#endif
	same = cpumask_equal(now, mask);
	raw_spin_unlock_irqrestore(&desc->lock, flags);
	return same;
}

/*
 * How many MSI-X vectors, of @want, the PCI function @dev gets; 0 if it is none, or has its vectors
 * already.  The only way to know is to allocate them, which find_vqs does for itself later.
 *
 * Stands in for pci_msix_vec_count() bounded by what the interrupt domain has.  Missing: find_vqs that
 * takes fewer vectors than queues if there aren't more.
 */
unsigned int vnm_helper_pci_vectors(struct device *dev, unsigned int want)
{
	struct pci_dev *pdev;
	int n;

	if (!dev || !dev_is_pci(dev))
		return 0;
	pdev = to_pci_dev(dev);
	if (pdev->msix_enabled || pdev->msi_enabled)
		return 0;
	n = pci_alloc_irq_vectors(pdev, 1, want, PCI_IRQ_MSIX);
	if (n <= 0)
		return 0;
	pci_free_irq_vectors(pdev);
	return n;
}

/* --- queues and NAPI --- */

/*
 * Whether @txq has been stopped for longer than the watchdog allows.
 *
 * Copies the condition of netif_tx_timeout's caller, dev_watchdog() (net/sched/sch_generic.c).  Missing:
 * that function's look at one queue.
 */
bool vnm_helper_netdev_queue_stuck(const struct netdev_queue *txq)
{
	return netif_xmit_stopped(txq) &&
	       time_after(jiffies, READ_ONCE(txq->trans_start) + txq->dev->watchdog_timeo);
}

/*
 * Packets that wait in the qdisc of @txq.
 *
 * Missing: an exported reader of a queue's backlog, as netlink has it (tc -s qdisc).
 */
unsigned int vnm_helper_netdev_queue_backlog(const struct netdev_queue *txq)
{
	const struct Qdisc *q;
	unsigned int n;

	rcu_read_lock();
	q = rcu_dereference(txq->qdisc);
	n = q ? qdisc_qlen_sum(q) : 0;
	rcu_read_unlock();
	return n;
}

/*
 * netif_napi_add_config() with the lock held and a weight; netdev_lock() is held for all that adds,
 * enables, disables and deletes an instance.
 *
 * Missing: netif_napi_add_config_locked() with a weight.
 */
void vnm_helper_netif_napi_add_config(struct net_device *dev, struct napi_struct *napi,
				      int (*poll)(struct napi_struct *, int), int index,
				      int weight)
{
	netif_napi_add_config_locked(dev, napi, poll, index);
	napi->weight = weight;
}

/* netif_napi_add_tx_weight() with the lock held.  Missing: a variant of it that is called so. */
void vnm_helper_netif_napi_add_tx(struct net_device *dev, struct napi_struct *napi,
				  int (*poll)(struct napi_struct *, int), int weight)
{
	set_bit(NAPI_STATE_NO_BUSY_POLL, &napi->state);
	netif_napi_add_weight_locked(dev, napi, poll, weight);
}

/*
 * Zeroed memory that nobody may schedule, until it is added and enabled.
 *
 * Copies the state that netif_napi_add_weight_locked() leaves (net/core/dev.c).  Missing: an initialiser
 * apart from adding.
 */
void vnm_helper_napi_init_disabled(struct napi_struct *napi)
{
	set_bit(NAPI_STATE_SCHED, &napi->state);
	napi->list_owner = -1;
}

/*
 * What a deleted instance that is added again must not remember.
 *
 * Missing: __netif_napi_del_locked() could clear these bits itself.
 */
void vnm_helper_napi_forget_threaded(struct napi_struct *napi)
{
	clear_bit(NAPI_STATE_THREADED, &napi->state);
	clear_bit(NAPI_STATE_THREADED_BUSY_POLL, &napi->state);
}

/*
 * Is this a softirq, and @napi on the list of this very CPU if it is scheduled?
 *
 * Asks what page_pool_napi_local() asks (net/core/page_pool.c).  Missing: that function for others.
 */
bool vnm_helper_napi_is_next_here(const struct napi_struct *napi)
{
	return in_serving_softirq() && READ_ONCE(napi->list_owner) == smp_processor_id();
}

/*
 * With gro_flush_timeout set: is a poll of @napi that received @work packets to be followed by another
 * one without an interrupt?
 *
 * Copies the condition of napi_complete_done() (net/core/dev.c).  Missing: its answer before the driver
 * arms the interrupt.
 */
bool vnm_helper_napi_defers_irqs(const struct napi_struct *napi, int work)
{
	return work ? READ_ONCE(napi->defer_hard_irqs) : napi->defer_hard_irqs_count;
}

/*
 * Hands up what GRO holds back, as napi_complete_done() would.  False if there is nothing, or if
 * packets are to be held for longer than a poll (gro_flush_timeout).
 *
 * Copies gro_flush_normal() (include/net/gro.h), whose second half needs a function that isn't exported:
 * gro_normal_list()'s netif_receive_skb_list_internal().  Missing: that.
 */
bool vnm_helper_napi_gro_flush(struct napi_struct *napi)
{
	struct gro_node *gro = &napi->gro;

	if ((!gro->bitmask && !gro->rx_count) || READ_ONCE(napi->gro_flush_timeout))
		return false;
	gro_flush(gro, false);
	if (gro->rx_count) {
		netif_receive_skb_list(&gro->rx_list);
		INIT_LIST_HEAD(&gro->rx_list);
		gro->rx_count = 0;
	}
	return true;
}

/* --- interrupt moderation --- */

/*
 * The kernel's profiles for receiving, counted from the first packet of an interrupt.
 *
 * Missing: net_dim_init_irq_moder() and net_dim_free_irq_moder() (lib/dim/net_dim.c) could leave no
 * pointer to what is freed.
 */
int vnm_helper_net_dim_init_rx(struct net_device *dev)
{
	int err = net_dim_init_irq_moder(dev, DIM_PROFILE_RX,
					 DIM_COALESCE_USEC | DIM_COALESCE_PKTS,
					 DIM_CQ_PERIOD_MODE_START_FROM_EQE, 0, NULL, NULL);

	/* It may have left what it has freed */
	if (err)
		dev->irq_moder = NULL;
	return err;
}

void vnm_helper_net_dim_free(struct net_device *dev)
{
	net_dim_free_irq_moder(dev);
	dev->irq_moder = NULL;
}

/*
 * Entry @ix of the profiles for receiving; false if there are none.
 *
 * Copies the reading half of net_dim_get_rx_irq_moder() (lib/dim/net_dim.c), which wants the device's mode
 * of counting.  Missing: nothing but that it takes a number from outside unchecked.
 */
bool vnm_helper_net_dim_rx_profile(struct net_device *dev, u8 ix, u32 *usec, u32 *pkts)
{
	const struct dim_cq_moder *profile;

	if (!dev->irq_moder || ix >= NET_DIM_PARAMS_NUM_PROFILES)
		return false;
	rcu_read_lock();
	profile = rcu_dereference(dev->irq_moder->rx_profile);
	if (profile) {
		*usec = profile[ix].usec;
		*pkts = profile[ix].pkts;
	}
	rcu_read_unlock();
	return profile;
}
