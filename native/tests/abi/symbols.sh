#!/usr/bin/env bash
# Exactly the functions of the header are exported, and nothing else.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
header=$here/../../include/kvhandoff/kvhandoff.h
exported=$(nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
declared=$(grep -oE '^KVH_API [^(]*\b(kvh_[a-z0-9_]+)\(' "$header" | grep -oE 'kvh_[a-z0-9_]+\($' | tr -d '(' | sort)
if ! diff <(echo "$declared") <(echo "$exported"); then
  echo "< declared, > exported" >&2
  exit 1
fi
echo "$(echo "$exported" | wc -l) functions"
