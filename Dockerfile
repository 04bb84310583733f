# Two stages: the first one builds the environment from the hashed lock, the second one runs it.
FROM python:3.11-slim AS build
WORKDIR /srv/postern
COPY requirements.txt .
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt

FROM python:3.11-slim
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/var/lib/postern
RUN useradd --system --uid 10001 --home-dir /var/lib/postern --create-home postern \
    && install -d -m 700 -o postern /var/lib/postern-keys /var/lib/postern-anchor
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/postern
COPY manage.py ./
COPY gateway gateway
COPY policies policies
COPY approvals approvals
COPY audit audit
COPY templates templates
COPY static static
USER postern
VOLUME ["/var/lib/postern", "/var/lib/postern-keys", "/var/lib/postern-anchor"]
EXPOSE 8000
CMD ["python", "manage.py", "serve", "--only", "gateway", "--host", "0.0.0.0", "--port", "8000"]
