from __future__ import annotations

import os
import shutil
import sys
import tempfile
import textwrap
import types
import unittest

import sqlalchemy as sa
from sqlalchemy.dialects import registry, sqlite

from dbtestcase import ConfigurationError, DatabaseTestCase
from dbtestcase.declared import config
from tests import models, support


class Testing:
    __test__ = False
    TESTING = True
    SQLALCHEMY_DATABASE_URI = "sqlite://"
    MARK = "class"


class WithProperty:
    TESTING = True

    @property
    def SQLALCHEMY_DATABASE_URI(self):
        return "sqlite://"


class LoadTest(unittest.TestCase):
    def setUp(self):
        self.app = models.make_app(models.library().db, "sqlite://")
        self.before = dict(self.app.config)

    def loaded(self, given):
        put_back = config.load(self.app, given)
        found = dict(self.app.config)
        put_back()
        self.assertEqual(dict(self.app.config), self.before)
        return found

    def test_an_import_string_of_a_class(self):
        self.assertEqual(self.loaded("tests.test_config.Testing")["MARK"], "class")

    def test_an_import_string_of_a_module(self):
        module = types.ModuleType("settings_of_a_test")
        module.MARK, module.lower = "module", 1
        sys.modules[module.__name__] = module
        self.addCleanup(sys.modules.pop, module.__name__)
        self.assertEqual(self.loaded("settings_of_a_test")["MARK"], "module")
        self.assertNotIn("lower", self.loaded(module))

    def test_a_class_and_an_instance(self):
        self.assertEqual(self.loaded(Testing)["MARK"], "class")
        self.assertEqual(self.loaded(WithProperty())["SQLALCHEMY_DATABASE_URI"], "sqlite://")

    def test_a_mapping_without_its_lower_case_names(self):
        found = self.loaded({"MARK": "mapping", "lower": 1})
        self.assertEqual(found["MARK"], "mapping")
        self.assertNotIn("lower", found)

    def test_settings_that_it_does_not_name_stay(self):
        self.app.config["OTHER"] = 1
        self.before["OTHER"] = 1
        self.assertEqual(self.loaded({"MARK": 1})["OTHER"], 1)

    def test_one_without_any_setting_is_an_error(self):
        with self.assertRaises(ConfigurationError) as raised:
            config.load(self.app, {"testing": True})
        self.assertEqual(
            str(raised.exception),
            "the configuration the mapping given as config holds no setting: Flask reads upper-case"
            " names only, such as SQLALCHEMY_DATABASE_URI. Did you mean another object?",
        )

    def test_one_that_cannot_be_imported_is_an_error(self):
        for name in ("no_such_module.Testing", "tests.test_config.NoSuchClass"):
            with self.assertRaises(ConfigurationError) as raised:
                config.load(self.app, name)
            self.assertIn("the configuration %r cannot be imported: " % name, str(raised.exception))


