// SPDX-License-Identifier: GPL-2.0
/* Failure injection for tests, see sync/fail.rs: parameters, and what counts down to the step that fails. */

static atomic_t fail_left = ATOMIC_INIT(0);

static int set_fail_at(const char *val, const struct kernel_param *kp)
{
	int n, err = kstrtoint(val, 0, &n);

	if (!err)
		atomic_set(&fail_left, n);
	return err;
}

static int get_fail_at(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&fail_left));
}

static const struct kernel_param_ops fail_at_ops = { .set = set_fail_at, .get = get_fail_at };
module_param_cb(fail_at, &fail_at_ops, NULL, 0644);
MODULE_PARM_DESC(fail_at, "The step, counted from now on, that fails (0 = none; -1: it did; -2: each one)");

bool vnm_helper_fail_point(void)
{
	int left = atomic_read(&fail_left);

	/* 0 stays: no step is to fail.  1 becomes -1: this one does. */
	if (left <= 0)
		return left == -2;
	if (atomic_dec_return(&fail_left))
		return false;
	atomic_set(&fail_left, -1);
	return true;
}

static bool no_memory;
module_param(no_memory, bool, 0644);
MODULE_PARM_DESC(no_memory, "Receive queues get no memory for buffers");

bool vnm_helper_fail_no_memory(void)
{
	return READ_ONCE(no_memory);
}

static unsigned int delay_after_complete;
module_param(delay_after_complete, uint, 0644);
MODULE_PARM_DESC(delay_after_complete,
	"After each so many refusals of napi_complete_done, of polls that are not the owner any more, the CPU does nothing for 2 ms (0 = never)");

static atomic_t delays = ATOMIC_INIT(0);

static int get_delays(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&delays));
}

static const struct kernel_param_ops delays_ops = { .get = get_delays };
module_param_cb(delays, &delays_ops, NULL, 0444);
MODULE_PARM_DESC(delays, "How often it did nothing so");

/* As if the hypervisor took the CPU away, at best until nothing polls @napi and nothing is going to */
void vnm_helper_fail_delay(struct napi_struct *napi)
{
	static atomic_t refused = ATOMIC_INIT(0);
	unsigned int n = READ_ONCE(delay_after_complete), us;
	unsigned long flags;

	if (!n || READ_ONCE(napi->state) & (NAPIF_STATE_SCHED | NAPIF_STATE_IN_BUSY_POLL))
		return;
	if ((unsigned int)atomic_inc_return(&refused) % n)
		return;
	local_irq_save(flags);
	for (us = 0; us < 2000; us++) {
		if (!(READ_ONCE(napi->state) & NAPIF_STATE_SCHED) && !hrtimer_active(&napi->timer))
			break;
		udelay(1);
	}
	local_irq_restore(flags);
	atomic_inc(&delays);
}

static unsigned int delay_before_complete;
module_param(delay_before_complete, uint, 0644);
MODULE_PARM_DESC(delay_before_complete,
	"Microseconds, 1000 at most, for which a poll that expects its interrupt to be deferred does nothing before its end");

void vnm_helper_fail_delay_before_complete(void)
{
	unsigned int us = READ_ONCE(delay_before_complete);

	if (!us)
		return;
	udelay(min(us, 1000));
	atomic_inc(&delays);
}

static unsigned int delay_after_restore;
module_param(delay_after_restore, uint, 0644);
MODULE_PARM_DESC(delay_after_restore, "Milliseconds between a device that was reset working again and the end of its reset");

void vnm_helper_fail_delay_restore(void)
{
	msleep(READ_ONCE(delay_after_restore));
}

#ifdef CONFIG_KPROBES
/* In what writes an interrupt's new CPUs, mostly at the next interrupt: as if the hypervisor took the CPU away there */
static int delay_move(struct kprobe *probe, struct pt_regs *regs)
{
	mdelay(300);
	atomic_inc(&delays);
	return 0;
}

/* Whoever writes waits: the module stays as long as the probe is set. */
static int set_delay_irq_moves(const char *val, const struct kernel_param *kp)
{
	struct kprobe probe = { .symbol_name = "irq_do_set_affinity", .pre_handler = delay_move };
	unsigned int ms;
	int err = kstrtouint(val, 0, &ms);

	if (err)
		return err;
	err = register_kprobe(&probe);
	if (err)
		return err;
	msleep_interruptible(min(ms, 60000));
	unregister_kprobe(&probe);
	return 0;
}

static const struct kernel_param_ops delay_irq_moves_ops = { .set = set_delay_irq_moves };
module_param_cb(delay_irq_moves, &delay_irq_moves_ops, NULL, 0200);
MODULE_PARM_DESC(delay_irq_moves,
	"Milliseconds from now, 60000 at most, for which whatever moves an interrupt does nothing for 300 ms first; the write ends with them");
#endif
