"""Ways by which a test reaches a second database, as data: each writes to it, or tries to.

A way is a function that is given a :class:`Other`, which has the URL of that database, and the
driver. What it makes is closed by ``other.closing``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import tempfile
import threading
from typing import Any, Callable, Dict, List
from unittest import mock

import sqlalchemy as sa
import sqlalchemy.orm

from dbtestcase import _compat
from tests.holding import driver_url
from tests.support import missing

WRITE = "INSERT INTO kept VALUES (2)"


class Other:
    """A database, and what is needed to reach it."""

    def __init__(self, url: str, own: Any) -> None:
        self.url = url
        self.own = own  # the engine of the test
        self.parsed = sa.engine.url.make_url(url)
        self.driver_name = self.parsed.drivername.partition("+")[2]
        self.driver = __import__(self.driver_name)
        self.closing = contextlib.ExitStack()
        self.early: Dict[str, Any] = {}  # connections and engines that were made before any test

    @property
    def conninfo(self) -> str:
        return driver_url(self.url)

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """Connect by the driver alone."""
        connection = self.driver.connect(*(arguments or (self.conninfo,)), **options)
        self.closing.callback(connection.close)
        return connection

    def engine(self, url: Any = None, **options: Any) -> Any:
        engine = sa.create_engine(url or self.url, **options)
        self.closing.callback(engine.dispose)
        return engine

    def service(self) -> Dict[str, str]:
        """Return the environment by which a service named ``other`` leads here."""
        folder = self.closing.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "services")
        parts = {"dbname": self.parsed.database, "user": self.parsed.username}
        parts.update(host=self.parsed.host or self.parsed.query.get("host"), port=self.parsed.port)
        parts["port"] = parts["port"] or self.parsed.query.get("port")
        with open(path, "w") as file:
            file.write("[other]\n")
            file.writelines("%s=%s\n" % item for item in parts.items() if item[1])
        return {"PGSERVICEFILE": path}


def write(connection: Any, sql: Any = WRITE) -> None:
    """Write by a driver's connection and commit."""
    connection.cursor().execute(sql)
    connection.commit()


def write_by(engine: Any, sql: str = WRITE) -> None:
    """Write by a SQLAlchemy engine and commit."""
    with engine.connect() as connection:
        transaction = connection.begin()
        connection.execute(sa.text(sql))
        transaction.commit()


WAYS: Dict[str, Callable[[Other], Any]] = {}
PSYCOPG2: List[str] = []
PSYCOPG: List[str] = []


def way(function: Callable[[Other], Any]) -> Callable[[Other], Any]:
    WAYS[function.__name__] = function
    return function


def way_of_psycopg2(function: Callable[[Other], Any]) -> Callable[[Other], Any]:
    PSYCOPG2.append(function.__name__)
    return way(function)


def way_of_psycopg(function: Callable[[Other], Any]) -> Callable[[Other], Any]:
    PSYCOPG.append(function.__name__)
    return way(function)


def ways(driver: str) -> Dict[str, Callable[[Other], Any]]:
    """Return those that there are with a driver."""
    others = PSYCOPG if driver == "psycopg2" else PSYCOPG2
    return {name: each for name, each in WAYS.items() if name not in others}


# --- by a driver alone ----------------------------------------------------------------------------


@way
def a_url(other: Other) -> None:
    write(other.connect())


@way
def keywords(other: Other) -> None:
    parts: Dict[str, Any] = {"host": other.parsed.host, "port": other.parsed.port}
    parts.update(dbname=other.parsed.database, user=other.parsed.username)
    parts.update(other.parsed.query)
    write(other.connect("", **{name: value for name, value in parts.items() if value}))


@way
def options_in_the_url(other: Other) -> None:
    sign = "&" if "?" in other.conninfo else "?"
    write(other.connect(other.conninfo + sign + "options=-c%20search_path%3Dpublic"))


@way
def options_that_let_write(other: Other) -> None:
    write(other.connect(other.conninfo, options="-c default_transaction_read_only=off"))


