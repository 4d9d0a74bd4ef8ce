"""Who takes part in what. ``db`` is bound to the application in ``webapp/__init__.py``."""

from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()

trial_groups = db.Table(
    "trial_groups",
    db.Column("trial_id", db.ForeignKey("trial.id"), primary_key=True),
    db.Column("group_id", db.ForeignKey("group.id"), primary_key=True),
)


class Participant(db.Model):
    """A person, in one group or in none."""

    __tablename__ = "participant"

    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), nullable=False)
    group_id = db.Column(db.Integer, db.ForeignKey("group.id"))
    group = db.relationship("Group", back_populates="members", foreign_keys=[group_id])
    sessions = db.relationship("Session", back_populates="participant")

    def __init__(self, name, **values):
        super().__init__(name=name, **values)


class Group(db.Model):
    """Participants, one of whom leads: group and participant refer to each other."""

    __tablename__ = "group"

    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), nullable=False, unique=True)
    leader_id = db.Column(
        db.Integer, db.ForeignKey("participant.id", name="group_leader_fk", use_alter=True)
    )
    leader = db.relationship("Participant", foreign_keys=[leader_id], post_update=True)
    members = db.relationship(
        "Participant", back_populates="group", foreign_keys=[Participant.group_id]
    )
    trials = db.relationship("Trial", secondary=trial_groups, back_populates="groups")


class Trial(db.Model):
    """An experiment that several groups take part in."""

    __tablename__ = "trial"

    id = db.Column(db.Integer, primary_key=True)
    title = db.Column(db.String(200), nullable=False)
    state = db.Column(
        db.Enum("planned", "running", "finished", name="trial_state"),
        nullable=False,
        default="planned",
    )
    groups = db.relationship("Group", secondary=trial_groups, back_populates="trials")


class Session(db.Model):
    """One sitting of one participant in one trial."""

    __tablename__ = "session"

    id = db.Column(db.Integer, primary_key=True)
    participant_id = db.Column(db.Integer, db.ForeignKey("participant.id"), nullable=False)
    trial_id = db.Column(db.Integer, db.ForeignKey("trial.id"), nullable=False)
    participant = db.relationship("Participant", back_populates="sessions")
    trial = db.relationship("Trial")
