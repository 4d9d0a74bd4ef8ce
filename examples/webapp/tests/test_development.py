from sqlalchemy import create_engine, text

from tests import WebappTestCase
from webapp.config import Development
from webapp.models import Participant, db


class DevelopmentDatabaseTest(WebappTestCase):
    """The Development database has the same tables, and rows that somebody needs tomorrow."""

    @classmethod
    def setUpClass(cls):
        cls.development = create_engine(Development.SQLALCHEMY_DATABASE_URI)
        with cls.development.begin() as connection:
            db.metadata.create_all(connection)
            connection.execute(Participant.__table__.insert().values(name="needed tomorrow"))
            cls.names = cls.names_in(connection)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.development.dispose()

    @staticmethod
    def names_in(connection):
        rows = connection.execute(text("SELECT name FROM participant ORDER BY id"))
        return [row[0] for row in rows]

    def test_the_tests_are_connected_to_another_database(self):
        name = db.session.execute(text("SELECT current_database()")).scalar()
        self.assertIn("test", name)
        self.assertNotEqual(name, self.development.url.database)

    def test_keeps_its_rows_whatever_the_tests_do(self):
        self.assertRowCount(Participant, 0)
        db.session.add(Participant("test"))
        db.session.commit()

        with self.development.connect() as connection:
            self.assertEqual(self.names_in(connection), self.names)
        self.assertIn("needed tomorrow", self.names)
