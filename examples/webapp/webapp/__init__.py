"""A small Flask application: participants who meet in sessions and take part in trials."""

from flask import Flask, jsonify

from webapp.models import Participant, db

app = Flask(__name__)
app.config.from_object("webapp.config.Development")
db.init_app(app)


@app.route("/participants", methods=["GET"])
def list_participants():
    names = [participant.name for participant in Participant.query.order_by(Participant.id)]
    return jsonify(names=names)


@app.route("/participants/<name>", methods=["POST"])
def add_participant(name):
    participant = Participant(name)
    db.session.add(participant)
    db.session.commit()
    return jsonify(id=participant.id), 201
