from tests import WebappTestCase
from webapp import app
from webapp.models import Participant


class ViewsTest(WebappTestCase):
    def test_a_request_commits_a_participant(self):
        response = app.test_client().post("/participants/test")

        self.assertEqual(response.status_code, 201)
        self.assertRowCount(Participant, 1)

    def test_the_list_shows_only_what_this_test_made(self):
        client = app.test_client()
        client.post("/participants/another")

        self.assertEqual(client.get("/participants").get_json(), {"names": ["another"]})
