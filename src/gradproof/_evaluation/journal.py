"""A journal of a check: every value as it arrives, in one SQLite file, so that a run that was killed goes on.

A check is a function of what was given and of the values of its evaluations. Going on means to make it again: each value
that the journal holds is taken from there, and so every decision is the one that was taken before. Numbers and text only
are kept; nothing in the file is ever executed or unpickled.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradproof._evaluation.batches import NOISES, SUMMATION
from gradproof._evaluation.site import Outcome
from gradproof._numerics.statistics import within
from gradproof._problem.problem import Problem
from gradproof._words.errors import JournalError
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.settings import Settings
from gradproof._words.vectors import FloatArray, norm

APPLICATION: Final = 0x67726A6C
"""Marks an SQLite file as a journal of ours ("grjl")."""
VERSION: Final = 1
"""Of the tables below."""
LONG_CALL: Final = 1.0
"""Seconds a call from which on each value is on the disk before the next one is asked for: 6 ms then are nothing. Below,
a value outlives the process at once, and a loss of power only from the next checkpoint on."""
TABLES: Final = """
CREATE TABLE run (
  id INTEGER PRIMARY KEY, verb TEXT NOT NULL, place INTEGER NOT NULL, started TEXT DEFAULT CURRENT_TIMESTAMP,
  identity TEXT NOT NULL, claim TEXT, base BLOB, seconds REAL, verdict TEXT, report TEXT, UNIQUE (verb, place));
CREATE TABLE evaluation (
  run INTEGER NOT NULL REFERENCES run, key BLOB NOT NULL, recipe TEXT NOT NULL, step REAL NOT NULL, vals BLOB,
  error TEXT NOT NULL, mark BLOB NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (run, key));
