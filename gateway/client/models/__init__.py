"""What the gateway answers, as dataclasses. Fields that this client does not know are passed over,
so that a newer gateway works with it; `tests/unit/client/test_drift.py` holds them against
`/openapi.json`."""
