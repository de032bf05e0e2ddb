# The command line as a static binary in an empty image: docker build -t heap_inspector .
FROM rust:1-alpine AS build
RUN apk add --no-cache build-base
WORKDIR /src
COPY Cargo.toml Cargo.lock README.md ./
COPY .cargo .cargo
COPY crates crates
COPY ext ext
RUN cargo build --release --locked -p heap_inspector_cli && cp target/release/heap_inspector /heap_inspector

FROM scratch
COPY --from=build /heap_inspector /heap_inspector
USER 65534:65534
WORKDIR /dumps
ENTRYPOINT ["/heap_inspector"]
