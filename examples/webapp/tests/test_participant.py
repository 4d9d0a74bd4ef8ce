from tests import WebappTestCase
from webapp.models import Participant, db


class ParticipantTest(WebappTestCase):
    def test_walks_through_the_states_of_an_object(self):
        participant = Participant("test")
        self.assertTransient(participant)

        db.session.add(participant)
        self.assertPending(participant)

        db.session.rollback()
        self.assertTransient(participant)

        db.session.add(participant)
        db.session.commit()
        self.assertPersistent(participant)

        db.session.remove()
        self.assertDetached(participant)

    def test_a_deleted_participant_is_detached_by_the_commit(self):
        participant = Participant("test")
        db.session.add(participant)
        db.session.commit()

        db.session.delete(participant)
        db.session.flush()
        self.assertDeleted(participant)

        db.session.commit()
        self.assertDetached(participant)

    def test_a_rollback_does_not_undo_a_commit(self):
        db.session.add(Participant("committed"))
        db.session.commit()
        db.session.add(Participant("not committed"))

        db.session.rollback()

        self.assertRowExists(Participant, name="committed")
        self.assertNoRowExists(Participant, name="not committed")


class ExactlyOneRowTest(WebappTestCase):
    """Each test commits one row and finds one, with the first id: in any order, in every run."""

    def commit_one_participant(self):
        participant = Participant("test")
        db.session.add(participant)
        db.session.commit()

        self.assertRowCount(Participant, 1)
        self.assertEqual(participant.id, 1)

    def test_in_one_test(self):
        self.commit_one_participant()

    def test_and_in_the_next(self):
        self.commit_one_participant()

    def test_and_in_the_one_after(self):
        self.commit_one_participant()
