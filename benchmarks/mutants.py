"""Whether the tests notice mistakes: plant one at a time, and see whether a test fails.

    python benchmarks/mutants.py [ipn flows http tokens] [--all] [--count 40] [--seed 0]

Each mistake ("mutant") is a small change of one place in a room where money hangs on the code: a
comparison turned round, a limit moved by one, a statement or a keyword left out. The tests of the
room run in a process of their own against the changed module, and must fail. By default a sample is
taken; `--all` takes hours. mutants.txt names the mutants that change nothing that can be observed,
with the reason; any other survivor is a hole in the tests. The goal is 95 % killed.

Invariants: no file is changed, as the mutant is compiled from the changed tree in memory; and no
mutant counts before the unchanged room has passed in the same way.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, NamedTuple

# Loaded once, before the processes part: they cost more than most runs of the tests.
import aiohttp  # noqa: F401  # see above
import attrs  # noqa: F401  # see above
import cattrs  # noqa: F401  # see above
import hypothesis  # noqa: F401  # see above
import pytest

ROOT: Final = Path(__file__).parents[1]
# The files of each room, and the tests that must notice; the quick ones first.
ROOMS: Final[dict[str, tuple[list[str], list[str]]]] = {
    "ipn": (
        ["paycollect/ipn/*.py", "paycollect/_json.py", "paycollect/_signing.py"],
        ["tests/ipn"],
    ),
    "flows": (
        ["paycollect/_flows/*.py"],
        ["tests/flows", "tests/http/test_stray_answers.py", "tests/session"],
    ),
    "http": (
        ["paycollect/_http/*.py"],
        [
            *("tests/http", "tests/test_observe.py", "tests/api/test_hostile.py"),
            *("tests/session", "tests/flows"),
        ],
    ),
    "tokens": (["paycollect/tokens/*.py"], ["tests/tokens", "tests/test_observe.py"]),
}
# What starts other processes, which would not have the mutant, or measures time.
LEFT_OUT: Final = (
    "not megabytes and not loads_neither and not first_used and not blocks_run"
    " and not processes and not does_not_load"
)
SECONDS: Final = 300
KNOWN: Final = Path(__file__).with_name("mutants.txt")

_COMPARE: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitXor: ast.BitOr,
}


class Mutant(NamedTuple):
    """One mistake: where, and what."""

    path: str
    number: int
    line: int
    source: str
    change: str

    @property
    def key(self) -> str:
        """How mutants.txt names it: without the number of the line, which drifts."""
        return f"{self.path} | {self.source} | {self.change}"


class Mutator(ast.NodeTransformer):
    """Walks a module, counts the mistakes that could be made, and makes the one asked for."""

    def __init__(self, wanted: int | None = None) -> None:
        self.wanted = wanted
        self.found: list[tuple[int, str]] = []

    def visit(self, node: ast.AST) -> Any:
        for change, other in _variants(node):
            number = len(self.found)
            self.found.append((getattr(node, "lineno", 0), change))
            if number == self.wanted:
                return ast.copy_location(other, node)
        if isinstance(node, _AS_THEY_ARE) or _is_docstring(node) or _is_for_types(node):
            return node
        if isinstance(node, ast.AnnAssign):  # the annotation is for tools
            if node.value is not None:
                node.value = self.visit(node.value)
            return node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.args.defaults = [self.visit(value) for value in node.args.defaults]
            node.args.kw_defaults = [value and self.visit(value) for value in node.args.kw_defaults]
            node.body = [self.visit(statement) for statement in node.body]
            return node
        return self.generic_visit(node)


# Messages are for people, and what stands in them is no behaviour.
_SENTENCE: Final = re.compile("[a-z,:] [a-z]")
_AS_THEY_ARE: Final = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_for_types(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        is_type = ast.unparse(node.value).startswith(("TypeVar(", "Literal["))
        return is_type or bool(names & {"__all__", "__slots__"})
    return isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"


def _variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Give the mistakes that can be made at one place, each with its words."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        other = ast.Compare(node.left, [_COMPARE[type(node.ops[0])]()], node.comparators)
        yield f"-> {ast.unparse(other)}", other
    elif isinstance(node, ast.BoolOp):
        operator = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield (
            f"{type(node.op).__name__} -> {type(operator).__name__}",
            ast.BoolOp(operator, node.values),
        )
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not left out", node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        swapped = ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
        yield f"-> {ast.unparse(swapped)}", swapped
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.Call):
        for index, keyword in enumerate(node.keywords):
            if keyword.arg is not None:
                rest = node.keywords[:index] + node.keywords[index + 1 :]
                yield f"{keyword.arg}= left out", ast.Call(node.func, node.args, rest)
    else:
        yield from _statements(node)


def _constants(value: object) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(value, bool):
        yield f"{value} -> {not value}", ast.Constant(not value)
    elif isinstance(value, int | float):
        yield f"{value} -> {value + 1}", ast.Constant(value + 1)
    elif isinstance(value, str) and _SENTENCE.search(value):
        return  # a message: see above
    elif isinstance(value, str | bytes) and value:
        other = value + "X" if isinstance(value, str) else value + b"X"
        yield f"{value!r} -> {other!r}", ast.Constant(other)


def _statements(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Raise):
        yield "raise left out", ast.Pass()
    elif isinstance(node, ast.Continue):
        yield "continue -> break", ast.Break()
    elif isinstance(node, ast.Break):
        yield "break -> continue", ast.Continue()
    elif isinstance(node, ast.Return) and node.value is not None:
        if ast.unparse(node.value) != "None":
            yield "-> return None", ast.Return(ast.Constant(None))
    elif _has_an_effect(node):
        yield f"{ast.unparse(node)} left out", ast.Pass()
    elif isinstance(node, ast.If | ast.While) and isinstance(node.test, ast.Name | ast.Call):
        turned = ast.UnaryOp(ast.Not(), node.test)
        kind = ast.If if isinstance(node, ast.If) else ast.While
        yield "condition turned round", kind(turned, node.body, node.orelse)


def _has_an_effect(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)


def mutants_of(path: Path) -> Iterator[Mutant]:
    """List all the mistakes that can be made in a file."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    mutator = Mutator()
    mutator.visit(ast.parse(text))
    name = path.relative_to(ROOT).as_posix()
    for number, (line, change) in enumerate(mutator.found):
        source = lines[line - 1].strip() if line else ""
        yield Mutant(name, number, line, source, " ".join(change.split()))


