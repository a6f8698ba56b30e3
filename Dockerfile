# lumad in a container: docker build -t luma . , then compose.yaml, or
#   docker run -p 8080:8080 -e LUMA_TOKENS=me:SECRET -v luma:/var/lib/luma luma
# tests/container runs these very steps without Docker.

FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        build-essential cmake ninja-build pkg-config \
        libavutil-dev libavcodec-dev libavformat-dev libavfilter-dev libswscale-dev \
        libswresample-dev libass-dev libuchardet-dev liblua5.4-dev libedit-dev libuv1-dev \
        libwebsockets-dev libwebsockets-evlib-uv libjansson-dev libssl-dev \
        libcurl4-openssl-dev libsqlite3-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY CMakeLists.txt ./
COPY cmake cmake
COPY engine engine
COPY lua lua
COPY server server
COPY scripts scripts
RUN cmake -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DLUMA_TESTS=OFF \
        -DCMAKE_INSTALL_PREFIX=/usr \
    && cmake --build build \
    && DESTDIR=/out cmake --install build --strip

FROM debian:trixie-slim
# What the programs are linked with, certificates for https inputs, a font for subtitles, and
# encodings in which subtitles come.
RUN apt-get update && apt-get install -y --no-install-recommends \
        libavutil59 libavcodec61 libavformat61 libavfilter10 libswscale8 libswresample5 \
        libass9 libuchardet0 liblua5.4-0 libedit2 libuv1t64 libwebsockets19t64 \
        libwebsockets-evlib-uv libjansson4 libssl3t64 libcurl4t64 libsqlite3-0 \
        ca-certificates fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --user-group --home-dir /var/lib/luma --create-home luma
COPY --from=build /out/ /
ENV LUMA_DIR=/var/lib/luma LUMA_HOST=0.0.0.0 LUMA_HEALTH_HOST=0.0.0.0
USER luma
WORKDIR /var/lib/luma
VOLUME /var/lib/luma
EXPOSE 8080 8081
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${LUMA_HEALTH_PORT:-8081}; printf 'GET /ready HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; read -r line <&3; [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["lumad"]
