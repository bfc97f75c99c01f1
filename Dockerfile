# The daemon as an image, without root. For a CPU:
#   docker build -t seamless-stream .
#   docker run -p 8765:8765 -e SEAMLESS_STREAM_API_KEYS=KEY seamless-stream
# For NVIDIA GPUs, with the default build of torch, which brings CUDA with it:
#   docker build -t seamless-stream:cuda --build-arg TORCH_INDEX= .
#   docker run --gpus all -p 8765:8765 -e SEAMLESS_STREAM_API_KEYS=KEY -v models:/var/lib/seamless-stream seamless-stream:cuda
FROM python:3.12-slim-bookworm AS build

# Where torch comes from; empty: where everything else does.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/seamless-stream
COPY constraints.txt ./
# Alone and first: it is nine tenths of the image and changes least often.
RUN /opt/seamless-stream/bin/pip install --constraint constraints.txt \
    ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0
COPY pyproject.toml README.md LICENSE ./
COPY seamless_stream ./seamless_stream
RUN /opt/seamless-stream/bin/pip install --constraint constraints.txt '.[media]'

FROM python:3.12-slim-bookworm

RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/seamless-stream seamless-stream
COPY --from=build /opt/seamless-stream /opt/seamless-stream
COPY configs/server.yaml /etc/seamless-stream/server.yaml
ENV PATH=/opt/seamless-stream/bin:$PATH \
    HF_HOME=/var/lib/seamless-stream/hub \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /var/lib/seamless-stream
VOLUME /var/lib/seamless-stream
EXPOSE 8765
# SIGTERM lets the open sessions finish: give it longer than `server.drain_s`, docker stop -t 30.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10m \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8765/readyz', timeout=4)"]
ENTRYPOINT ["seamless-stream"]
CMD ["serve", "--config", "/etc/seamless-stream/server.yaml", "--host", "0.0.0.0", "--set", "server.log_format=json"]
