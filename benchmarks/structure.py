"""The shape of the code in figures, of one checkout or of two side by side: rooms, floors, sizes,
names.

    python benchmarks/structure.py                    # this checkout
    python benchmarks/structure.py ../before .        # two of them, as in docs/decisions.md

Only providers/, thresholds/ and gateway/ are read; nothing is imported or run.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from radon.complexity import cc_visit

PACKAGES = ("providers", "thresholds", "gateway")
LINE_CHARS = 100
MAX_COMPLEXITY = 10
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NO_NOUNS = frozenset(
    [
        "its",
        "their",
        "own",
        "other",
        "others",
        "each",
        "whose",
        "who",
        "what",
        "them",
        "these",
        "those",
        "mine",
        "theirs",
        "told",
        "asked",
        "found",
        "wanted",
        "given",
        "made",
        "kept",
        "seen",
        "known",
        "held",
        "taken",
        "settled",
        "served",
        "spoken",
        "heard",
        "said",
        "shown",
        "drawn",
        "broken",
        "fallen",
        "judged",
        "learned",
        "measured",
        "planned",
        "added",
        "left",
        "gone",
        "lost",
        "dead",
    ]
)
"""Participles and pronouns that have stood as names of variables here."""


class Checkout:
    """The project's modules at one root, parsed once."""

    def __init__(self, root: Path) -> None:
        self.sources = {
            path: path.read_text()
            for package in PACKAGES
            for path in sorted((root / package).rglob("*.py"))
        }
        self.trees = {path: ast.parse(text) for path, text in self.sources.items()}
        self.modules = {
            ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
            for path in self.sources
        }

    def nodes(self) -> Iterator[ast.AST]:
        for tree in self.trees.values():
            yield from ast.walk(tree)

    def imports(self, name: str) -> set[str]:
        """The project's modules that a module imports, wherever in it."""
        names: set[str] = set()
        for node in ast.walk(self.trees[self.modules[name]]):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    submodule = f"{node.module}.{alias.name}"
                    names.add(submodule if submodule in self.modules else node.module)
        return {other for other in names if other in self.modules and other != name}


def room_of(name: str) -> str:
    """providers, thresholds, or what lies directly in gateway/: a folder, or a module by itself."""
    return ".".join(name.split(".")[: 2 if name.startswith("gateway") else 1])


def room_graph(checkout: Checkout) -> dict[str, set[str]]:
    """By room, the rooms that it imports."""
    graph: dict[str, set[str]] = defaultdict(set)
    for name in checkout.modules:
        rooms = {room_of(other) for other in checkout.imports(name)} - {"gateway"}
        graph[room_of(name)] |= rooms - {room_of(name)}
    graph.pop("gateway", None)
    return graph


def floors(graph: Mapping[str, set[str]]) -> int:
    """The length of the longest chain of imports between rooms; an arrow back into the chain ends
    it."""

    @cache
    def level(room: str) -> int:
        if room in below:
            return 0
        below.add(room)
        height = 1 + max((level(other) for other in graph.get(room, ())), default=0)
        below.discard(room)
        return height

    below: set[str] = set()
    return max(level(room) for room in sorted(graph))


def function_lines(checkout: Checkout) -> list[int]:
    """How many lines each function has, its decorators and docstring not counted."""
    lines = []
    for node in checkout.nodes():
        if isinstance(node, FUNCTIONS) and node.end_lineno is not None:
            docstring = ast.get_docstring(node) is not None
            body = node.body[1:] if docstring and len(node.body) > 1 else node.body
            head = body[0].lineno - node.body[0].lineno
            lines.append(node.end_lineno - node.lineno + 1 - head)
    return lines


