# SPDX-License-Identifier: GPL-2.0
# What `make` does here; `make help` lists it. The module's own rules are in Kbuild.

# The kernel build tree to build against.
KDIR ?= /lib/modules/$(shell uname -r)/build
# The kernel to install for: the one KDIR belongs to.
K = $(shell cat $(KDIR)/include/config/kernel.release 2>/dev/null || uname -r)
MODDIR = $(INSTALL_MOD_PATH)/lib/modules/$(K)
MANDIR ?= $(INSTALL_MOD_PATH)/usr/local/share/man
# Not below /usr/local, where dracut doesn't look for what it takes into an initramfs. The package virtio-net-mq-dkms has
# another file there, with an `install`.
BLACKLIST = $(INSTALL_MOD_PATH)/usr/lib/modprobe.d/virtio_net_mq.conf
# Which steps, guests or tests `make check` runs; all of them by default.
T ?=
# How many guests `make check` runs at a time; it looks at the machine's CPUs and memory by default.
J ?=
# What `make bench` measures (bench/bench.py --list), all but the grid by default; B repeats. For `make bench-native`: which loads.
CELL ?=
# Which cases `make hostile` runs, all by default, and the number that decides on what goes by chance.
CASE ?=
SEED ?=
B ?=
# Which driver `make hostile` and `make selftests` run, rust or c; both by default.
DRIVER ?=
# Which tests `make host-test` runs, all by default.
H ?=
# How many times, at most, a thread of `make models` loses its CPU though it could go on.
PREEMPTIONS ?= 2
# Which commits `make check-log` looks at.
RANGE ?=
# Which mutants `make mutants-guest` tries, all by default.
M ?=
# The cargo-mutants that `make mutants-pure` takes: what different ones find can't be compared.
MUTANTS_VERSION = 27.1.0
# How many steps `make soak` takes (or for how many minutes it goes on), from which seed, and which actions it is made of (all by
# default); from which step on it suspends to memory (by default in the last quarter); how many steps a guest takes, if each is to
# have its own and what has passed isn't to be repeated.
STEPS ?= 500
PART ?=
MINUTES ?=
DEEP ?=
ACTIONS ?=
# The interface that `make top` shows, instead of one of a guest.
DEV ?=
# Not empty: what `make selftests` comes to is what is expected from now on; `make hostile` writes Documentation/hostile.rst.
ACCEPT ?=
RUSTC ?= rustc
# Which of Debian's kernels toolchain tree, build tree and guests are of: forky, sid, experimental, rt, debug, 7.3 (qemu-test/tree --help).
KERNEL ?= forky
export KERNEL

# Another architecture than this machine's that the module is built for, with a tree, and guests of it: arm64 (qemu-test/tree --help).
foreign = $(filter-out x86 x86_64 amd64,$(ARCH))

ifneq ($(and $(foreign),$(filter bench bench-% coverage coverage-guest fuzz selftests xdp-clients,$(MAKECMDGOALS))),)
$(error make $(MAKECMDGOALS) is for x86-64, not for ARCH=$(ARCH))
endif

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := all
TREE := qemu-test/tree

# A module must be built by the compiler its kernel was built by. KDIR's configuration names it: Debian's is called
# x86_64-linux-gnu-gcc-16, and LLVM=1 is how Kbuild wants clang asked for.
conf = $(KDIR)/include/config/auto.conf
kcc := $(shell sed -n 's/^CONFIG_CC_VERSION_TEXT="*\([^ ]*\).*/\1/p' $(conf) 2>/dev/null)
ifneq ($(shell grep -s '^CONFIG_CC_IS_CLANG=y' $(conf)),)
compiler := LLVM=1
else ifneq ($(filter-out gcc,$(kcc)),)
compiler := CC=$(kcc)
endif
# The architecture is the machine's own, unless it is that of user-mode Linux, or KDIR is for arm64, whose compiler's name begins as
# the names of the other tools do.
arch := $(if $(shell grep -s '^CONFIG_UML=y' $(conf)),ARCH=um)
ifneq ($(shell grep -s '^CONFIG_ARM64=y' $(conf)),)
arch := ARCH=arm64 $(if $(filter-out aarch64,$(shell uname -m)),CROSS_COMPILE=$(firstword $(subst gcc, ,$(kcc))))
endif
KMAKE = $(MAKE) -C $(KDIR) $(compiler) $(arch)

