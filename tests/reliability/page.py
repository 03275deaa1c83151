"""The generated part of docs/reliability.md: tables of what the long checks counted, from results/reliability.json."""

from typing import Any

from figures import ROOT, read_figures

from convarium.disk import write_text

PAGE = ROOT / "docs" / "reliability.md"
MARK = "<!-- Everything below is generated from results/reliability.json by `python tests/reliability page`. -->"


def write_page() -> None:
    """Writes the tables anew below the mark."""
    written = PAGE.read_text("utf-8").partition(MARK)[0]
    write_text(PAGE, written + MARK + "\n\n" + tables(read_figures()))


def tables(figures: dict[str, Any]) -> str:
    """The part below the mark: a table of all checks, and one of the fuzzed readers."""
    lines = ["## Figures", "", "| check | counted | broken | day, commit |", "| --- | --- | --- | --- |"]
    for name, found in figures.items():
        counted = "; ".join(f"{key}: {_counts(value)}" for key, value in _shown(name, found).items())
        made = f"{found['measured']}, {', '.join(found.get('commits', [found['commit']]))}"
        lines.append(f"| `{name}` | {counted} | {len(found['broken'])} | {made} |")
    if "fuzz" in figures:
        lines += ["", "| reader | processor seconds | inputs |", "| --- | --- | --- |"]
        for reader, found in figures["fuzz"]["readers"].items():
            lines.append(f"| `{reader}` | {found['seconds']:.0f} | {found['inputs']:,} |")
    systems = ", ".join(dict.fromkeys(found["system"] for found in figures.values()))
    return "\n".join([*lines, "", f"All were made on {systems}.", ""])


def _shown(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    """What of a check's figures the table shows."""
    if name == "fuzz":
        readers = figures["readers"].values()
        total = {"readers": len(readers), "inputs": sum(reader["inputs"] for reader in readers)}
        return total | {"processor seconds": round(sum(reader["seconds"] for reader in readers))}
    hidden = ("broken", "measured", "commit", "commits", "system", "read with new digests")
    return {key: value for key, value in figures.items() if key not in hidden}


def _counts(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_counts(inner)}" for key, inner in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
