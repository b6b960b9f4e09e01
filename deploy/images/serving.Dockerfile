# Gateway, recommender, tracking and batch jobs: docker build -f deploy/images/serving.Dockerfile -t omakase-serving .
# No Beam: `requirements-gcp.lock` has none, and a test holds it to that.
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
COPY requirements-gcp.lock /build/
# Wheels only, each with its hash: nothing is compiled here, and nothing is installed that the lock does not name.
RUN python -m venv --without-pip /opt/omakase \
 && pip --python /opt/omakase/bin/python install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r /build/requirements-gcp.lock \
 && find /opt/omakase -path '*/numpy/*' -name tests -prune -exec rm -rf {} + \
 && find /opt/omakase -path '*/scipy/*' -name tests -prune -exec rm -rf {} +
COPY deploy/images/omakase.sh /opt/omakase/bin/omakase
COPY omakase /opt/omakase/lib/python3.11/site-packages/omakase
COPY gateway /opt/omakase/lib/python3.11/site-packages/gateway
COPY recommender /opt/omakase/lib/python3.11/site-packages/recommender
COPY tracking /opt/omakase/lib/python3.11/site-packages/tracking
COPY batch /opt/omakase/lib/python3.11/site-packages/batch
RUN chmod 0755 /opt/omakase/bin/omakase && python -m compileall -q /opt/omakase/lib/python3.11/site-packages/omakase \
      /opt/omakase/lib/python3.11/site-packages/gateway /opt/omakase/lib/python3.11/site-packages/recommender \
      /opt/omakase/lib/python3.11/site-packages/tracking /opt/omakase/lib/python3.11/site-packages/batch

FROM ${PYTHON}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="omakase-serving" \
      org.opencontainers.image.description="Gateway, recommender, tracking and batch jobs of Omakase" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The interpreter stays, what installs does not.
RUN pip uninstall -q -y --root-user-action=ignore setuptools wheel pip \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin omakase
COPY --from=build /opt/omakase /opt/omakase
ENV PATH=/opt/omakase/bin:$PATH PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
CMD ["omakase", "--help"]
