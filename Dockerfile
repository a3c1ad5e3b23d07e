# syntax=docker/dockerfile:1
# The gateway. Settings come from the environment and the map from SHARD_MAP; no secret is in any layer.

FROM python:3.11-slim AS dependencies
RUN python -m venv /opt/meridian
COPY deploy/requirements.lock /tmp/requirements.lock
# Every package by its hash; nothing is resolved here and nothing is compiled that was not pinned.
RUN /opt/meridian/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps \
        --require-hashes --requirement /tmp/requirements.lock

FROM python:3.11-slim
RUN useradd --uid 10001 --user-group --home-dir /var/lib/meridian --create-home \
        --shell /usr/sbin/nologin meridian \
    && install --directory --owner=meridian --group=meridian /var/lib/meridian/uploads
COPY --from=dependencies /opt/meridian /opt/meridian
COPY LICENSE NOTICE /app/
COPY core /app/core
COPY edge /app/edge
COPY gateway /app/gateway
# The sources run where they lie: a build would fetch a build backend that no lock pins.
RUN printf '%s\n' '#!/opt/meridian/bin/python' 'from gateway.cli import main' 'main()' > /opt/meridian/bin/meridian \
    && chmod 0755 /opt/meridian/bin/meridian \
    && /opt/meridian/bin/python -m compileall -q /app

ENV PATH=/opt/meridian/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NODE_ENV=production \
    PORT=3000 \
    UPLOAD_FOLDER=/var/lib/meridian/uploads
WORKDIR /var/lib/meridian
USER 10001:10001
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health/live', timeout=2)"]
CMD ["meridian", "serve"]