@way
def options_in_the_environment(other: Other) -> None:
    with mock.patch.dict(os.environ, PGOPTIONS="-c default_transaction_read_only=off"):
        write(other.connect())


@way
def a_service_file(other: Other) -> None:
    with mock.patch.dict(os.environ, other.service()):
        write(other.connect("service=other"))


@way
def a_service_of_the_environment(other: Other) -> None:
    with mock.patch.dict(os.environ, dict(other.service(), PGSERVICE="other")):
        write(other.connect(""))


@way
def variables_of_the_environment(other: Other) -> None:
    parsed = other.parsed
    values = {
        "PGHOST": parsed.host or parsed.query.get("host"),
        "PGPORT": parsed.port or parsed.query.get("port"),
        "PGDATABASE": parsed.database,
        "PGUSER": parsed.username,
    }
    with mock.patch.dict(os.environ, {name: str(each) for name, each in values.items() if each}):
        write(other.connect(""))


@way
def autocommit(other: Other) -> None:
    connection = other.connect()
    connection.autocommit = True
    connection.cursor().execute(WRITE)


@way_of_psycopg
def autocommit_from_the_beginning(other: Other) -> None:
    other.connect(other.conninfo, autocommit=True).execute(WRITE)


@way
def many_rows(other: Other) -> None:
    connection = other.connect()
    connection.cursor().executemany("INSERT INTO kept VALUES (%s)", [(2,), (3,)])
    connection.commit()


@way
def a_function(other: Other) -> None:
    write(other.connect(), "SELECT keep_one()")


@way_of_psycopg2
def a_function_by_its_name(other: Other) -> None:
    connection = other.connect()
    connection.cursor().callproc("keep_one")
    connection.commit()


@way
def a_block(other: Other) -> None:
    write(other.connect(), "DO $$ BEGIN INSERT INTO kept VALUES (2); END $$")


@way
def a_common_table_expression(other: Other) -> None:
    write(other.connect(), "WITH a AS (INSERT INTO kept VALUES (2) RETURNING 1) SELECT * FROM a")


@way
def bytes_as_statement(other: Other) -> None:
    write(other.connect(), WRITE.encode())


@way
def a_composed_statement(other: Other) -> None:
    sql = __import__(other.driver_name + ".sql").sql
    write(other.connect(), sql.SQL("INSERT INTO {} VALUES (2)").format(sql.Identifier("kept")))


@way
def a_table(other: Other) -> None:
    write(other.connect(), "CREATE TABLE more (id int)")


@way
def a_truncate(other: Other) -> None:
    write(other.connect(), "TRUNCATE kept")


@way
def a_sequence(other: Other) -> None:
    write(other.connect(), "SELECT nextval('numbers')")


@way
def a_large_object(other: Other) -> None:
    write(other.connect(), "SELECT lo_from_bytea(0, 'x')")


@way
def a_role(other: Other) -> None:
    write(other.connect(), "CREATE ROLE guard_nobody")


@way
def a_database_that_is_not_for_tests(other: Other) -> None:
    connection = other.connect()
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE guard_more")


@way
def a_setting_of_the_server(other: Other) -> None:
    connection = other.connect()
    connection.autocommit = True
    connection.cursor().execute("ALTER SYSTEM SET work_mem = '8MB'")


@way
def a_prepared_statement(other: Other) -> None:
    connection = other.connect()
    connection.cursor().execute("PREPARE p AS INSERT INTO kept VALUES (2)")
    write(connection, "EXECUTE p")


@way_of_psycopg2
def a_copy(other: Other) -> None:
    import io

    connection = other.connect()
    connection.cursor().copy_from(io.StringIO("2\n"), "kept")
    connection.commit()


@way_of_psycopg2
def a_copy_by_a_statement(other: Other) -> None:
    import io

    connection = other.connect()
    connection.cursor().copy_expert("COPY kept FROM STDIN", io.StringIO("2\n"))
    connection.commit()


@way_of_psycopg2
def a_large_object_of_the_driver(other: Other) -> None:
    connection = other.connect()
    connection.lobject(0, "w").write("x")
    connection.commit()


