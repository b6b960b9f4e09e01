# The bounded trainer, which has Beam: docker build -f deploy/images/trainer.Dockerfile -t omakase-trainer .
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
COPY requirements.lock requirements-gcp.lock /build/
RUN python -m venv --without-pip /opt/omakase \
 && pip --python /opt/omakase/bin/python install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r /build/requirements.lock -r /build/requirements-gcp.lock \
 && find /opt/omakase -path '*/numpy/*' -name tests -prune -exec rm -rf {} + \
 && find /opt/omakase -path '*/scipy/*' -name tests -prune -exec rm -rf {} +
COPY deploy/images/omakase.sh /opt/omakase/bin/omakase
COPY omakase /opt/omakase/lib/python3.11/site-packages/omakase
COPY dataflow /opt/omakase/lib/python3.11/site-packages/dataflow
COPY batch /opt/omakase/lib/python3.11/site-packages/batch
RUN chmod 0755 /opt/omakase/bin/omakase && python -m compileall -q /opt/omakase/lib/python3.11/site-packages/omakase \
      /opt/omakase/lib/python3.11/site-packages/dataflow /opt/omakase/lib/python3.11/site-packages/batch

FROM ${PYTHON}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="omakase-trainer" \
      org.opencontainers.image.description="The bounded trainer of Omakase" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN pip uninstall -q -y --root-user-action=ignore setuptools wheel pip \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin omakase
COPY --from=build /opt/omakase /opt/omakase
ENV PATH=/opt/omakase/bin:$PATH PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
CMD ["python", "-m", "dataflow"]