class _Loader(SourceFileLoader):
    """Compiles one module with its mistake."""

    number: int

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        tree = Mutator(self.number).visit(ast.parse(Path(path).read_bytes()))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds the one module that has a mistake."""

    def __init__(self, mutant: Mutant) -> None:
        parts = Path(mutant.path).with_suffix("").parts
        self._name = ".".join(part for part in parts if part != "__init__")
        self._number = mutant.number

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            loader = _Loader(fullname, spec.origin)
            loader.number = self._number
            spec.loader = loader
        return spec


def start(mutant: Mutant | None, tests: list[str]) -> int:
    """Run the tests in a process of their own, and give its id; it ends with 0 if they pass."""
    pid = os.fork()
    if pid:
        return pid
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(mutant))
    code = 3
    try:
        code = pytest.main([*_QUIETLY, "-k", LEFT_OUT, *_in_order(tests, mutant)])
    finally:
        os._exit(int(code))


# Plain asserts, as pytest's own loader would come before the mutant's; and in the order given.
_QUIETLY: Final = [
    *("-x", "-q", "--tb=no", "--assert=plain"),
    *("-p", "no:cacheprovider", "-p", "no:randomly"),
]


def files_of(tests: list[str]) -> list[str]:
    """List the files of tests; those with many examples last."""
    found = [
        path
        for test in tests
        for path in (
            [ROOT / test] if test.endswith(".py") else sorted((ROOT / test).glob("test_*.py"))
        )
    ]
    slow = ("properties", "storm", "docs")
    return [str(path) for path in sorted(found, key=lambda p: any(w in p.name for w in slow))]


def _in_order(tests: list[str], mutant: Mutant | None) -> list[str]:
    """Put first what is named after the changed file, as it most probably notices."""
    stem = "/" if mutant is None else f"test_{Path(mutant.path).stem}"
    return sorted(tests, key=lambda test: stem not in test)


def survivors(mutants: list[Mutant], tests: list[str], workers: int) -> Iterator[Mutant]:
    """Run the mutants, some at a time, and give those that no test noticed."""
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = iter(mutants)
    while True:
        while len(running) < workers and (mutant := next(waiting, None)) is not None:
            running[start(mutant, tests)] = mutant, time.monotonic()
        if not running:
            return
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            mutant, _ = running.pop(pid)
            if status == 0:
                yield mutant
            continue
        for late, (_, began) in running.items():
            if time.monotonic() - began > SECONDS:  # a mistake that makes the tests hang is noticed
                os.kill(late, signal.SIGKILL)
        time.sleep(0.05)


def known() -> dict[str, str]:
    """Read the survivors that are known to change nothing, each with its reason."""
    rows = [line for line in KNOWN.read_text("utf-8").splitlines() if line and line[0] != "#"]
    return dict(line.rsplit(" || ", 1) for line in rows)


def judge(room: str, count: int | None, seed: int, workers: int) -> bool:
    """Run a sample of a room's mutants, print the survivors, and say whether enough are killed."""
    patterns, folders = ROOMS[room]
    tests = files_of(folders)
    every = [m for pattern in patterns for p in sorted(ROOT.glob(pattern)) for m in mutants_of(p)]
    equivalent = known()
    chosen = [mutant for mutant in every if mutant.key not in equivalent]
    if count is not None and count < len(chosen):
        chosen = random.Random(seed).sample(chosen, count)
    if os.waitpid(start(None, tests), 0)[1] != 0:
        print(f"{room}: the tests fail without any mistake")
        return False
    started = time.monotonic()
    alive = 0
    for mutant in survivors(chosen, tests, workers):
        alive += 1
        print(f"    {mutant.path}:{mutant.line}: {mutant.source}    [{mutant.change}]", flush=True)
    killed = 1 - alive / len(chosen)
    print(
        f"{room}: {len(chosen)} of {len(every)} mutants, {killed:.1%} killed"
        f" in {time.monotonic() - started:.0f} s"
    )
    return killed >= 0.95


def main() -> None:
    """Judge the rooms asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="*", help=f"some of {', '.join(ROOMS)}; all by default")
    parser.add_argument("--all", action="store_true", help="every mutant, instead of a sample")
    parser.add_argument("--count", type=int, default=40, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=0, help="another sample")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    os.chdir(ROOT)
    count = None if options.all else options.count
    good = [
        judge(room, count, options.seed, options.workers) for room in options.rooms or list(ROOMS)
    ]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
