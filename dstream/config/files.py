"""load: reads the files of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dstream.config.blocks import Config
from dstream.config.decode.decoder import Decoder
from dstream.config.syntax.parser import parse_text
from dstream.diagnostics import Diagnostic, DiagnosticsError, error, has_errors
from dstream.files import LARGEST_TEXT, read_file

Refuse = Callable[[Path], Diagnostic | None]
"""Returns the error for a file that must not be read, None for any other."""


def load(path: Path, *, empty: bool = False, refuse: Refuse | None = None) -> Config:
    """Return the configuration in a file, or in all *.hcl files of a folder, which must have one.

    With `empty`, a folder without files is an empty configuration. A file for which `refuse` returns an error is not
    read. Raise DiagnosticsError with all errors in all files;
    its `sources` has their texts.
    """
    texts, problems = _texts(path, empty=empty, refuse=refuse)
    decoder = Decoder(path if path.is_dir() else path.parent)
    for filename, text in texts.items():
        decoder.add(parse_text(text, filename))
    problems.extend(decoder.diagnostics)
    if has_errors(problems):
        raise ConfigError(problems, texts)
    return decoder.finish()


def load_text(text: str, filename: str = "dstream.hcl", root: Path | None = None) -> Config:
    """Return the configuration in a text; raise DiagnosticsError like `load`."""
    decoder = Decoder(root or Path())
    decoder.add(parse_text(text, filename))
    if has_errors(decoder.diagnostics):
        raise ConfigError(decoder.diagnostics, {filename: text})
    return decoder.finish()


class ConfigError(DiagnosticsError):
    """An invalid configuration; `sources` has the texts that the diagnostics refer to."""

    def __init__(self, diagnostics: list[Diagnostic], sources: dict[str, str]) -> None:
        """Take the diagnostics and the texts by file name."""
        super().__init__(diagnostics)
        self.sources = sources


def _instead(folder: Path) -> str:
    """Return the hint with files of Terraform in a folder, or with a folder in it that has a configuration."""
    foreign = sorted(file.name for pattern in ("*.tf", "*.tofu") for file in folder.glob(pattern))
    if foreign:
        return f" It has {foreign[0]}: dstream reads files that end in .hcl, and not those of Terraform."
    inner = sorted({file.parent.name for file in folder.glob("*/*.hcl") if not file.parent.name.startswith(".")})
    return f" There is one in {' and '.join(inner[:3])}: add -c {inner[0]}." if inner else ""


def _texts(path: Path, *, empty: bool, refuse: Refuse | None) -> tuple[dict[str, str], list[Diagnostic]]:
    problems: list[Diagnostic] = []
    if path.is_dir():
        files = sorted(file for file in path.glob("*.hcl") if file.is_file() and not file.name.startswith("."))
        if not files and not empty:
            detail = (
                f"The folder {path.resolve()} has no .hcl file.{_instead(path)} Change to the folder of the "
                "configuration, name it with -c FOLDER, or create dstream.hcl."
            )
            raise DiagnosticsError(error("No configuration", detail))
    elif path.exists():
        files = [path]
    else:
        raise DiagnosticsError(error("No configuration", f"{path} does not exist. Name a file or a folder with -c."))
    texts: dict[str, str] = {}
    for file in files:
        if refuse is not None and (refused := refuse(file)) is not None:
            problems.append(refused)
            continue
        try:
            texts[str(file)] = read_file(file, LARGEST_TEXT).decode("utf-8")
        except OSError as problem:
            problems.append(error("Unreadable file", f"{file}: {problem.strerror}."))
        except UnicodeDecodeError as problem:
            detail = f"{file} is not valid UTF-8 at byte {problem.start}. Save the file as UTF-8."
            problems.append(error("File not in UTF-8", detail))
    return texts, problems
