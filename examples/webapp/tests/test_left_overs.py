"""What used to freeze or break the next test. Here every test does it, so each is the next one."""

from sqlalchemy import inspect, text
from sqlalchemy.orm import sessionmaker

from tests import WebappTestCase
from webapp.models import Participant, db

left_open = []


class SessionLeftOpenTest(WebappTestCase):
    def leave_a_session_open(self):
        self.assertRowCount(Participant, 0)
        session = sessionmaker(bind=db.engine)()
        session.add(Participant("never committed"))
        session.flush()
        left_open.append(session)  # its transaction holds locks that a DROP TABLE waits for

    def test_leaves_a_session_open(self):
        self.leave_a_session_open()

    def test_is_not_frozen_and_leaves_another_open(self):
        self.leave_a_session_open()


class UnknownForeignKeyTest(WebappTestCase):
    def refer_to_group_from_a_table_without_a_model(self):
        self.assertNotIn("review", inspect(db.engine).get_table_names())
        db.session.execute(text('CREATE TABLE review (group_id integer REFERENCES "group" (id))'))
        db.session.commit()

    def test_makes_a_foreign_key_that_the_metadata_does_not_know(self):
        self.refer_to_group_from_a_table_without_a_model()

    def test_does_not_find_it_and_makes_it_again(self):
        self.refer_to_group_from_a_table_without_a_model()