"""
RECIPE_SHOWN: Final = 300
"""Characters of a recipe that are kept to be shown."""
DIGESTS: Final = ("point", "claim")
"""Parts of an identity that say nothing to a reader."""
Identity = Mapping[str, Any]
"""What makes a run this one, by the words in which a user would say it: JSON values."""


class Journal:
    """One file, one writer: the checking process.

    Parameters
    ----------
    path
        Made where it does not exist.

    Raises
    ------
    JournalError
        Where it cannot be opened, is none of ours, or another process is writing to it.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.lock: sqlite3.Connection | None = None
        with self.told():
            self.lock = self._locked()
            try:
                self.connection = sqlite3.connect(self.path, isolation_level=None, timeout=0, check_same_thread=False)
                self._prepare()
            except BaseException:
                self.close()
                raise

    def _locked(self) -> sqlite3.Connection:
        """Return what holds a lock of the operating system until this process ends, however it ends."""
        beside = self.path.with_name(self.path.name + "-lock")
        if not self.path.parent.is_dir():
            raise JournalError(
                f"there is no directory {self.path.parent}", where=f"journal={str(self.path)!r}", remedy="Make it first"
            )
        lock = sqlite3.connect(beside, isolation_level=None, timeout=0, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise JournalError(
                    "another process is writing to it",
                    where=f"journal={str(self.path)!r}",
                    meaning="A journal has one writer, so that no value is lost",
                    remedy="Wait until that check is over, or name another file",
                ) from error
            raise
        return lock

    def _prepare(self) -> None:
        connection = self.connection
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application, version = _stamp(connection)
        if tables and (application, version) != (APPLICATION, VERSION):
            raise not_ours(self.path, application, version)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            script = f"BEGIN; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
            connection.executescript(script)
        connection.execute(f"PRAGMA user_version = {VERSION}")  # a file that can be read only says so now

    def close(self) -> None:
        """Close the file; its lock ends."""
        if (connection := getattr(self, "connection", None)) is not None:
            connection.close()
        if self.lock is not None:
            self.path.with_name(self.path.name + "-lock").unlink(missing_ok=True)
            self.lock.close()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say in a sentence what SQLite raises.

        Raises
        ------
        JournalError
        """
        try:
            yield
        except sqlite3.Error as error:
            meaning, remedy = _EXPLAINED.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, _OTHERWISE)
            raise JournalError(
                str(error), where=f"journal={str(self.path)!r}", meaning=meaning, remedy=remedy
            ) from error

    def execute(self, statement: str, *values: Any) -> Any:
        """Run a statement; return its first row."""
        with self.told():
            return self.connection.execute(statement, values).fetchone()

    def seed(self) -> int | None:
        """Return the seed of the runs that are here."""
        found = self.execute("SELECT identity FROM run ORDER BY id LIMIT 1")
        return None if found is None else int(json.loads(found[0])["seed"])

    def run(
        self, verb: str, place: int, problem: Problem, noun: str, function: Any, claim: Any, settings: Settings
    ) -> Run:
        """Return a run, begun or gone on with; the other arguments are what it belongs to."""
        identity = {
            noun: name_of(function),
            "point": digest_of([repr([(b.name, b.shape, b.dtype) for b in problem.all_blocks]), *problem.values]),
            "claim": name_of(claim) if callable(claim) else "",
            "blocks": [block.name for block in problem.blocks],
            **{name: getattr(settings, name) for name in ("tolerance", "confidence", "strategy", "budget", "seed")},
        }
        return self.identified(verb, place, identity)

    def identified(self, verb: str, place: int, identity: Identity) -> Run:
        """Return the run of an identity, begun or gone on with.

        Raises
        ------
        JournalError
            Where the file has that run of another problem.
        """
        text = json.dumps(identity)
        first = self.execute("SELECT identity FROM run WHERE place = ? ORDER BY verb <> ?, id LIMIT 1", place, verb)
        own = self.execute("SELECT id, identity FROM run WHERE verb = ? AND place = ?", verb, place)
        if first is not None:
            there = json.loads(first[0])
            # Of another check of the same function nothing but the point is alike.
            self.compare(there if own else {"point": there["point"]}, identity)
        if own is None:
            self.execute("INSERT INTO run (verb, place, identity) VALUES (?, ?, ?)", verb, place, text)
            own = self.execute("SELECT id FROM run WHERE verb = ? AND place = ?", verb, place)
        with self.told():
            keys = self.connection.execute("SELECT key FROM evaluation WHERE run = ?", (own[0],)).fetchall()
        return Run(self, int(own[0]), identity, frozenset(key for (key,) in keys))

    def compare(
        self, there: Identity, identity: Identity, meaning: str = "Values of one check prove nothing in another"
    ) -> None:
        """Raise where a run is another one's, naming what differs."""
        differs = [name for name in there if there[name] != identity.get(name)]
        if differs:
            seen = ", ".join(
                f"another {name}" if name in DIGESTS else f"{name} {identity.get(name)}, there {there[name]}"
                for name in differs
            )
            raise JournalError(
                f"it belongs to another check: {seen}",
                where=f"journal={str(self.path)!r}",
                meaning=meaning,
                remedy="Give what that check was given, or name another file",
            )


@dataclass(slots=True)
class Run:
    """One point's check in a journal.

    Parameters
    ----------
    journal, number
        Where it is.
    identity
        What it belongs to.
    keys
        Of the calls that were known when it was begun, or gone on with.
    """

    journal: Journal
    number: int
    identity: Identity
    keys: frozenset[bytes]

    def claims(self, blocks: Sequence[FloatArray]) -> None:
        """Note the claimed gradient's values, or compare them with those that were noted."""
        digest = digest_of(blocks)
        there = self.journal.execute("SELECT claim FROM run WHERE id = ?", self.number)[0]
        if there is None:
            self.journal.execute("UPDATE run SET claim = ? WHERE id = ?", digest, self.number)
        else:
            self.journal.compare({"claim": there}, {"claim": digest}, "A claim that differs from call to call has none")

    def base(self, values: FloatArray, seconds: float) -> FloatArray:
        """Note F(θ), or compare it with the one that was noted, and return that.

        It may differ by what sums in another order do, or by what the calls at the point itself have shown.

        Raises
        ------
        JournalError
            Where it is that of another function.
        """
        if seconds >= LONG_CALL:
            self.journal.execute("PRAGMA synchronous = FULL")
        found = self.journal.execute("SELECT base FROM run WHERE id = ?", self.number)[0]
        if found is None:
            update = "UPDATE run SET base = ?, seconds = ? WHERE id = ?"
            self.journal.execute(update, _blob(values), seconds, self.number)
            return values
        there = _values(found)
        if there.shape != values.shape:
            self.journal.compare({"number of outputs": there.size}, {"number of outputs": values.size})
        rows = self.journal.connection.execute(
            "SELECT vals FROM evaluation WHERE run = ? AND recipe = '' AND vals IS NOT NULL", (self.number,)
        )
        scatter = max((norm(_values(row[0]) - there) for row in rows), default=0.0)
        rounding = UNIT_ROUNDOFF["float64"] * norm(there)
        if not within(norm(values - there), SUMMATION * rounding + NOISES * scatter):
            name = "value at the point" if there.size == 1 else "norm at the point"
            was, now = (float(v[0]) if v.size == 1 else norm(v) for v in (there, values))
            self.journal.compare({name: was}, {name: now}, "It is another function, or a random one")
        return there

    def recall(self, key: bytes) -> Outcome | None:
        """Return what was known of a call before this process began."""
        if key not in self.keys:
            return None
        found = self.journal.execute(
            "SELECT vals, error, mark, seconds FROM evaluation WHERE run = ? AND key = ?", self.number, key
        )
        if found is None:
            return None
        vals, error, mark, seconds = found
        return Outcome(None if vals is None else _values(vals), error, mark=mark, seconds=seconds)

    def record(self, key: bytes, recipe: str, step: float, outcome: Outcome) -> None:
        """Keep what came of a call: it is safe when this returns."""
        values = None if outcome.values is None else _blob(outcome.values)
        error = outcome.error.encode(errors="backslashreplace").decode()  # lone surrogates are no text to SQLite
        text = recipe if len(recipe) <= RECIPE_SHOWN else recipe[:RECIPE_SHOWN] + " …"
        self.journal.execute(
            "INSERT OR REPLACE INTO evaluation VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(self.number, key, text, step, values, error, outcome.mark, outcome.seconds),
        )

    def conclude(self, verdict: str, report: str) -> None:
        """Keep the report."""
        self.journal.execute("UPDATE run SET verdict = ?, report = ? WHERE id = ?", verdict, report, self.number)


@dataclass(frozen=True, slots=True)
class Kept:
    """A run, as a journal has it.

    Parameters
    ----------
    verb, place, started
        Which check, at which of its points, begun when (UTC).
    identity
        What it belongs to.
    evaluations, failed
        Values that are kept, that at the point included; calls that failed.
    seconds
        That the calls took.
    verdict, report
        "" as long as it is not over; the report in JSON.
    """

    verb: str
    place: int
    started: str
    identity: Identity
    evaluations: int
    failed: int
    seconds: float
    verdict: str
    report: str


def read_runs(path: str) -> list[Kept]:
    """Read the runs of a journal, while one is going on, too.

    Raises
    ------
    JournalError
        Where it cannot be read.
    """
    if not Path(path).is_file():
        raise JournalError("there is no such file", where=f"{path}", remedy="Name the journal= of a check")
    try:
        connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
        try:
            application, version = _stamp(connection)
            if (application, version) != (APPLICATION, VERSION):
                raise not_ours(Path(path), application, version)
            rows = connection.execute(
                "SELECT verb, place, started, identity, count(key) + (base IS NOT NULL), coalesce(sum(vals IS NULL AND key IS NOT NULL), 0), "
                "coalesce(sum(evaluation.seconds), 0) + coalesce(run.seconds, 0), coalesce(verdict, ''), "
                "coalesce(report, '') FROM run LEFT JOIN evaluation ON run = id GROUP BY id ORDER BY id"
            ).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise explained(error, Path(path)) from error
    return [
        Kept(verb, place, started, json.loads(identity), evaluations, failed, seconds, verdict, report)
        for verb, place, started, identity, evaluations, failed, seconds, verdict, report in rows
    ]


def _stamp(connection: sqlite3.Connection) -> tuple[int, int]:
    application, version = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
    )
    return application, version


