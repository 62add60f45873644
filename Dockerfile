FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
    clang libclang-dev nasm pkg-config \
    libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libswresample-dev \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
    libavcodec59 libavformat59 libavutil57 libswscale6 libswresample4 \
    espeak-ng fonts-inter fonts-dejavu-core fonts-noto-cjk fonts-noto-color-emoji ca-certificates \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --create-home reel && mkdir /media-root && chown reel /media-root
COPY --from=build /src/target/release/reel /usr/local/bin/reel
USER reel
ENV MEDIA_ROOT=/media-root
ENTRYPOINT ["reel"]
