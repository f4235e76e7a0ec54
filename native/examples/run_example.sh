#!/usr/bin/env bash
# run_example.sh HOST DOTNET REFERENCE-PEER MODELS: the C++ host on one side and the .NET process on the other, over TCP, Unix sockets and shared memory,
# for a short and a long prompt. The tokens must be those that one .NET process gives.
set -euo pipefail
host=$1 dotnet=$2 peer=$3 models=$4
model=$models/llama-bytes-5m
revision=$(sha256sum "$model/model.safetensors" | cut -d' ' -f1)
work=$(mktemp -d)
trap 'rm -rf "$work"; kill $(jobs -p) 2> /dev/null || true' EXIT
tokens=64

# Starts a listening side and waits for the first line that it prints.
listen() {
  # Emptied here: the background shell may come to it only after the first look below.
  : > "$work/listener.txt"
  "$@" > "$work/listener.txt" &
  listener=$!
  for _ in $(seq 600); do
    endpoint=$(head -n 1 "$work/listener.txt")
    [ -n "$endpoint" ] && return
    sleep 0.1
  done
  echo "the listening side did not start" >&2
  exit 1
}

for prompt in short-short long-short; do
  file=$models/prompts/$prompt.txt
  expected=$("$dotnet" "$peer" single "$model" "$file" $tokens)
  for address in tcp://127.0.0.1:0 "unix://$work/socket" "shm://$work/ring"; do
    case $(basename "$host") in
      prefill_host)
        listen "$dotnet" "$peer" decode "$model" "$address" $tokens
        "$host" "$model" "$revision" "$endpoint" "$file" 2> "$work/host.txt" || { cat "$work/host.txt" >&2; exit 1; }
        ;;
      decode_host)
        listen "$host" "$model" "$revision" "$address" $tokens
        "$dotnet" "$peer" prefill "$model" "$endpoint" "$file"
        ;;
    esac
    wait "$listener"
    got=$(tail -n 1 "$work/listener.txt")
    if [ "$got" != "$expected" ]; then
      printf '%s over %s: the tokens differ\nexpected %s\ngot      %s\n' "$prompt" "$address" "$expected" "$got" >&2
      exit 1
    fi
    echo "$prompt over ${address%%:*}: $tokens tokens equal"
  done
done
