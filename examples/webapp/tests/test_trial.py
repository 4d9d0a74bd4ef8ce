from tests import WebappTestCase
from webapp.models import Group, Participant, Session, Trial, db, trial_groups


class TrialTest(WebappTestCase):
    def setUp(self):
        super().setUp()
        ada, grace = Participant("Ada"), Participant("Grace")
        self.group = Group(name="morning", members=[ada, grace], leader=ada)
        self.trial = Trial(title="Reaction times", groups=[self.group])
        db.session.add(self.trial)
        db.session.commit()

    def test_the_leader_of_a_group_is_one_of_its_members(self):
        self.assertIn(self.group.leader, self.group.members)
        self.assertRowExists(Participant, name="Ada", group_id=self.group.id)

    def test_groups_and_trials_find_each_other(self):
        with self.assertRowCountChanges({Group: +1, trial_groups: +1, Trial: 0}):
            db.session.add(Group(name="evening", trials=[self.trial]))
            db.session.commit()

        self.assertEqual([group.name for group in self.trial.groups], ["morning", "evening"])

    def test_a_trial_is_planned_until_it_runs(self):
        self.assertRowExists(Trial, title="Reaction times", state="planned")

        self.trial.state = "running"
        db.session.add(Session(participant=self.group.leader, trial=self.trial))
        db.session.commit()

        self.assertRowExists(Trial, title="Reaction times", state="running")
        self.assertRowCount(Session, 1)