def complex_functions(checkout: Checkout) -> list[str]:
    """Functions and methods that radon counts above the limit, with their file and figure."""
    rows = []
    for path, text in checkout.sources.items():
        for block in cc_visit(text):
            blocks = [block, *getattr(block, "methods", [])]
            rows += [
                f"{path}:{each.lineno} {each.name} {each.complexity}"
                for each in blocks
                if each.complexity > MAX_COMPLEXITY and each.letter != "C"
            ]
    return sorted(set(rows))


def homonyms(checkout: Checkout) -> dict[str, int]:
    """Class names that two or more modules define, and how many do."""
    counts = Counter(
        node.name
        for tree in checkout.trees.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    plugins = {"Options", "Rule"}  # each provider's and each rule's, by their contract
    return {name: count for name, count in counts.items() if count > 1 and name not in plugins}


def nested_comprehensions(checkout: Checkout) -> list[str]:
    """Comprehensions within another one's body, with their file and line."""
    rows = []
    for path, tree in checkout.trees.items():
        for outer in ast.walk(tree):
            if isinstance(outer, COMPREHENSIONS):
                inner = [
                    each
                    for each in ast.walk(outer)
                    if each is not outer and isinstance(each, COMPREHENSIONS)
                ]
                rows += [f"{path}:{each.lineno}" for each in inner]
    return sorted(set(rows))


def bindings(checkout: Checkout) -> list[str]:
    """Every name that is bound to a value: variables, parameters, targets of loops."""
    names = []
    for node in checkout.nodes():
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.arg):
            names.append(node.arg)
    return names


def spread(values: Sequence[int]) -> str:
    """Median, ninth decile and maximum."""
    deciles = statistics.quantiles(values, n=10)
    return f"{statistics.median(values):.0f} / {deciles[-1]:.0f} / {max(values)}"


def figures(root: Path) -> dict[str, str]:
    checkout = Checkout(root)
    graph = room_graph(checkout)
    folders = Counter(path.parent for path in checkout.sources)
    fullest = folders.most_common(1)[0]
    lines = [line for text in checkout.sources.values() for line in text.splitlines()]
    names = bindings(checkout)
    strange = sum(name.strip("_") in NO_NOUNS for name in names)
    return {
        "modules": str(len(checkout.modules)),
        "modules in the fullest folder": f"{fullest[1]} ({fullest[0].relative_to(root)}/)",
        "rooms of the gateway": str(sum(room.startswith("gateway.") for room in graph)),
        "floors of rooms": str(floors(graph)),
        "arrows between rooms": str(sum(map(len, graph.values()))),
        "lines": str(len(lines)),
        "lines a file (median / p90 / max)": spread(
            [len(text.splitlines()) for text in checkout.sources.values()]
        ),
        "lines a function (median / p90 / max)": spread(function_lines(checkout)),
        f"functions of complexity over {MAX_COMPLEXITY}": str(len(complex_functions(checkout))),
        "class names of two or more modules": str(len(homonyms(checkout))),
        f"lines over {LINE_CHARS} columns": str(sum(len(line) > LINE_CHARS for line in lines)),
        "`fmt: skip`": str(sum("# fmt: skip" in line for line in lines)),
        "nested comprehensions": str(len(nested_comprehensions(checkout))),
        "bindings named by a participle or pronoun": f"{strange} of {len(names)}",
    }


def commit_of(root: Path) -> str:
    """The short name of the commit that is checked out there."""
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("roots", nargs="*", type=Path, default=[Path(__file__).parents[1]])
    parser.add_argument("--list", action="store_true", help="also list what is over a limit")
    options = parser.parse_args()
    columns = [figures(root.resolve()) for root in options.roots]
    print("| | " + " | ".join(commit_of(root) for root in options.roots) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(column[name] for column in columns) + " |")
    if options.list:
        checkout = Checkout(options.roots[-1].resolve())
        rows = [f"{name}: {count} modules" for name, count in sorted(homonyms(checkout).items())]
        print("\n".join([*complex_functions(checkout), *nested_comprehensions(checkout), *rows]))


if __name__ == "__main__":
    main()