# --- the module --------------------------------------------------------------

all: check-kdir ## build virtio_net_mq.ko for KDIR (default: the running kernel)
	+@$(KMAKE) M=$(CURDIR) modules

check-kdir:
	@qemu-test/check-kdir $(KDIR) $(RUSTC)

install: ## copy module and manual page to /lib/modules/VERSION/updates and MANDIR, run depmod; it isn't loaded by itself
	@test -f virtio_net_mq.ko || { echo "virtio_net_mq: there is no virtio_net_mq.ko yet; run make first." >&2; exit 1; }
	@! grep -qs '^install' $(BLACKLIST) || { \
		echo "virtio_net_mq: the package virtio-net-mq-dkms is installed; apt purge virtio-net-mq-dkms first." >&2; exit 1; }
	@! ls $(MODDIR)/updates/dkms/virtio_net_mq.ko* >/dev/null 2>&1 || { \
		echo "virtio_net_mq: dkms has installed it for $(K); make dkms-uninstall first." >&2; exit 1; }
	install -D -m 644 virtio_net_mq.ko $(MODDIR)/updates/virtio_net_mq.ko
	install -D -m 644 packaging/blacklist.conf $(BLACKLIST)
	install -D -m 644 man/virtio_net_mq.4 $(MANDIR)/man4/virtio_net_mq.4
	depmod $(if $(INSTALL_MOD_PATH),-b $(INSTALL_MOD_PATH)) $(K)

