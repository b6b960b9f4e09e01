"""What Google's clients raise, in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from google.api_core.exceptions import Forbidden, GoogleAPIError, InvalidArgument, NotFound, Unauthenticated
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

from omakase.core.errors import InvalidInput, Unavailable


@contextmanager
def cloud_errors(doing: str) -> Iterator[None]:
    """Raises: Unavailable, saying what was tried, for what may pass, after the client has retried what it retries;
    InvalidInput for credentials that are not there at all, and for what the service would never take."""
    try:
        yield
    except NotFound as error:
        raise Unavailable(f"cannot {doing}: {error.message}; `omakase cloud init` makes what is missing") from error
    except (Forbidden, Unauthenticated) as error:
        raise Unavailable(f"cannot {doing}: {error.message}; which roles it needs says docs/cloud.md") from error
    except InvalidArgument as error:
        raise InvalidInput(f"cannot {doing}: {error.message}") from error
    except DefaultCredentialsError as error:
        raise InvalidInput(f"cannot {doing}: no credentials: gcloud auth application-default login") from error
    except (GoogleAPIError, GoogleAuthError, requests.RequestException, TimeoutError, ConnectionError) as error:
        raise Unavailable(f"cannot {doing}: {error}") from error
