"""Shows a database as ``pg_dump`` does, for comparing two states of it."""

from __future__ import annotations

import os
import re
from typing import Any, List

from .... import binaries
from ....errors import ServerError

# These lines differ from dump to dump: a random key, and the versions.
_IGNORED = re.compile(r"\\(un)?restrict |-- Dumped ")
_SECONDS = 60.0


def dump(dbapi: Any) -> List[str]:
    """Return the sorted lines of a dump, schema and data, of the database of a connection.

    :param dbapi: a driver's connection, for where it leads and as whom.
    :raises ServerError: if there is no ``pg_dump``, or it cannot read the server.
    """
    info = dbapi.info
    environment = dict(os.environ, PGPASSWORD=info.password or "", PGCONNECT_TIMEOUT="5")
    refusal = ""
    for program in binaries.find_programs("pg_dump"):  # an older one refuses a newer server
        done = binaries.run(
            [program, "-h", info.host, "-p", str(info.port), "-U", info.user, "-d", info.dbname],
            _SECONDS,
            env=environment,
        )
        if done.returncode == 0:
            lines = done.stdout.splitlines()
            return sorted(line for line in lines if line and not _IGNORED.match(line))
        refusal = done.stderr.strip()
    raise ServerError(
        'recreate = "compare" compares dumps, and pg_dump %s. Install PostgreSQL\'s client'
        " programs, of the server's version or newer."
        % ("failed: " + refusal if refusal else "is not to be found")
    )