# What isn't for one kernel stays until the last one goes, the manual page also for dkms.
uninstall: ## undo that
	rm -f $(MODDIR)/updates/virtio_net_mq.ko
	@ls $(INSTALL_MOD_PATH)/lib/modules/*/updates/virtio_net_mq.ko >/dev/null 2>&1 || { set -x; \
		grep -qs '^install' $(BLACKLIST) || rm -f $(BLACKLIST); \
		[ -e $(INSTALL_MOD_PATH)/etc/modprobe.d/virtio_net_mq.conf ] || rm -f $(MANDIR)/man4/virtio_net_mq.4; }
	depmod $(if $(INSTALL_MOD_PATH),-b $(INSTALL_MOD_PATH)) $(K)

# For good, and again for each new kernel: packaging/dkms --help.
dkms-install: ## (root) install by dkms: this driver instead of virtio_net from the next boot on
	@packaging/dkms install

dkms-uninstall: ## (root) undo that
	@packaging/dkms uninstall

clean: ## delete what the build made (the cache stays: see qemu-test/tree remove)
	@rm -f *.o *.ko *.mod *.mod.c *_generated.rs .*.cmd .*.d modules.order Module.symvers helpers/*.o helpers/.*.cmd helpers/.*.d
	@rm -rf .tmp_versions qemu-test/out doc

# --- source checks -----------------------------------------------------------
# These need the kernel's toolchain: inside the toolchain tree they run as they
# are, outside they go there, unless a KDIR is given.

sources = $(filter-out %_generated.rs,$(wildcard *.rs */*.rs */*/*.rs qemu-test/device/src/*.rs bench/native/device/src/*.rs))

ifeq ($(VNM_IN_TREE)$(filter command line,$(origin KDIR)),)

fmt fmt-check clippy failpoints headers samples panics doc imports compile-fail host-test python-test packaging-check:
	@$(TREE) setup
	@$(TREE) kdir >/dev/null
	@$(TREE) run -- $(MAKE) KDIR=/cache/kdir $(foreach v,H CASE,$(if $($(v)),$(v)='$($(v))')) $@

device-test: device
	@$(TREE) run -- $(MAKE) KDIR=/cache/kdir $@

doc-rules: prepared
	@$(TREE) add python3-docutils
	@$(TREE) run -- $(MAKE) KDIR=/cache/kdir $@

# With the paths that files of the tree have outside of it.
rust-analyzer: module ## rust-project.json, by which an editor knows the module, the kernel's crates and the compiler's
	@qemu-test/rust-project --tree

litmus: prepared
	@$(TREE) add herdtools7
	@$(TREE) run -- $(MAKE) KDIR=/cache/kdir $@

props models: props-crates
	@$(TREE) run -- $(MAKE) KDIR=/cache/kdir PREEMPTIONS=$(PREEMPTIONS) $@

coverage: ## which lines of pure/ the host tests run; fails below 95 % for a file
	@$(TREE) setup
	@$(TREE) add llvm-$$($(TREE) run -- rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
	@$(TREE) run -- python3 qemu-test/coverage

# What is asked for runs with QEMU recording (bench/plugin/cover.rs); records of one build of the module add up.
coverage-guest: device ## which lines of the driver the guests execute (hours); W=check, hostile or selftests for one of them, T=… as with check, W=none: what is recorded
	@$(TREE) add python3-pyelftools lcov
	@$(TREE) run -- sh -ec 'mkdir -p /cache/bench; rustc --edition 2021 -O --crate-type cdylib -o /cache/bench/libcover.so bench/plugin/cover.rs'
	@for what in $(filter-out none,$(or $(W),check hostile selftests)); do \
		VNM_ENV="VNM_COVER=1 VNM_ACCEL=tcg" $(MAKE) $$what DRIVER=rust || echo "coverage-guest: make $$what failed; what was executed counts all the same" >&2; \
	done
	@$(TREE) run -- python3 qemu-test/coverage-guest

fuzz: ## libFuzzer on the properties of pure/; T=target, S=seconds for each (60)
	@$(TREE) add g++
	@qemu-test/fuzz $(T)

else

fmt: ## format the sources as the kernel's are
	@rustfmt --edition 2021 --config-path $(KDIR)/.rustfmt.toml $(sources)

fmt-check: ## say what isn't formatted
	@rustfmt --edition 2021 --config-path $(KDIR)/.rustfmt.toml --check $(sources)

# Builds that must not be mistaken for the module happen in a copy of the sources.
copy_to = tar -c --exclude=./.git --exclude='*.o' --exclude='*.ko' --exclude='*.cmd' --exclude='*_generated.rs' \
	--exclude=./qemu-test --exclude=./doc . | tar -x -C

clippy: check-kdir ## clippy, each warning an error
	+@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(copy_to) "$$dir" && \
	$(KMAKE) M="$$dir" CLIPPY=1 W=e modules && \
	$(KMAKE) M="$$dir" CLIPPY=1 W=e VNM_SAMPLES=1 modules

# What the test of failing probes loads (qemu-test/guests.toml).
failpoints: check-kdir
	+@mkdir -p qemu-test/out/failpoints && $(copy_to) qemu-test/out/failpoints && \
	$(KMAKE) M=$(CURDIR)/qemu-test/out/failpoints VNM_FAILPOINTS=1 modules

headers: check-kdir ## build against a tree with what distributions install as headers, and nothing else of the kernel's
	+@qemu-test/headers $(KDIR)

# The drivers of samples/, which a guest loads.
samples: check-kdir
	+@mkdir -p qemu-test/out/samples-build && $(copy_to) qemu-test/out/samples-build && \
	$(KMAKE) M=$(CURDIR)/qemu-test/out/samples-build W=e VNM_SAMPLES=1 modules

# What bench/native/run measures: KDIR is the build tree of its kernel.
native: check-kdir
	+@mkdir -p qemu-test/out/native && $(copy_to) qemu-test/out/native && \
	$(KMAKE) M=$(CURDIR)/qemu-test/out/native modules

panics: check-kdir all ## say where the module could panic
	@qemu-test/check-panics

# With the very flags the module was compiled with, which Kbuild keeps.
doc: check-kdir all ## the crate's documentation, private items too, in doc/
	@RUSTC_BOOTSTRAP=1 VNM_OUT=$(CURDIR) sh -c "$$(sed -n 's/^savedcmd_[^:]*:= //p' .virtio_net_mq_rs.o.cmd | sed -E \
		-e 's/ rustc / rustdoc /' -e 's/--(emit|out-dir|crate-type)[= ][^ ]+//g' -e 's/-Zbinary_dep_depinfo=y//') \
		--crate-name virtio_net_mq --document-private-items -Dwarnings -o doc"
	@echo "the documentation is doc/virtio_net_mq/index.html"

rust-analyzer: check-kdir all
	@qemu-test/rust-project $(KDIR)

packaging-check: check-kdir all ## what is packaged fits the code, and does what README says
	+@packaging/check $(KDIR)

compile-fail: check-kdir all ## what the types of the safe layer forbid (tests/compile-fail/)
	@qemu-test/compile-fail $(CASE)

imports: ## who imports whom among the Rust files: none in circles, none upwards
	@qemu-test/imports

doc-rules: ## whether comments and documents keep to the rules of contributing.rst, links lead somewhere, figures are right
	@qemu-test/doc-rules
	@qemu-test/check-documents

host-test: ## the tests of pure/, which need no kernel; H=name for some
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	$(RUSTC) --edition=2021 --test -D warnings -o "$$dir/host" tests/host.rs && "$$dir/host" $(H)

python-test: ## the tests of what evaluates measurements and coverage, and whether mutants.toml is of these sources
	@python3 -m unittest discover -s bench/native -p 'test_*.py'
	@python3 -m unittest discover -s qemu-test -p 'test_*.py'
	@qemu-test/mutants --check

# What `qemu-test/tree device` has fetched is used, and what has been built. Cargo goes by times, which say nothing about
# another copy's sources.
offline = CARGO_HOME=/cache/cargo CARGO_TARGET_DIR=/cache/$(1) CARGO_NET_OFFLINE=true
cargo = cd $(1) && touch src/main.rs && $(call offline,$(2)) cargo
testdev_cargo = $(call cargo,qemu-test/device,testdev)
nativedev_cargo = $(call cargo,bench/native/device,cargo-bench-native-device)
device-test: ## clippy on the test device and that of the native benchmark, and the tests of their own arithmetic
	@$(testdev_cargo) clippy -q --release --all-targets -- -D warnings
	@$(testdev_cargo) test --release
	@$(nativedev_cargo) clippy -q --release --all-targets -- -D warnings
	@$(nativedev_cargo) test --release

# The same with what `make props-crates` has fetched.
props: ## the properties of pure/, by chance (proptest)
	@cd fuzz && $(call offline,cargo-fuzz) PROPTEST_CASES=2000 \
		cargo test -q --release --test props

litmus: ## what order of memory the driver relies on, by the kernel's own memory model (herd7)
	@qemu-test/litmus $(KDIR)

# With PREEMPTIONS=3 some minutes.
models: ## what runs at the same time, each interleaving of small models (loom); PREEMPTIONS=… times that a CPU is taken away, 2
	@cd models && $(call offline,cargo-models) PREEMPTIONS=$(PREEMPTIONS) \
		cargo test -q --release -- --show-output

endif

# --- guests ------------------------------------------------------------------
# Each of these makes what it needs first: the toolchain tree (3 minutes, once),
# the build tree (2 minutes, once), the module.

prepared:
	@$(TREE) setup
	@$(TREE) kdir >/dev/null

module: prepared
	@$(TREE) run -- $(MAKE) -s KDIR=/cache/kdir all

kdir: ## make the toolchain tree and a build tree for Debian's kernel
	@$(TREE) setup
	@$(TREE) kdir >/dev/null
	@echo "Build with: $(if $(foreign),ARCH=$(ARCH) )$(if $(filter-out forky,$(KERNEL)),KERNEL=$(KERNEL) )$(TREE) run -- make KDIR=/cache/kdir"
	@echo "(outside the tree the build tree is KDIR=$$($(TREE) kdir), for the very rustc it was made with)"

demo: ## show the driver at work in a guest: queues, IRQs, throughput
	@qemu-test/demo

demo-svg: ## record make demo as Documentation/demo.svg
	@$(TREE) setup
	@$(TREE) add python3-rich
	@mkdir -p qemu-test/out
	@qemu-test/demo >qemu-test/out/demo.txt || { cat qemu-test/out/demo.txt; exit 1; }
	@$(TREE) run -- python3 qemu-test/demo-svg qemu-test/out/demo.txt Documentation/demo.svg

# Without the test device (no network at the first time, say) only the guests that need it fail.
device: prepared
	@$(TREE) device >/dev/null || echo "no test device: guests that need it will fail" >&2

props-crates: prepared
	@$(TREE) cargo fuzz cargo fetch -q || echo "no crates: the step props will fail" >&2
	@$(TREE) cargo models cargo fetch -q || echo "no crates: the step models will fail" >&2

check: device $(if $(filter debug 7.3,$(KERNEL))$(foreign),,props-crates) ## all checks and tests; T=name runs one step, guest or test; by name only: dkms (installation in a real Debian), secureboot, kexec, kvm, intree (in the kernel's tree)
	@$(TREE) add man-db python3-docutils dracut-install xdp-tools herdtools7 $$($(TREE) run -- python3 qemu-test/check --packages $(patsubst %,'%',$(T)) 2>/dev/null) $(if $(filter intree,$(T)),git)
	@$(if $(filter dkms,$(T)),$(TREE) add debhelper dh-dkms lintian && qemu-test/dkms-image)
	@$(if $(filter secureboot,$(T)),{ $(TREE) add ovmf-generic python3-virt-firmware && $(TREE) run -- qemu-test/secureboot --fetch; } || echo "no firmware for Secure Boot: secureboot will be skipped" >&2)
	@$(if $(filter kexec,$(T)),$(TREE) add kexec-tools)
	@$(TREE) run --net -- python3 qemu-test/check $(if $(J),-j $(J)) $(patsubst %,'%',$(T))

quick: prepared ## before each commit: build, format, clippy, rules, and the tests that need no guest (2 minutes)
	@$(TREE) add man-db python3-docutils
	@$(TREE) run --net -- python3 qemu-test/check build fmt clippy imports doc-rules panics host-test python-test device-test packaging

# Each part is one of the calls above or below; what it says is in qemu-test/out/nightly/.
nightly: ## everything that takes hours, part by part (qemu-test/nightly --list); T=… for some parts
	@qemu-test/nightly $(patsubst %,'%',$(T))

# The same sources give the same package: what is dated goes by the newest commit.
deb: ## build the Debian package virtio-net-mq-dkms in qemu-test/out/deb, and have lintian look at it
	@$(TREE) setup
	@$(TREE) add debhelper dh-dkms lintian
	@$(TREE) run -- env SOURCE_DATE_EPOCH=$(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null)) packaging/deb

check-log: ## whether commit messages keep to the rules of contributing.rst; RANGE=… for other commits than the new ones
	@qemu-test/check-log $(RANGE)

xdp-clients: module ## real users of XDP in a guest: xdp-tools' own tests, Knot DNS, Suricata, DPDK; and the kernel's tests of AF_XDP; T=name for one
	@$(TREE) add knot knot-dnsutils suricata xdp-tests dpdk-dev
	@$(TREE) run --net -- python3 qemu-test/check $(or $(patsubst %,'%',$(T)),clients xsk-upstream)

hostile: module device ## a device that misbehaves, against both drivers; CASE=… for some cases, SEED=… for another chance
	@$(TREE) run --net -- python3 qemu-test/hostile $(if $(DRIVER),--driver $(DRIVER)) $(if $(SEED),--seed $(SEED)) $(if $(ACCEPT),--accept) \
		$(patsubst %,'%',$(CASE))

# Logs and what is known are in the cache, under mutants/, and what was known once in qemu-test/mutants.results.
mutants-guest: device ## one mistake at a time in the driver: do the tests notice? (hours, goes on where it was); M=… for some of qemu-test/mutants.toml, ACCEPT=1 to record them
	@$(TREE) run --net -- python3 qemu-test/check build
	@qemu-test/mutants $(if $(ACCEPT),--accept) $(patsubst %,'%',$(M))

mutants-pure: prepared ## small changes of pure/, one at a time (cargo-mutants): do the host tests notice? (an hour, goes on where it was); M=… for some files
	@$(TREE) cargo fuzz cargo install -q --locked --root /cache/mutants-pure/tool cargo-mutants@$(MUTANTS_VERSION)
	@$(TREE) cargo fuzz python3 ../qemu-test/mutants-pure $(if $(J),-j $(J)) $(patsubst %,'%',$(M))

mutants: mutants-pure mutants-guest ## both: mistakes in pure/ and in the driver (hours)

soak: module ## STEPS=… things that can be done to an interface, or MINUTES=… of them, in turn, by a chance that SEED=… repeats
	@$(TREE) run --net -- python3 qemu-test/soak $(if $(MINUTES),--minutes $(MINUTES),--steps $(STEPS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(PART),--part $(PART)) $(if $(DEEP),--deep $(DEEP)) $(ACTIONS)

shell: module ## a shell in a guest with the driver loaded
	@$(TREE) run --net -- python3 qemu-test/vm.py --shell

top: $(if $(DEV),,module) ## queues, interrupts, rates and drops, live, in a guest with traffic; DEV=… of this machine's interface instead
ifneq ($(DEV),)
	@packaging/top $(DEV)
else
	@$(TREE) run --net -- python3 qemu-test/vm.py --shell --run 'for p in 5201 "5202 -R"; do iperf3 -c $$PEER -p $$p -P 4 -t 86400 >/dev/null 2>&1 & done; packaging/top $$NETIF'
endif

selftests: module ## the kernel's own driver tests, in guests, for both drivers; ACCEPT=1 writes what is expected
	@$(TREE) add jq netsniff-ng bpftrace
	@$(TREE) run --net -- python3 qemu-test/selftests $(if $(DRIVER),--driver $(DRIVER)) $(if $(ACCEPT),--accept) $(patsubst %,'%',$(T))

bench: module ## cost per packet against the in-tree driver (25 to 40 minutes); CELL=… for a part of it
	@bench/run $(if $(B),--repeats $(B)) $(patsubst %,'%',$(CELL))

bench-quick: module ## the same for the most telling loads (some minutes)
	@bench/run --quick $(if $(B),--repeats $(B)) $(patsubst %,'%',$(CELL))

bench-native: ## nanoseconds per packet, both drivers run natively (10 minutes); CELL=… for some loads, CELL=profile: where the time goes
	@bench/native/run $(patsubst %,'%',$(CELL)) $(if $(B),--repeats $(B))

help: ## this list
	@sed -nE 's/^([a-z][a-z-]*):[^#]*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16
	@echo "KDIR=… names the kernel build tree; KERNEL=sid, experimental, rt or 7.3 takes another of Debian's kernels for the tree and"
	@echo "the guests, KERNEL=debug one that checks itself; ARCH=arm64 builds and tests for that architecture, with KERNEL=16k for its"
	@echo "kernel with large pages; qemu-test/tree --help tells about the toolchain tree."

# All that has a rule here.
.PHONY: $(shell sed -nE 's/^([a-z][a-z -]*):([^=].*)?$$/\1/p' $(firstword $(MAKEFILE_LIST)))