@way_of_psycopg2
def values_put_together(other: Other) -> None:
    from psycopg2.extras import execute_values

    connection = other.connect()
    execute_values(connection.cursor(), "INSERT INTO kept VALUES %s", [(2,)])
    connection.commit()


@way_of_psycopg2
def a_class_of_connections(other: Other) -> None:
    from psycopg2.extras import DictConnection

    connection = other.connect(other.conninfo, connection_factory=DictConnection)
    assert type(connection.cursor()).__name__ == "DictCursor"
    write(connection)


@way_of_psycopg2
def a_class_of_ones_own(other: Other) -> None:
    from psycopg2 import extensions

    class Own(extensions.connection):
        pass

    write(other.connect(other.conninfo, connection_factory=Own))


@way_of_psycopg2
def a_class_of_cursors(other: Other) -> None:
    from psycopg2.extras import RealDictCursor

    write(other.connect(other.conninfo, cursor_factory=RealDictCursor))


@way_of_psycopg2
def a_pool_of_the_driver(other: Other) -> None:
    from psycopg2.pool import ThreadedConnectionPool

    pool = ThreadedConnectionPool(1, 2, other.conninfo)
    other.closing.callback(pool.closeall)
    write(pool.getconn())


@way_of_psycopg
def a_copy_in_blocks(other: Other) -> None:
    connection = other.connect()
    with connection.cursor().copy("COPY kept FROM STDIN") as copy:
        copy.write_row([2])
    connection.commit()


@way_of_psycopg
def a_stream(other: Other) -> None:
    connection = other.connect()
    list(connection.cursor().stream("INSERT INTO kept VALUES (2) RETURNING 1"))
    connection.commit()


@way_of_psycopg
def a_pipeline(other: Other) -> None:
    connection = other.connect()
    with connection.pipeline():
        connection.execute(WRITE)
    connection.commit()


@way_of_psycopg
def a_block_of_the_driver(other: Other) -> None:
    connection = other.connect()
    with connection.transaction():
        connection.execute(WRITE)


@way_of_psycopg
def a_client_side_cursor(other: Other) -> None:
    import psycopg

    write(other.connect(other.conninfo, cursor_factory=psycopg.ClientCursor))


# --- turning it off -------------------------------------------------------------------------------


@way
def a_transaction_that_may_write(other: Other) -> None:
    connection = other.connect()
    connection.cursor().execute("SET TRANSACTION READ WRITE")
    write(connection)


@way
def a_begin_that_may_write(other: Other) -> None:
    connection = other.connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("BEGIN ISOLATION LEVEL SERIALIZABLE, READ/* and */WRITE")
    cursor.execute(WRITE)
    cursor.execute("COMMIT")