def explained(error: sqlite3.Error, path: Path) -> JournalError:
    """Return what SQLite says as a sentence for people."""
    meaning, remedy = _EXPLAINED.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, _OTHERWISE)
    return JournalError(str(error), where=f"journal={str(path)!r}", meaning=meaning, remedy=remedy)


def not_ours(path: Path, application: int, version: int) -> JournalError:
    """Return what is said of a file that is no journal, or one of another version."""
    ours = application == APPLICATION
    return JournalError(
        f"it is a journal of version {version}" if ours else "it is an SQLite file, but no journal of gradproof",
        where=f"journal={str(path)!r}",
        meaning=f"This gradproof writes version {VERSION}" if ours else "What it holds is left as it is",
        remedy="Name another file",
    )


_OTHERWISE: Final = ("The journal cannot be used; what it holds is left as it is", "Name another file")
_EXPLAINED: Final = {
    sqlite3.SQLITE_FULL: ("The disk is full; every value that is in the journal stays", "Make room, and call again"),
    sqlite3.SQLITE_IOERR: ("The disk cannot be written; what is in the journal stays", "Make room, and call again"),
    sqlite3.SQLITE_READONLY: ("The values of this check could not be kept", "Make the file writable, or name another"),
    sqlite3.SQLITE_CANTOPEN: ("The file, or one beside it, cannot be opened for writing", "Name another file"),
    sqlite3.SQLITE_NOTADB: ("It is no SQLite file, and is left as it is", "Name another file"),
    sqlite3.SQLITE_CORRUPT: ("The file is damaged, and no value of it can be trusted", "Name another file"),
    sqlite3.SQLITE_BUSY: ("Another process has it open", "Wait until that is over, or name another file"),
    sqlite3.SQLITE_LOCKED: ("Another process has it open", "Wait until that is over, or name another file"),
}
"""What SQLite's codes mean for a check, and what to do."""


def _blob(values: FloatArray) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def _values(blob: bytes) -> FloatArray:
    return np.frombuffer(blob, dtype="<f8").astype(np.float64)


# -- what a run belongs to ---------------------------------------------------------------------------------------------


def digest_of(arrays: Sequence[Any]) -> str:
    """Return a short digest of some flat arrays' values."""
    digest = blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes() + b"|")
    return digest.hexdigest()


def name_of(function: Callable[..., Any]) -> str:
    """Return a function's name, as its author gave it; never its source."""
    while hasattr(function, "func"):  # a partial
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__qualname__))
