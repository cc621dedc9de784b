# `make` prints the targets. CI runs `make ci` and nothing else.

# Recorded real data, where there is any: $FUGUE_DATA, else ../shared/data.
DATA := $(or $(FUGUE_DATA),$(wildcard ../shared/data))
BUNDLES := $(or $(wildcard $(DATA)/mainnet-blocks/blocks),testdata/bundles)
FIXTURES := $(wildcard $(DATA)/ef-tests/*.tar.zst) $(wildcard $(DATA)/eest/*/*.tar.zst)
# Those that are sent through the Engine API, too.
ENGINE_FIXTURES := $(wildcard $(DATA)/eest/stable-*/blockchain_tests*.tar.zst $(DATA)/eest/bal-*/*.tar.zst) \
	$(wildcard $(DATA)/ef-tests/BlockchainTests.tar.zst $(DATA)/ef-tests/legacy-Cancun-BlockchainTests.tar.zst) \
	$(wildcard $(DATA)/rpc-compat)
FUGUE := $(or $(CARGO_TARGET_DIR),target)/release/fugue
NEXTEST_VERSION := 0.9.143
# What make openrpc makes. Looked for there by tests/it/openrpc.rs and tests/e2e/dapp.py.
OPENRPC := target/openrpc/openrpc.json
# A document that is named or recorded: nothing has to be fetched for the tests.
OPENRPC_GIVEN := $(or $(FUGUE_OPENRPC),$(wildcard $(DATA)/openrpc.json))
# How long make ci waits for it, where the machine has a word for that.
BRIEFLY := $(if $(shell command -v timeout 2>/dev/null),timeout 30)
# For make fuzz: which targets, and how long each.
TARGETS ?= $(basename $(notdir $(wildcard tests/fuzz/targets/*.rs)))
FUZZ_SECONDS ?= 60
# For make spec: ways that each case has a turn in, beside the sequential run, and from where on.
TURNS ?= 1
SEED ?= 0
# For make spec and make spec-all: threads of the parallel modes.
SPEC_THREADS := 1,2,3,8,16
# For make model: schedules of each model of the scheduler.
SCHEDULES ?= 1000000
# For make run: groups of methods that tools for development call.
DEV_APIS := eth,net,web3,debug,trace,ots

.PHONY: help
help:
	@echo "make setup     install what the other targets need (cargo-nextest)"
	@echo "make run       build, then start a dev chain: JSON-RPC at http and ws://127.0.0.1:8545"
	@echo "make demo      build, then replay recorded blocks sequentially and in parallel"
	@echo "make build     build the program: $(FUGUE)"
	@echo "make test      run all tests, make spec among them"
	@echo "make check     formatting and lints"
	@echo "make spec      run the official fixtures in $(or $(DATA),\$$FUGUE_DATA) and by the Engine API, modes and threads in turn"
	@echo "make spec-all  run each of them in every mode on $(SPEC_THREADS) threads: hours"
	@echo "make e2e       run real consensus clients and dApp clients against the program (needs Node 20 and Python 3.11)"
	@echo "make openrpc   fetch the JSON-RPC specification, or an older one from an npm package: make test then judges"
	@echo "               every result by it (needs Python 3.11)"
	@echo "make fuzz      fuzz what decodes requests, each target for $(FUZZ_SECONDS) s (needs cargo-fuzz)"
	@echo "make model     check the scheduler in $(SCHEDULES) random schedules, and its parts in more orders than make test"
	@echo "make soak      replay all bundles ten times in every mode at 1, 2, 3, 8 and 16 threads"
	@echo "make generate  write testdata/bundles anew"
	@echo "make generated check that testdata/bundles is what make generate would write"
	@echo "make doc       build the documentation of all crates"
	@echo "make ci        everything that must pass: check, doc, test, generated data, soak; with make openrpc, if that can be"
	@echo "make clean     remove what was built"

.PHONY: setup
setup:
	@cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest@$(NEXTEST_VERSION)

.PHONY: build
build:
	cargo build --release --locked

.PHONY: run
run: build
	$(FUGUE) node --dev --http --http.corsdomain "*" --http.api $(DEV_APIS) \
		--ws --ws.port 8545 --ws.origins "*" --ws.api $(DEV_APIS)

.PHONY: demo
demo: build
	$(FUGUE) replay $(BUNDLES)

.PHONY: e2e
e2e: build openrpc-if-reachable
	tests/e2e/run.py --fugue $(FUGUE)

# Program and tests are built by one command: so no core waits at the end of one of them.
.PHONY: test
test: setup
	cargo build --release --locked --workspace --all-targets
	cargo nextest run --release --locked --workspace --no-fail-fast
	cargo test --release --locked --workspace --doc --quiet
ifeq ($(wildcard $(DATA)/mainnet-blocks/blocks),)
	@echo "skipped: tests over recorded mainnet blocks; set FUGUE_DATA to a folder that has mainnet-blocks"
endif
	$(MAKE) spec

.PHONY: check
check:
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- --deny warnings

.PHONY: spec spec-all
spec: TURN := --turns $(TURNS) --seed $(SEED)
spec spec-all: build
ifeq ($(strip $(FIXTURES)),)
	@echo "skipped: no official fixtures; set FUGUE_DATA to a folder that has ef-tests and eest"
	@test -z "$(CI)" || { echo "CI insists on them"; exit 1; }
else
	$(FUGUE) spectest --mode all --threads $(SPEC_THREADS) $(TURN) $(FIXTURES)
	$(FUGUE) spectest --engine --mode all --threads $(SPEC_THREADS) $(TURN) $(ENGINE_FIXTURES)
endif

.PHONY: openrpc
openrpc:
	python3 etc/openrpc.py $(OPENRPC)

# CI judges by what can be had, and does not fail for want of a network.
.PHONY: openrpc-if-reachable
openrpc-if-reachable:
ifeq ($(strip $(OPENRPC_GIVEN)),)
	@$(BRIEFLY) python3 etc/openrpc.py $(OPENRPC) || test -f $(OPENRPC) || \
		echo "not judged: results by the JSON-RPC specification: no document of it can be made here"
endif

# No sanitizer: the code is safe Rust, and so the pinned toolchain will do. Dependencies are those of
# the workspace, with libFuzzer beside them.
.PHONY: fuzz
fuzz:
	cp Cargo.lock tests/fuzz/Cargo.lock
	for target in $(TARGETS); do \
		cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none $$target -- \
			-max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

# What make test does in some thousand schedules. Loom: orders with one more switch between threads.
.PHONY: model
model: setup
	MODEL_SCHEDULES=$(SCHEDULES) LOOM_MAX_PREEMPTIONS=3 cargo nextest run --release --locked \
		--workspace --profile model --filterset 'package(fugue-model)'

.PHONY: soak
soak: build
	etc/soak.sh $(FUGUE) testdata/bundles $(wildcard $(DATA)/mainnet-blocks/blocks)

.PHONY: generate
generate: build
	rm -rf testdata/bundles
	$(FUGUE) generate --out testdata/bundles --seed 1

.PHONY: generated
generated: build
	rm -rf target/generated
	$(FUGUE) generate --out target/generated --seed 1
	diff -r testdata/bundles target/generated

.PHONY: doc
doc:
	RUSTDOCFLAGS="--deny warnings" cargo doc --release --locked --workspace --no-deps

.PHONY: ci
ci: setup check doc openrpc-if-reachable test generated soak

.PHONY: clean
clean:
	cargo clean
