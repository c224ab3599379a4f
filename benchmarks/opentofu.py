"""OpenTofu for side-by-side measurements: built from its module, once, into the user's cache folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "v1.12.6"
MODULE = """module bench.local/tofu

go 1.26

require github.com/opentofu/opentofu {version}

replace github.com/hashicorp/hcl/v2 v2.20.1 => github.com/opentofu/hcl/v2 v2.20.2-0.20251021132045-587d123c2828
"""
"""The replacement is the one that OpenTofu's own go.mod makes; a module that is depended upon cannot make it."""
IMPORT = '//go:build tools\n\npackage tools\n\nimport _ "github.com/opentofu/opentofu/cmd/tofu"\n'


def program() -> Path:
    """Return where the program is once it is built."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "dstream-bench" / f"opentofu-{VERSION}" / "tofu"


def build_opentofu() -> Path | None:
    """Return the program, built now or before; None, and a line that says so, where there is no Go."""
    built = program()
    if built.exists():
        return built
    folder = built.parent
    go = shutil.which("go")
    if go is None:
        print("There is no Go here to build OpenTofu with: dstream is measured alone.", file=sys.stderr)
        return None
    print(f"building OpenTofu {VERSION} (once, some minutes) ...", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(MODULE.format(version=VERSION))
    (folder / "tools.go").write_text(IMPORT)
    build = [go, "build", "-ldflags", "-s -w", "-o", "tofu.new", "github.com/opentofu/opentofu/cmd/tofu"]
    for command in ([go, "mod", "tidy", "-e"], build):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"OpenTofu cannot be built: {done.stderr[-2000:]}", file=sys.stderr)
            return None
    (folder / "tofu.new").replace(built)
    return built