@way
def a_session_that_may_write(other: Other) -> None:
    connection = other.connect()
    write(connection, "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
    write(connection)


@way
def a_setting(other: Other) -> None:
    connection = other.connect()
    write(connection, "SET default_transaction_read_only = off")
    write(connection)


@way
def a_setting_by_a_hidden_name(other: Other) -> None:
    connection = other.connect()
    name = ["default_transaction_" + "read_only"]
    connection.cursor().execute("SELECT set_config(%s, 'off', false)", name)
    connection.commit()
    write(connection)


@way
def a_setting_by_a_hidden_name_in_autocommit(other: Other) -> None:
    connection = other.connect()
    connection.autocommit = True
    name = ["default_transaction_" + "read_only"]
    connection.cursor().execute("SELECT set_config(%s, 'off', false)", name)
    connection.cursor().execute(WRITE)


@way
def a_reset_of_all_settings(other: Other) -> None:
    connection = other.connect()
    connection.autocommit = True
    connection.cursor().execute("RESET ALL")
    connection.cursor().execute(WRITE)


@way
def a_session_that_is_as_new(other: Other) -> None:
    connection = other.connect()
    connection.autocommit = True
    connection.cursor().execute("DISCARD ALL")
    connection.cursor().execute(WRITE)


@way
def a_script(other: Other) -> None:
    connection = other.connect()
    connection.autocommit = True
    connection.cursor().execute("DISCARD PLANS; RESET ALL; COMMIT; " + WRITE)


@way
def a_block_that_commits(other: Other) -> None:
    connection = other.connect()
    connection.autocommit = True
    connection.cursor().execute(
        "DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO kept VALUES (2); END $$"
    )


@way_of_psycopg2
def the_drivers_own_setting(other: Other) -> None:
    connection = other.connect()
    connection.set_session(readonly=False)
    write(connection)


@way_of_psycopg2
def the_drivers_own_setting_in_autocommit(other: Other) -> None:
    connection = other.connect()
    connection.set_session(readonly=False, autocommit=True)
    write(connection)


@way_of_psycopg2
def the_drivers_own_reset(other: Other) -> None:
    connection = other.connect()
    connection.reset()
    write(connection)


@way_of_psycopg
def the_drivers_own_attribute(other: Other) -> None:
    connection = other.connect()
    connection.read_only = False
    write(connection)


# --- threads and event loops ----------------------------------------------------------------------


@way
def a_thread(other: Other) -> None:
    errors: List[BaseException] = []

    def work() -> None:
        try:
            write(other.connect())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    raise errors[0]


@way
def an_executor(other: Other) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        executor.submit(lambda: write_by(other.engine())).result()


@way
def an_executor_of_an_event_loop(other: Other) -> None:
    async def work() -> None:
        loop = asyncio.get_event_loop()
        await loop.run_in_executor(None, lambda: write(other.connect()))

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(work())


# --- by SQLAlchemy --------------------------------------------------------------------------------


@way
def an_engine(other: Other) -> None:
    write_by(other.engine())


@way
def an_engine_without_a_pool(other: Other) -> None:
    write_by(other.engine(poolclass=sa.pool.NullPool))


@way
def an_engine_with_one_connection(other: Other) -> None:
    write_by(other.engine(poolclass=sa.pool.StaticPool))


@way
def an_engine_that_pings(other: Other) -> None:
    write_by(other.engine(pool_pre_ping=True))


@way
def an_engine_that_recycles(other: Other) -> None:
    engine = other.engine(pool_recycle=0)
    engine.connect().close()
    write_by(engine)


@way
def an_engine_after_dispose(other: Other) -> None:
    engine = other.engine()
    engine.connect().close()
    engine.dispose()
    write_by(engine)


@way
def an_engine_whose_connection_was_lost(other: Other) -> None:
    engine = other.engine()
    connection = engine.connect()
    connection.invalidate()
    connection.close()
    write_by(engine)


@way
def an_engine_in_autocommit(other: Other) -> None:
    with other.engine(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text(WRITE))


@way
def a_clone_of_an_engine(other: Other) -> None:
    engine = other.engine().execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(WRITE))


@way
def a_connection_in_autocommit(other: Other) -> None:
    with other.engine().connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text(WRITE))


@way
def a_serializable_connection(other: Other) -> None:
    with other.engine().connect() as plain:
        connection = plain.execution_options(isolation_level="SERIALIZABLE")
        transaction = connection.begin()
        connection.execute(sa.text(WRITE))
        transaction.commit()


@way
def a_connection_that_may_write(other: Other) -> None:
    with other.engine().connect() as plain:
        connection = plain.execution_options(postgresql_readonly=False)
        transaction = connection.begin()
        connection.execute(sa.text(WRITE))
        transaction.commit()


@way
def a_savepoint(other: Other) -> None:
    with other.engine().connect() as connection:
        transaction = connection.begin()
        with connection.begin_nested():
            connection.execute(sa.text(WRITE))
        transaction.commit()


@way
def a_session(other: Other) -> None:
    session = sa.orm.Session(bind=other.engine())
    other.closing.callback(session.close)
    session.execute(sa.text(WRITE))
    session.commit()


@way
def a_session_bound_to_a_connection(other: Other) -> None:
    with other.engine().connect() as connection:
        session = sa.orm.Session(bind=connection)
        other.closing.callback(session.close)
        session.execute(sa.text(WRITE))
        session.commit()


