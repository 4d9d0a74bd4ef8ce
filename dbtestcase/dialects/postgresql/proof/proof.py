"""What the catalog allows to prove by the ledger, and from which moment on it is proved."""

from __future__ import annotations

from typing import FrozenSet, Optional

from ....connections import forbid_functions
from ..sessions import Control, Snapshot
from .ledger import LEDGER, Key, Point

# Functions that may do anything: not those of the system, and not procedures, which no harmless
# statement calls. One that is not volatile may only read, but could still call one of these.
_VOLATILE = """
SELECT oid::bigint, proname::text FROM pg_proc
 WHERE oid >= 16384 AND provolatile = 'v' AND prokind <> 'p'
"""
_GUILT = """
SELECT EXISTS (SELECT FROM pg_foreign_table)
    OR EXISTS (SELECT FROM pg_trigger WHERE tgtype & 64 <> 0)
    OR EXISTS (SELECT FROM pg_rewrite WHERE ev_type <> '1' AND ev_class >= 16384)
    OR EXISTS (SELECT FROM pg_class WHERE relkind IN ('r', 'm') AND relam <> 2)
    OR EXISTS (SELECT FROM pg_rewrite WHERE ev_class >= 16384
                  AND pg_get_viewdef(ev_class) ~* '{suspect}')
    OR EXISTS (SELECT FROM pg_attrdef WHERE pg_get_expr(adbin, adrelid) ~* '{suspect}')
    OR EXISTS (SELECT FROM pg_constraint
                WHERE contype = 'c' AND pg_get_constraintdef(oid) ~* '{suspect}')
    OR EXISTS (SELECT FROM pg_policy)
    OR EXISTS (SELECT FROM pg_trigger WHERE tgqual IS NOT NULL)
    OR EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_proc'::regclass
                  AND refobjid = ANY ('{%(volatile)s}'::oid[]))
    OR '{%(volatile)s}' <> '{}' AND EXISTS (
       SELECT FROM pg_proc JOIN pg_language l ON l.oid = prolang
        WHERE pg_proc.oid >= 16384 AND provolatile <> 'v' AND lanname NOT IN ('c', 'internal'))
""".replace("{suspect}", "\\m(pg_|lo_|information_schema|setval)")

#: A question with the answer NULL while nothing reports rows that it does not write here.
STILL_INNOCENT = """CASE WHEN EXISTS (SELECT FROM pg_foreign_table)
    OR EXISTS (SELECT FROM pg_trigger WHERE tgtype & 64 <> 0) THEN '{key}=0' END"""


def forbidden_names(control: Control) -> Optional[FrozenSet[str]]:
    """Return the functions that a harmless statement does not name.

    :return: ``None`` where the catalog does not allow to tell harmless statements by their text.
    """
    rows = control.execute(_VOLATILE)
    ((guilty,),) = control.execute(_GUILT % {"volatile": ",".join(str(oid) for oid, _ in rows)})
    return None if guilty else frozenset(name for _, name in rows)


class Proof:
    """Whether it is proved, without a look at the catalog, that it is still the right one.

    :param control: the connection that asks what the catalog allows to prove.
    """

    def __init__(self, control: Control) -> None:
        names = forbidden_names(control)
        self.possible = names is not None
        forbid_functions(names or frozenset())
        #: The last moment from which ids are counted, if there is one.
        self.point: Optional[Point] = None

    def holds(self, snapshot: Snapshot, counted: int) -> bool:
        """Tell whether all ids that were used since the last point are known to be harmless.

        :param snapshot: what the server said in a look.
        :param counted: what the ledger had counted before that look was asked for.
        """
        if self.point is None or snapshot.open:
            return False
        used = snapshot.xmax - self.point.next - self.point.ours
        return used == 0 or (self.possible and used == counted - self.point.counted)

    def is_untouched(self, snapshot: Snapshot) -> bool:
        """Tell whether no id was used since the last point, so that nothing at all was written."""
        point = self.point
        return point is not None and not snapshot.open and snapshot.xmax == point.next + point.ours

    def begin(self, key: Key, snapshot: Snapshot) -> None:
        """Count from this look on, in which the catalog was the right one."""
        self.point = LEDGER.point(key, snapshot)

    def spend(self) -> None:
        """Know that the control connection used one id since, and wrote nothing but rows."""
        if self.point is not None:
            self.point = self.point._replace(ours=self.point.ours + 1)

    def end(self) -> None:
        """Prove nothing until the catalog was looked at again."""
        self.point = None
