#!/usr/bin/env bash
# Builds the image with podman and runs the platform in it, confined as the chart confines its pods:
# another user than root, a read-only root, no capabilities.
#
#   deploy/podman.sh                     build and smoke test
#   HARMONY_IMAGE=registry/harmony:0.1.0 deploy/podman.sh
#   PYTHON_IMAGE=localhost/base deploy/podman.sh          another base with python3 >= 3.11
#   PYTHON_IMAGE=debootstrap deploy/podman.sh             make the base here, from Debian (as root)
#   PODMAN_BUILD_FLAGS="--build-arg TORCH=torch==2.13.0+cpu --build-arg PIP_FIND_LINKS=/wheels \
#     --volume /wheels:/wheels:ro" deploy/podman.sh        PyTorch for the CPU, from a folder of wheels
#
# Compose runs on podman too: `podman system service unix:///run/podman.sock` and
# `DOCKER_HOST=unix:///run/podman.sock docker compose up --build`. Podman's health checks are run by
# systemd's timers, and `init` by catatonit; without systemd nothing becomes healthy by itself.
#
# runc is used where it is installed: Debian's crun needs cgroups v2.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
image=${HARMONY_IMAGE:-harmony:$version}
base=${PYTHON_IMAGE:-docker.io/library/python:3.11-slim}
name=harmony-smoke-$$
folder=$(mktemp -d)

command -v podman >/dev/null || { echo "podman is not installed" >&2; exit 1; }
podman=(podman)
if command -v runc >/dev/null; then podman+=(--runtime runc); fi
# podman asks for higher limits than a machine that is itself confined may give.
limit() { local n; n=$(ulimit "$1"); [ "$n" = unlimited ] && n=-1; echo "$n"; }
limits=(--ulimit "nofile=$(limit -Sn):$(limit -Hn)" --ulimit "nproc=$(limit -Su):$(limit -Hu)")

finish() {
  "${podman[@]}" rm --force --time 0 "$name" >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap finish EXIT

if [ "$base" = debootstrap ]; then
  base=localhost/harmony-base
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates trixie "$folder/root"
  tar -C "$folder/root" -c . | "${podman[@]}" import - "$base"
fi

# shellcheck disable=SC2086  # the flags are words
"${podman[@]}" build "${limits[@]}" --network host ${PODMAN_BUILD_FLAGS:-} --build-arg PYTHON_IMAGE="$base" \
  --file deploy/docker/Dockerfile --tag "$image" .
size=$("${podman[@]}" image inspect --format '{{.Size}}' "$image")
echo "built $image, $((size / 1000000)) MB"

confined=("${limits[@]}" --read-only --tmpfs /tmp --tmpfs /var/lib/harmony:mode=1777 --cap-drop ALL
  --security-opt no-new-privileges --network none)

# Each service refuses to run without a database, in one line and with status 2.
for module in services.admin.main services.ingest.main services.operator.main; do
  status=0
  "${podman[@]}" run --rm "${confined[@]}" "$image" python -m "$module" >"$folder/out" 2>&1 \
    || status=$?
  if [ "$status" -ne 2 ]; then
    echo "$module: status $status, expected 2:" >&2
    cat "$folder/out" >&2
    exit 1
  fi
done

# The whole platform on the servers that the image holds, and a simulated cluster.
"${podman[@]}" run --detach --name "$name" "${confined[@]}" "$image" harmony up --port 8080 >/dev/null
ready='import urllib.request as u; print(u.urlopen("http://127.0.0.1:8080/readyz").read().decode())'
for _ in $(seq 90); do
  if "${podman[@]}" exec "$name" python -c "$ready" 2>"$folder/why"; then
    "${podman[@]}" exec "$name" sh -c 'test "$(id -u)" = 10001 && ! touch /opt/x 2>/dev/null'
    "${podman[@]}" exec "$name" python -c 'import lightgbm, torch, nutpie'
    echo "smoke test passed"
    exit 0
  fi
  if [ "$("${podman[@]}" inspect --format '{{.State.Running}}' "$name")" != true ]; then break; fi
  sleep 2
done
"${podman[@]}" logs "$name" >&2
cat "$folder/why" >&2
echo "the platform was not ready within three minutes" >&2
exit 1
