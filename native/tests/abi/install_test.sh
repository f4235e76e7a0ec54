#!/usr/bin/env bash
# Installs, builds a host outside the repository against the install tree alone, and runs it where no .NET runtime can be found; then again with the
# flags of pkg-config, and with every level that this processor can run.
set -euo pipefail
cmake=$1 build=$2 host=$3 libdir=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$cmake" --install "$build" --prefix "$work/usr" > /dev/null
cp -r "$host" "$work/host"
"$cmake" -S "$work/host" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/usr" > /dev/null
"$cmake" --build "$work/build" > /dev/null
run() { env -i PATH=/usr/bin:/bin DOTNET_ROOT=/nonexistent "$@"; }
chosen=$(run "$work/build/host")
echo "$chosen"
echo "$chosen" | grep -q "^$work/usr/$libdir/" || { echo "the library of the install tree was not used" >&2; exit 1; }
if grep -qw avx2 /proc/cpuinfo && [ -d "$work/usr/$libdir/glibc-hwcaps" ]; then
  echo "$chosen" | grep -q "glibc-hwcaps/x86-64-v" || { echo "the loader did not take a level above the baseline" >&2; exit 1; }
fi
run LD_PRELOAD="$work/usr/$libdir/libkvhandoff.so.1" "$work/build/host" | tee "$work/baseline.txt"
grep -q "^$work/usr/$libdir/libkvhandoff.so.1$" "$work/baseline.txt"
if command -v pkg-config > /dev/null; then
  flags=$(PKG_CONFIG_PATH="$work/usr/$libdir/pkgconfig" pkg-config --cflags --libs kvhandoff | sed "s|/usr/local|$work/usr|g")
  # shellcheck disable=SC2086
  g++ -std=c++17 "$work/host/host.cpp" -o "$work/by-pkg-config" $flags -ldl
  run LD_LIBRARY_PATH="$work/usr/$libdir" "$work/by-pkg-config" > /dev/null
fi
