# What one does with dstream, each target setting up what it needs in .venv by itself. POSIX sh, GNU make 3.81.
SHELL = /bin/sh
PYTHON =
WORKERS = 6
RUN = .venv/bin/python
# Hundreds of Python processes are started here: byte code is worth keeping, whatever the machine's habit is.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@echo 'make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' Makefile | while read -r name text; do printf '  %-9s %s\n' "$$name" "$$text"; done

setup: ## Make or refresh the environment .venv (every other target does)
	@PYTHON='$(PYTHON)' sh .ci/setup.sh

demo: ## The main job as a story: PostgreSQL to JSON Lines, on this machine alone
	@PYTHON='$(PYTHON)' sh .ci/setup.sh demo
	@$(RUN) -m examples.demo

try-azure: setup ## Check on your Azure subscription what was modelled (docs/try-azure.md; it costs cents, and asks)
	@$(RUN) -m examples.try_azure $(ARGS)

azure: setup ## Add to .venv what the tests over pulumi-azure-native need (`make test` does)
	@PYTHON='$(PYTHON)' sh .ci/setup.sh azure

test: azure ## Run the tests, with a real PostgreSQL and Azurite of their own
	@$(RUN) -m tests.services.azurite --install
	@$(RUN) -m tests.services.registry --install
	$(RUN) -m pytest -n $(WORKERS) --maxprocesses $(WORKERS) --dist worksteal --second-attempt $(ARGS)

quick: setup ## Run the tests that start no program and need no service, in less than a minute
	$(RUN) -m pytest --quick -n auto --maxprocesses 4 $(ARGS)

coverage: setup ## Measure the branch coverage of the quick tests; fail below the floor in pyproject.toml, or raise it
	$(RUN) -m pytest --quick --hypothesis-profile default -n auto --maxprocesses 4 --cov \
		--cov-report=term $(ARGS)
	@$(RUN) .ci/raise_floor.py

check: setup ## Lint, check workflows, spelling and types, and hold the import contracts
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	.venv/bin/codespell
	.venv/bin/zizmor --offline --quiet --persona=pedantic .github
	$(RUN) -m mypy
	.venv/bin/lint-imports
	$(RUN) .ci/imports.py

audit: setup ## Look up known vulnerabilities of the pinned packages (needs a network)
	@$(RUN) .ci/audit.py

hooks: setup ## Install the git hooks of .pre-commit-config.yaml
	$(RUN) -m pre_commit install

bench: setup ## Measure start-up and data path (benchmarks/README.md says how)
	$(RUN) -m benchmarks

soak: setup ## Kill processes at random for a long time; no change may be lost
	$(RUN) -m pytest -n $(WORKERS) --maxprocesses 4 -m soak --timeout 3600 $(ARGS)

fuzz: setup ## Feed the parsers odd input for a long time
	$(RUN) -m pytest -n $(WORKERS) --maxprocesses 4 tests/fuzz --timeout 3600 $(ARGS)

lock: setup ## Renew requirements.lock from the pyproject.toml files
	$(RUN) .ci/lock.py

build: setup ## Build wheels and single files of engine, SDK and providers to dist/
	$(RUN) .ci/release.py build

freeze: setup ## After build: one file with Python in it for each other provider, for this platform, to dist/
	$(RUN) .ci/release.py freeze

images: setup ## Build images of the providers (ENGINE=docker|podman; PUSH=1 pushes to REGISTRY)
	$(RUN) .ci/release.py images

publish: setup ## Push the providers in dist/ to REGISTRY
	$(RUN) .ci/release.py publish

notes: setup ## Write the release notes to dist/NOTES.md
	$(RUN) .ci/release.py notes

checksums: setup ## Write dist/SHA256SUMS
	$(RUN) .ci/release.py checksums

clean: ## Remove .venv and everything else that was made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo try-azure azure test quick coverage check audit hooks bench soak fuzz lock build freeze images publish notes checksums clean