class PlainEngineTest(support.Outcomes):
    def case(self, **attributes):
        def test_one(self):
            pass

        return type("Case", (DatabaseTestCase,), dict(attributes, test_one=test_one))

    def test_another_dialect_is_refused_with_and_without_its_driver(self):
        for url in (
            "mysql+nosuchdriver://u:secret@h/app_test",
            "nosuchdialect://u:secret@h/app_test",
        ):
            message = self.message_of(self.case(engine=url, metadata=sa.MetaData()))
            self.assertTrue(
                message.startswith("UnsupportedDatabaseError: cannot reset a "), message
            )
            self.assertNotIn("secret", message)

    def test_another_dialect_that_works_is_refused(self):
        registry.register("otherdb", __name__, "OtherDialect")
        engine = sa.create_engine("otherdb://")
        connects = []
        sa.event.listen(engine, "connect", lambda *args: connects.append(args))
        self.assertEqual(
            self.message_of(self.case(engine=engine, metadata=sa.MetaData())),
            "UnsupportedDatabaseError: cannot reset a otherdb database (otherdb://): dbtestcase"
            " knows postgresql and sqlite. Nothing was touched.",
        )
        self.assertEqual(connects, [])

    @unittest.skipIf(sa.__version__ < "1.4", "SQLAlchemy 1.3 knows postgres://")
    def test_the_old_name_of_postgresql_is_explained(self):
        self.assertIn(
            "Write postgresql:// for it, as SQLAlchemy wants from 1.4 on.",
            self.message_of(
                self.case(engine="postgres://u:secret@h/app_test", metadata=sa.MetaData())
            ),
        )

    def test_a_text_that_is_no_url(self):
        message = self.message_of(self.case(engine="app_test", metadata=sa.MetaData()))
        self.assertEqual(
            message,
            "ConfigurationError: engine is a text that is not a URL of a database, such as"
            " postgresql://localhost/app_test.",
        )

    def test_nothing_to_create(self):
        self.assertEqual(
            self.message_of(self.case(engine="sqlite://")),
            "ConfigurationError: there is nothing to create: give the class its metadata (a"
            " MetaData"
            " or a declarative base), or override create_tables().",
        )

    def test_create_tables_instead_of_metadata(self):
        class Case(DatabaseTestCase):
            engine = "sqlite://"

            def create_tables(self):
                with self.engine.begin() as connection:
                    connection.execute(sa.text("CREATE TABLE one (id integer)"))

            def test_one(self):
                self.assertEqual(sa.inspect(self.engine).get_table_names(), ["one"])

        self.assertPasses(Case)


class OtherDialect(sqlite.dialect):
    name = "otherdb"


class ImportedAppTest(support.Outcomes):
    """``app = "module:attribute"``."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        sys.path.insert(0, self.folder)
        self.addCleanup(sys.path.remove, self.folder)

    def case(self, source, app):
        if source is self.SOURCE:
            support.require("flask_sqlalchemy")
        module = app.partition(":")[0]
        with open(os.path.join(self.folder, module + ".py"), "w") as file:
            file.write(textwrap.dedent(source))
        self.addCleanup(self.forget, module)

        def test_one(self):
            self.assertEqual(self.app.import_name, "webshop")
            self.assertEqual(self.db.engine.dialect.name, "sqlite")

        return type("Case", (DatabaseTestCase,), {"app": app, "test_one": test_one})

    def forget(self, module):
        imported = sys.modules.pop(module, None)
        if hasattr(imported, "app"):
            models.dispose(imported.app, imported.library.db)

    SOURCE = """
        from tests import models
        library = models.library()
        def create_app():
            return models.make_app(library.db, "sqlite://", TESTING=True)
        app = create_app()
    """

    def test_an_attribute_is_found(self):
        self.assertPasses(self.case(self.SOURCE, "core_shop_one:app"))

    def test_its_name_is_app_where_none_is_given(self):
        self.assertPasses(self.case(self.SOURCE, "core_shop_two"))

    def test_a_factory_is_called(self):
        self.assertPasses(self.case(self.SOURCE, "core_shop_three:create_app"))

    def test_a_missing_attribute_says_so(self):
        self.assertEqual(
            self.message_of(self.case(self.SOURCE, "core_shop_four:application")),
            "ConfigurationError: Case: app = 'core_shop_four:application' cannot be imported:"
            " AttributeError: module 'core_shop_four' has no attribute 'application'. It is"
            " 'module:attribute', seen from the directory the tests are started in.",
        )

    def test_a_module_that_raises_while_it_is_imported_says_so(self):
        case = self.case("import os; os.environ['NO_SUCH_VARIABLE']", "core_shop_five:app")
        self.assertIn(
            "app = 'core_shop_five:app' cannot be imported: KeyError: 'NO_SUCH_VARIABLE'.",
            self.message_of(case),
        )


if __name__ == "__main__":
    unittest.main()
