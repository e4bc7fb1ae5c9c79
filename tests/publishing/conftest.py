from tests.hub_client.hubs import _world  # noqa: F401 - the fixture "world"
