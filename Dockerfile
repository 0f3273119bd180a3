# Wharf's own image: one static binary on an empty file system, as an ordinary user.
#
#   wharf build -t wharf:1 .
#   docker run -p 5000:5000 -v wharf:/var/lib/wharf wharf:1

FROM rust:1.95-bookworm AS build
# Which cargo profile to build with; `dev` is faster to build and slower to run.
ARG PROFILE=release
WORKDIR /src
COPY . .
RUN cargo install --locked --path cli --profile "$PROFILE" --root /out
# The store's place, owned by the user that the server runs as, so that a fresh volume is writable.
RUN install -d -o 65532 -g 65532 /out/var/lib/wharf /out/tmp

FROM scratch
COPY --from=build /out/bin/wharf /wharf
COPY --from=build --chown=65532:65532 /out/tmp /tmp
COPY --from=build --chown=65532:65532 /out/var/lib/wharf /var/lib/wharf
USER 65532:65532
EXPOSE 5000
VOLUME /var/lib/wharf
ENTRYPOINT ["/wharf"]
CMD ["serve", "--listen", "0.0.0.0:5000", "--store", "/var/lib/wharf"]