@way
def tables(other: Other) -> None:
    metadata = sa.MetaData()
    sa.Table("more", metadata, sa.Column("id", sa.Integer))
    metadata.create_all(other.engine())


@way
def many_rows_of_a_table(other: Other) -> None:
    kept = sa.table("kept", sa.column("id"))
    with other.engine().connect() as connection:
        transaction = connection.begin()
        connection.execute(kept.insert(), [{"id": 2}, {"id": 3}])
        transaction.commit()


@way
def a_raw_connection(other: Other) -> None:
    raw = other.engine().raw_connection()
    other.closing.callback(raw.close)
    write(raw)


@way
def a_detached_connection(other: Other) -> None:
    raw = other.engine().raw_connection()
    dbapi = _compat.dbapi_connection(raw)
    raw.detach()
    other.closing.callback(dbapi.close)
    write(dbapi)


@way
def a_creator(other: Other) -> None:
    write_by(other.engine(creator=lambda: other.driver.connect(other.conninfo)))


@way
def connect_args(other: Other) -> None:
    url = _compat.url_with(other.url, database="")
    write_by(other.engine(url, connect_args={"dbname": other.parsed.database}))


@way
def a_listener_that_leads_here(other: Other) -> None:
    engine = other.engine(_compat.url_with(other.url, database="nowhere_test"))

    @sa.event.listens_for(engine, "do_connect")
    def lead(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
        options.pop("database", None)
        options["dbname"] = other.parsed.database
        return dialect.connect(*arguments, **options)

    write_by(engine)


@way
def a_listener_that_lets_write(other: Other) -> None:
    engine = other.engine()

    @sa.event.listens_for(engine, "connect")
    def let_write(dbapi: Any, record: Any) -> None:
        dbapi.cursor().execute(
            "SELECT set_config('default_transaction_' || 'read_only', 'off', false)"
        )
        dbapi.commit()

    write_by(engine)


@way
def a_listener_that_writes(other: Other) -> None:
    engine = other.engine()
    sa.event.listen(engine, "connect", lambda dbapi, record: write(dbapi))
    engine.connect()


@way
def a_listener_at_the_checkout(other: Other) -> None:
    engine = other.engine()
    sa.event.listen(engine, "checkout", lambda dbapi, record, fairy: write(dbapi))
    engine.connect()


@way
def an_engine_made_before(other: Other) -> None:
    write_by(other.early["engine"])


@way
def a_pooled_connection_made_before(other: Other) -> None:
    raw = other.early["engine"].raw_connection()
    other.closing.callback(raw.close)
    write(raw)


@way
def a_connection_made_before(other: Other) -> None:
    other.early["connection"].rollback()
    write(other.early["connection"])


@way
def a_transaction_begun_before(other: Other) -> None:
    write(other.early["transaction"])


# --- by asyncio -----------------------------------------------------------------------------------


def run_async(work: Any) -> None:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(work)


async def write_async(other: Other, drivername: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(_compat.url_with(other.url, drivername=drivername))
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.text(WRITE))
    finally:
        await engine.dispose()


@way_of_psycopg
def a_connection_for_asyncio(other: Other) -> None:
    async def work() -> None:
        import psycopg

        connection = await psycopg.AsyncConnection.connect(other.conninfo)
        try:
            await connection.execute(WRITE)
            await connection.commit()
        finally:
            await connection.close()

    run_async(work())


@way_of_psycopg
def a_connection_for_asyncio_that_may_write(other: Other) -> None:
    async def work() -> None:
        import psycopg

        connection = await psycopg.AsyncConnection.connect(other.conninfo, autocommit=True)
        try:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute(WRITE)
        finally:
            await connection.close()

    run_async(work())


if not missing("sqlalchemy.ext.asyncio"):

    @way_of_psycopg
    def an_engine_for_asyncio(other: Other) -> None:
        run_async(write_async(other, "postgresql+psycopg"))

    if not missing("asyncpg"):

        @way_of_psycopg
        def an_engine_of_another_driver(other: Other) -> None:
            run_async(write_async(other, "postgresql+asyncpg"))
