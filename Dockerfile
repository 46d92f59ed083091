# One image for every process of the market; compose.yaml says which container runs which.
FROM python:3.11-slim AS packages
WORKDIR /build
COPY requirements-setup.txt requirements.txt ./
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements-setup.txt \
 && /venv/bin/python -m uv pip install --no-cache --compile-bytecode --python /venv/bin/python --require-hashes -r requirements.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /data duebill
COPY --from=packages /venv /venv
WORKDIR /duebill
COPY . .
RUN for source in marketplace/translations/*/LC_MESSAGES/*.po; do \
        [ ! -e "$source" ] || /venv/bin/pybabel --quiet compile -i "$source" -o "${source%.po}.mo"; \
    done \
 && /venv/bin/python -m compileall -q auction config marketplace
ENV PATH=/venv/bin:$PATH PYTHONPATH=/duebill PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2 DUEBILL_HOME=/data
USER duebill
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "marketplace", "web", "--bind", "0.0.0.0:8000"]
