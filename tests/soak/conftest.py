"""How long the soak tests run: `make soak` sets SOAK_SECONDS; without it they are skipped."""

import os

import pytest

# Ends a soak that hangs, also while it prepares its files and compares them at the end.
TIMEOUT_SECONDS = 600 + 2 * float(os.environ.get("SOAK_SECONDS", "0"))


@pytest.fixture(scope="session")
def soak_seconds() -> float:
    """For how long a test is to keep the load up."""
    seconds = os.environ.get("SOAK_SECONDS")
    if seconds is None:
        pytest.skip("takes SOAK_SECONDS; 'make soak' runs it")
    return float(seconds)
